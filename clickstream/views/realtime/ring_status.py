"""What a Cassandra ring says of itself: its nodes, their settings, the keyspace, its clock."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from cassandra import DriverException
from cassandra.cluster import Cluster, NoHostAvailable, Session
from cassandra.policies import RoundRobinPolicy

from clickstream.config import Settings
from clickstream.views.realtime import ring
from clickstream.views.realtime.ring import FAILURES
from clickstream.views.realtime.store import epoch

_SETTING = "SELECT value FROM system_views.settings WHERE name = %s"
EVERY_KEYSPACE = "<all keyspaces>"
_LOCAL = "SELECT release_version, toTimestamp(now()) AS moment FROM system.local"


class Ring(NamedTuple):
    """The answers.

    `nodes` has of each datacenter how many nodes are up and how many there are. `commitlog_sync`
    has each node's setting by its address, None where it lets us not ask. `copies` is the
    keyspace's replication by datacenter ("" for any), None where it is not made yet. `rights` are
    the permissions of our user in the keyspace, None where every user may do everything.
    """

    version: str
    ahead_s: float
    nodes: Mapping[str, tuple[int, int]]
    commitlog_sync: Mapping[str, str | None]
    copies: Mapping[str, int] | None
    rights: frozenset[str] | None


def asked(settings: Settings) -> Ring:
    """Ask the ring, from whichever datacenter; changes nothing.

    Raises NotRunning where nothing answers, ClickstreamError where we are not let in.
    """
    with _connected(settings, reader=False) as (cluster, session):
        return _ring(settings, cluster, session)


def reader_rights(settings: Settings) -> frozenset[str] | None:
    """The permissions of the role that only reads; None and raises as `asked`."""
    with _connected(settings, reader=True) as (_, session):
        return _rights(session, settings, settings.cassandra.reader_username)


@contextmanager
def _connected(settings: Settings, reader: bool) -> Iterator[tuple[Cluster, Session]]:
    cluster = ring.cluster(settings, reader, RoundRobinPolicy())
    try:
        yield cluster, cluster.connect()
    except NoHostAvailable as error:
        raise ring.unreachable(settings, reader, error) from error
    except DriverException as error:
        raise ring.refusal(error) from error
    finally:
        cluster.shutdown()


def _ring(settings: Settings, cluster: Cluster, session: Session) -> Ring:
    local = session.execute(_LOCAL).one()
    hosts = cluster.metadata.all_hosts()
    nodes: dict[str, tuple[int, int]] = {}
    for host in hosts:
        up, every = nodes.get(host.datacenter, (0, 0))
        nodes[host.datacenter] = up + bool(host.is_up), every + 1
    return Ring(
        version=local.release_version,
        ahead_s=epoch(local.moment) + local.moment.microsecond / 1e6 - time.time(),
        nodes=nodes,
        commitlog_sync={host.address: _sync(session, host) for host in hosts if host.is_up},
        copies=_copies(cluster, settings.cassandra.keyspace),
        rights=_rights(session, settings, settings.cassandra.username),
    )


def _sync(session: Session, host: Any) -> str | None:
    try:
        row = session.execute(_SETTING, ("commitlog_sync",), host=host).one()
    except FAILURES:
        return None
    return row.value if row else None


def _copies(cluster: Cluster, keyspace: str) -> dict[str, int] | None:
    known = cluster.metadata.keyspaces.get(keyspace)
    if known is None:
        return None
    strategy = known.replication_strategy
    by_datacenter = getattr(strategy, "dc_replication_factors_info", None)
    if by_datacenter is None:
        return {"": int(getattr(strategy, "replication_factor", 1))}
    return {name: int(factor.all_replicas) for name, factor in by_datacenter.items()}


def _rights(session: Session, settings: Settings, user: str) -> frozenset[str] | None:
    if not user:
        return None
    role = '"{}"'.format(user.replace('"', '""'))
    try:
        roles = session.execute(f"LIST ROLES OF {role}")
        if any(each.super for each in roles):
            return None
        granted = session.execute(f"LIST ALL PERMISSIONS OF {role}")
        return rights_in(settings.cassandra.keyspace, ((each[-2], each[-1]) for each in granted))
    except FAILURES:  # an authorizer that lets everybody do everything has no list
        return None


def rights_in(keyspace: str, granted: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The permissions on all of a keyspace, from (resource, permission) as Cassandra lists them."""
    resources = (EVERY_KEYSPACE, f"<keyspace {keyspace}>")
    return frozenset(permission for resource, permission in granted if resource in resources)
