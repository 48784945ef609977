"""Cassandra: a ring that does not forget what it has acknowledged."""

import time
from collections.abc import Iterator

from clickstream.clients import endpoints, tls
from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.doctor import clock, endpoint
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.status.part import counted
from clickstream.views.realtime import ring_status
from clickstream.views.realtime.ring_status import Ring

LEAST = (4, 1)
ENOUGH_COPIES = 3
LAST_EXPIRY_S = 2**31 - 1
"""January 2038: a node that keeps to the older format of files takes no row that expires later."""
REPAIR = "ALTER KEYSPACE {} WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {}}}"


def check(settings: Settings) -> Iterator[Finding]:
    """Each node that is named, then what the ring says of itself."""
    given = endpoints.cassandra(settings)
    named = [(host, given.port) for host in given.hosts]
    yield from (found := endpoint.reached("Cassandra", named, "cassandra.hosts"))
    if endpoint.nobody_answers(found):
        return
    ours, names = tls.material(settings) if given.tls else None, settings.cassandra.check_hostname
    hint = "set cassandra.tls = true"
    yield from (found := endpoint.transport("Cassandra", named, ours, hint, names))
    if endpoint.nobody_answers(found):
        return
    yield from of(settings, given.datacenter, ring_status.asked(settings), time.time())
    if reader := settings.cassandra.reader_username:
        yield of_reader(settings.cassandra.keyspace, reader, ring_status.reader_rights(settings))


def of(settings: Settings, datacenter: str, told: Ring, now_s: float) -> Iterator[Finding]:
    """What a ring has told, seen from the datacenter that is configured."""
    yield _version(told.version)
    yield clock.service("Cassandra", told.ahead_s)
    if told.rights is not None:
        yield _rights(settings, told.rights, made=told.copies is not None)
    if datacenter not in told.nodes:
        names = ", ".join(sorted(told.nodes))
        text = f"there is no datacenter {datacenter} in the ring, whose are: {names}"
        yield problem(text, "set cassandra.datacenter")
        return
    up, nodes = told.nodes[datacenter]
    if up < nodes:
        yield warning(f"{up} of {nodes} nodes of {datacenter} are up", "nodetool status")
    copies = _copies(settings, datacenter, told)
    yield from _replication(settings, datacenter, copies, nodes, told)
    yield _consistency(copies, up, nodes)
    yield from _sync(told, copies)
    yield _ttl(settings.cassandra.ttl_days, now_s)


def of_reader(keyspace: str, role: str, rights: frozenset[str] | None) -> Finding:
    """What the role of `cassandra.reader_username` may do in the keyspace."""
    who, resource = f"role {role} of cassandra.reader_username", f"KEYSPACE {keyspace}"
    if rights is None:
        return warning(f"{who} may do everything", f"give it SELECT ON {resource} alone")
    return endpoint.reader(who, keyspace, (resource, role), rights)


def _version(version: str) -> Finding:
    number = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
    if number < LEAST:
        least = ".".join(map(str, LEAST))
        return problem(f"Cassandra is version {version}, too old", f"use {least} or newer")
    return ok(f"Cassandra {version}")


def _rights(settings: Settings, rights: frozenset[str], made: bool) -> Finding:
    user, keyspace = settings.cassandra.username, settings.cassandra.keyspace
    if "SELECT" not in rights:
        text = f"{user} may not read keyspace {keyspace}"
        return problem(text, f"GRANT SELECT ON KEYSPACE {keyspace} TO {user}")
    wanted = {"MODIFY"} if made else {"MODIFY", "CREATE"}
    if missing := sorted(wanted - rights):
        text = f"{user} only reads keyspace {keyspace}: enough for reports, not for the stream"
        return warning(text, f"for speed run: GRANT {missing[0]} ON KEYSPACE {keyspace} TO {user}")
    return ok(f"{user} may write in keyspace {keyspace}")


def _copies(settings: Settings, datacenter: str, told: Ring) -> int:
    """Of a keyspace that is still to be made: what it will have."""
    if told.copies is None:
        return settings.cassandra.replication_factor
    return told.copies.get(datacenter, told.copies.get("", 0))


def _replication(
    settings: Settings, datacenter: str, copies: int, nodes: int, told: Ring
) -> Iterator[Finding]:
    keyspace, wanted = settings.cassandra.keyspace, settings.cassandra.replication_factor
    replicas, where = counted(copies, "replica"), f"{counted(nodes, 'node')} of {datacenter}"
    if copies > nodes:
        text = f"keyspace {keyspace} is to have {replicas} on {where}"
        yield problem(text, "lower cassandra.replication_factor, or add nodes")
    elif copies == 0:
        text = f"keyspace {keyspace} has no replica in {datacenter}"
        yield problem(text, REPAIR.format(keyspace, datacenter, wanted))
    elif told.copies is not None and copies != wanted:
        text = f"keyspace {keyspace} has {replicas}, cassandra.replication_factor is {wanted}"
        yield warning(text, f"{REPAIR.format(keyspace, datacenter, wanted)}, then nodetool repair")
    elif copies == 1 < nodes:
        text = f"keyspace {keyspace} has one replica on {where}: a lost disk loses views"
        yield warning(text, f"{REPAIR.format(keyspace, datacenter, 3)}, then nodetool repair")
    else:
        yield ok(f"keyspace {keyspace} has {replicas} on {where}")


def _consistency(copies: int, up: int, nodes: int) -> Finding:
    """Reads and writes ask a majority of a row's replicas (LOCAL_QUORUM)."""
    needed = copies // 2 + 1
    spare, replicas = copies - needed, counted(copies, "replica")
    if up < needed:
        text = f"LOCAL_QUORUM needs {needed} of {replicas}; nodes that are up: {up}"
        return problem(text, "start nodes: nodetool status")
    if spare == 0 and nodes > 1:
        text = f"with {replicas} LOCAL_QUORUM waits for any node that is down"
        return warning(text, "three replicas let one node go")
    return ok(f"LOCAL_QUORUM needs {needed} of {replicas}")


def _sync(told: Ring, copies: int) -> Iterator[Finding]:
    loose = sorted(at for at, value in told.commitlog_sync.items() if value == "periodic")
    unknown = sorted(at for at, value in told.commitlog_sync.items() if value is None)
    hint = "commitlog_sync: batch or group on every node (docs/cluster.md says why)"
    if loose:
        text = f"{', '.join(loose)} acknowledges before it syncs (commitlog_sync: periodic)"
        made = problem if copies < ENOUGH_COPIES else warning
        yield made(f"{text}: a kill forgets what the stream never sends again", hint)
    if unknown:
        asking = "GRANT SELECT ON system_views.settings TO our user lets it ask"
        yield warning(f"{', '.join(unknown)} does not say its commitlog_sync", f"{asking}; {hint}")
    if not loose and not unknown:
        yield ok("every node syncs its commit log before it acknowledges")


def _ttl(days: int, now_s: float) -> Finding:
    if now_s + days * DAY_SECONDS > LAST_EXPIRY_S:
        text = f"cassandra.ttl_days = {days:,}: rows would expire after January 2038"
        return problem(f"{text}, which Cassandra refuses by default", "set fewer days")
    return ok(f"the real-time views forget a row after {days:,} days (cassandra.ttl_days)")
