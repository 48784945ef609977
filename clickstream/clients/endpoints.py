"""Where each store is reached: what the configuration names, else the home's local stack.

The local stack remembers its ports in the home (name -> port, names as in `stack.ports`, plus one
per agent for its metrics and `collector` for the Avro source).
"""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clickstream.errors import NotRunning
from clickstream.home import Home, write_atomic

if TYPE_CHECKING:
    from sqlalchemy import URL

    from clickstream.config import Settings

LOOPBACK = "127.0.0.1"
KERBEROS_HOST = "localhost"
"""Where Kerberos is on: it knows hosts by their names, not by addresses."""
SERVER_PORTS = (20_000, 32_768)
START_HINT = "start it: clickstream stack up"
DATABASE = "clickstream"
DATABASE_USER = "clickstream"
DATABASE_READER = "clickstream_reader"


class CassandraEndpoint(NamedTuple):
    """How the Cassandra ring is reached; the password is empty where no login is asked.

    `reader`: the login is that of the role which only reads.
    """

    hosts: list[str]
    port: int
    datacenter: str
    username: str
    password: str
    tls: bool = False
    reader: bool = False


def kafka_bootstrap(settings: "Settings") -> str:
    """`host:port[,host:port]`; raises NotRunning."""
    return settings.kafka.bootstrap or f"{LOOPBACK}:{_local(settings, 'kafka', 'Kafka')}"


def hdfs_url(settings: "Settings") -> str:
    """`hdfs://host:port`, as Hadoop clients take it; raises NotRunning."""
    if settings.hdfs.url:
        return settings.hdfs.url
    host = KERBEROS_HOST if settings.hdfs.principal else LOOPBACK
    return f"hdfs://{host}:{_local(settings, 'namenode', 'HDFS')}"


def hdfs_web(settings: "Settings") -> str:
    """`http://host:port` of the NameNode, or `https://`, for WebHDFS; raises NotRunning."""
    if settings.hdfs.web:
        return settings.hdfs.web
    root = f"https://{KERBEROS_HOST}" if settings.hdfs.principal else f"http://{LOOPBACK}"
    return f"{root}:{_local(settings, 'namenode_http', 'HDFS')}"


def cassandra(settings: "Settings", reader: bool = False) -> CassandraEndpoint:
    """The ring that holds the real-time views; raises NotRunning.

    `reader`: as the role that only reads, where there is one.
    """
    given = settings.cassandra
    reader = reader and bool(given.reader_username)
    username = given.reader_username if reader else given.username
    password = settings.secret("cassandra.reader_password" if reader else "cassandra.password")
    if given.hosts:
        place = given.hosts, given.port, given.datacenter
    else:
        place = [LOOPBACK], _local(settings, "cassandra", "Cassandra"), "datacenter1"
    secured = given.tls and (bool(given.hosts) or settings.files.is_secured)
    return CassandraEndpoint(*place, username, password, secured, reader)


def database_url(settings: "Settings", reader: bool = False) -> "URL":
    """The SQLAlchemy URL of the batch views; raises NotRunning. Its password is never printed.

    `reader`: as the user that only reads, where there is one.
    """
    from sqlalchemy import URL

    own = reader and settings.database.reader_url.get_secret_value()
    if own or settings.database.url.get_secret_value():
        return _configured_url(settings, "reader_" if own else "")
    port = _local(settings, "mariadb", "MariaDB")
    user = DATABASE_USER
    if reader and password_file(settings.home, DATABASE_READER).exists():
        user = DATABASE_READER
    password = password_file(settings.home, user).read_text().strip()
    files = settings.files
    # Otherwise the driver reads every authority of the machine before it asks for TLS.
    options = {"ssl_disabled": "true"}
    if files.is_secured:
        options = {"ssl_ca": str(files.security("ca.pem"))}
    return URL.create("mysql+pymysql", user, password, LOOPBACK, port, DATABASE, options)


def _configured_url(settings: "Settings", prefix: str) -> "URL":
    """A URL of `[database]`, with the password of its file where it has none of its own."""
    from sqlalchemy import make_url

    database = settings.database
    url = make_url((database.reader_url if prefix else database.url).get_secret_value())
    if url.password is not None:
        return url
    return url.set(password=settings.secret_file(f"database.{prefix}password_file") or None)


def password_file(home: Path, user: str = DATABASE_USER) -> Path:
    """The local MariaDB's password for a user (mode 0600)."""
    return Home(home).password("" if user == DATABASE_USER else user)


def remembered_ports(home: Path) -> dict[str, int]:
    """The ports this home uses; empty before its first start."""
    try:
        ports: dict[str, int] = json.loads(Home(home).ports.read_text())
    except FileNotFoundError:
        return {}
    return ports


def remember_ports(home: Path, ports: dict[str, int]) -> None:
    """Add to what the home remembers, in one atomic write."""
    known = remembered_ports(home) | ports
    write_atomic(Home(home).ports, json.dumps(known, indent=1, sort_keys=True))


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free loopback port for each name, no two the same.

    They lie below the ports that systems hand to outgoing connections (from 32768 on Linux, from
    49152 by RFC 6335): while a server is down, no client of anything can be given its port.
    """
    candidates = iter(random.sample(range(*SERVER_PORTS), k=1000))
    return {name: next(port for port in candidates if can_listen(port)) for name in names}


def can_listen(port: int) -> bool:
    """Whether a server could listen on this loopback port: asked by trying, as a server would."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def port_open(port: int, host: str = LOOPBACK) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def is_loopback(host: str | None) -> bool:
    """Whether a host in a configuration is this machine, by the names it is usually given."""
    return host in (None, "", LOOPBACK, "localhost", "::1")


def _local(settings: "Settings", name: str, product: str) -> int:
    port = remembered_ports(settings.home).get(name)
    if port is None or not port_open(port):
        raise NotRunning(f"{product} is not running", START_HINT)
    return port
