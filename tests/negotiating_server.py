"""A web server for tests that asks for a login by Negotiate, as a NameNode does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tls_server import HOST


class Asking(BaseHTTPRequestHandler):
    """Asks for a login, and takes the token `token` of anybody who has no cookie yet."""

    protocol_version = "HTTP/1.1"
    refusal = (0, "")
    scheme = "Negotiate"

    def do_GET(self):
        self.server.seen.append((self.headers["Authorization"], self.headers["Cookie"]))
        status, page = self._answer()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", self.scheme)
        elif status == 200:
            self.send_header("Set-Cookie", "hadoop.auth=taken; Path=/; HttpOnly")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page.encode())

    def _answer(self):
        if self.headers["Cookie"] == "hadoop.auth=taken":
            return 200, "known"
        if self.headers["Authorization"] is None:
            return 401, "who are you?"
        return self.refusal if self.refusal[0] else (200, "welcome")

    def log_message(self, *_):
        """Nothing."""


class Quiet(ThreadingHTTPServer):
    """Says nothing of a client that goes away before it has read the answer."""

    def handle_error(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def asking(**changed: Any) -> Iterator[tuple[str, list[tuple[str | None, str | None]]]]:
    """A server with some of its attributes changed: its address, and the logins that it sees."""
    handler = type("Changed", (Asking,), changed)
    with Quiet((HOST, 0), handler) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}", server.seen
        server.shutdown()
