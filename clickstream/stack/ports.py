"""Ports of the local stack: the configured ones, else free ones that the home remembers."""

from clickstream.clients.endpoints import (
    can_listen,
    free_ports,
    remember_ports,
    remembered_ports,
)
from clickstream.config import Settings
from clickstream.errors import ServiceFailed, UsageError


def assign(settings: Settings, names: list[str]) -> dict[str, int]:
    """A port for each name, remembered; ServiceFailed when a configured one is taken.

    A remembered port that somebody else has taken meanwhile is given up for a new one.
    """
    known = remembered_ports(settings.home)
    configured = _configured(settings, names)
    kept = {name: known[name] for name in names if name in known and can_listen(known[name])}
    chosen = kept | configured
    ports = chosen | free_ports(name for name in names if name not in chosen)
    remember_ports(settings.home, ports)
    return ports


def _configured(settings: Settings, names: list[str]) -> dict[str, int]:
    requested = {name: getattr(settings.stack.ports, name) for name in names}
    configured = {name: port for name, port in requested.items() if port}
    for name, port in configured.items():
        same = [other for other in configured if configured[other] == port]
        if len(same) > 1:
            raise UsageError(f"stack.ports: {' and '.join(same)} are both {port}")
        if not can_listen(port):
            raise ServiceFailed(
                f"port {port} (stack.ports.{name}) is taken{taken_by(port)}",
                f"choose another in stack.ports.{name}, or 0 for a free one",
            )
    return configured


def taken_by(port: int) -> str:
    """` by NAME (pid N)`: who listens there; empty where this user may not see it."""
    import psutil

    try:
        owners = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        ]
        return f" by {psutil.Process(owners[0]).name()} (pid {owners[0]})" if owners[0] else ""
    except (IndexError, psutil.Error):
        return ""
