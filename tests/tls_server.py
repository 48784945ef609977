"""Servers for tests of TLS: each connection is handed to a function, in a thread."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.certificates import Authority, Identity

HOST = "127.0.0.1"
Answer = Callable[[socket.socket], None]


@contextmanager
def serving(answer: Answer, host: str = HOST) -> Iterator[int]:
    """A server while the block runs; the value is its port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    answer(connection)

    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def context(identity: Identity, clients: Authority | None = None) -> ssl.SSLContext:
    """A server's, which asks for a certificate of `clients` where that is given."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(identity.certificate, identity.key)
    if clients:
        made.load_verify_locations(clients.ca)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def shaking(identity: Identity, clients: Authority | None = None) -> Answer:
    """Shakes hands, and waits for the client to go."""
    own = context(identity, clients)

    def answer(connection: socket.socket) -> None:
        with own.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    return answer
