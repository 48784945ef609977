"""Whether the local Cassandra answers; in a secured stack, its roles and what each may do."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cassandra import DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable, Session

from clickstream.clients.endpoints import LOOPBACK
from clickstream.config import Settings
from clickstream.config.secured import READER, USER
from clickstream.stack import security
from clickstream.stack.security import ADMINISTRATOR

FIRST = ("cassandra", "cassandra")
"""The login of a ring that was just given logins."""
RIGHTS = {USER: ("CREATE", "SELECT", "MODIFY"), READER: ("SELECT",)}


def answers(port: int) -> bool:
    """Tell whether a node without logins answers a query."""
    return _asked(lambda: _connected(port), "SELECT release_version FROM system.local")


def ensure(settings: Settings, port: int) -> bool:
    """Make what is missing of roles, keyspace and rights; False while the node does not answer.

    The login that everybody knows is dropped.
    """
    files = settings.files
    secret = security.password(files, ADMINISTRATOR)
    own = (ADMINISTRATOR, secret)
    made = f"CREATE ROLE {ADMINISTRATOR} WITH SUPERUSER = true AND {_login(secret)}"
    if not _asked(lambda: _connected(port, settings, own), *_statements(settings)):
        return _asked(lambda: _connected(port, settings, FIRST), made) and _asked(
            lambda: _connected(port, settings, own), *_statements(settings)
        )
    return True


def _statements(settings: Settings) -> Iterator[str]:
    keyspace = settings.cassandra.keyspace
    yield f"DROP ROLE IF EXISTS {FIRST[0]}"
    yield (
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
    )
    for role, rights in RIGHTS.items():
        secret = security.password(settings.files, role)
        yield f"CREATE ROLE IF NOT EXISTS {role} WITH {_login(secret)}"
        yield f"GRANT {', '.join(rights)} ON KEYSPACE {keyspace} TO {role}"
    # How nodes sync their commit log, which the doctor looks at.
    yield f"GRANT SELECT ON TABLE system_views.settings TO {USER}"


def _login(secret: str) -> str:
    return f"LOGIN = true AND PASSWORD = '{secret}'"


def _asked(connect: Any, *statements: str) -> bool:
    try:
        with connect() as session:
            for statement in statements:
                session.execute(statement)
    except (NoHostAvailable, DriverException):
        return False
    return True


@contextmanager
def _connected(
    port: int, settings: Settings | None = None, login: tuple[str, str] | None = None
) -> Iterator[Session]:
    secured = {}
    if settings and login:
        ca = settings.files.security("ca.pem")
        secured = {
            "ssl_context": ssl.create_default_context(cafile=ca),
            "auth_provider": PlainTextAuthProvider(*login),
        }
    cluster = Cluster([LOOPBACK], port=port, protocol_version=5, **secured)
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()
