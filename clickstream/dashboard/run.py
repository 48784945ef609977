"""The server in the foreground: its port, its token and the address that opens it."""

import secrets
import socket
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from clickstream.clients import endpoints
from clickstream.dashboard.app import routes
from clickstream.dashboard.guard import Guard
from clickstream.dashboard.watcher import Watcher
from clickstream.errors import ClickstreamError, UsageError
from clickstream.home import write_atomic

if TYPE_CHECKING:
    import uvicorn

    from clickstream.config import Settings

NAME = "dashboard"
LOCAL = ("127.0.0.1", "localhost")
SHUTDOWN_S = 2
STORES = "clickstream.views.batch"
"""What takes longest to import of all that a report needs."""


def serve(settings: "Settings", started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `started` gets the address with the token.

    Raises UsageError where the host needs names and there are none, ClickstreamError where the
    port is taken.
    """
    with Watcher(settings) as watcher:
        prepared = prepare(settings, watcher)
        with prepared.listener:
            # The first page would wait for it, while a browser takes a second to start.
            threading.Thread(target=import_module, args=(STORES,), daemon=True).start()
            started(prepared.address)
            prepared.server.run(sockets=[prepared.listener])


class Prepared(NamedTuple):
    """A server that only needs to be run with its listener; `address` holds the token."""

    server: "uvicorn.Server"
    listener: socket.socket
    address: str


def prepare(settings: "Settings", watcher: Watcher) -> Prepared:
    """The server of these settings, listening already; raises as `serve`."""
    import uvicorn

    host, names = settings.dashboard.host, settings.dashboard.names
    if host not in LOCAL and not names:
        raise UsageError(
            f"the dashboard would be open to others at {host}",
            "list the names by which it is called in dashboard.names",
        )
    listener = _listener(host, _port(settings))
    metrics_token = settings.dashboard.metrics_token.get_secret_value()
    guarded = Guard(routes(settings, watcher), token(settings), {*LOCAL, *names}, metrics_token)
    config = uvicorn.Config(
        guarded,
        log_level="warning",
        access_log=False,  # an address holds the token once
        server_header=False,
        lifespan="off",  # there is nothing to start, and Ctrl-C in it is a traceback
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    address = f"http://{host}:{listener.getsockname()[1]}/?token={token(settings)}"
    return Prepared(uvicorn.Server(config), listener, address)


def token(settings: "Settings", new: bool = False) -> str:
    """The home's token (32 random bytes, mode 0600), made where there is none, or `new`."""
    path = settings.files.dashboard_token
    if new or not path.exists():
        write_atomic(path, secrets.token_urlsafe(32), private=True)
    return path.read_text()


def _port(settings: "Settings") -> int:
    """The configured port, else the one that the home remembers, else a free one to remember."""
    if settings.dashboard.port:
        return settings.dashboard.port
    known = endpoints.remembered_ports(settings.home).get(NAME)
    if known is None or not endpoints.can_listen(known):
        known = endpoints.free_ports([NAME])[NAME]
        endpoints.remember_ports(settings.home, {NAME: known})
    return known


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ClickstreamError(
            f"the dashboard cannot listen at {host}:{port}",
            "set dashboard.port, or 0 for a free one",
        ) from error
