"""The Cassandra ring: how it is reached, and why it cannot be, in one sentence."""

import logging
import re
import socket

from cassandra import ConsistencyLevel, DriverException, RequestValidationException, Unauthorized
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    LoadBalancingPolicy,
    TokenAwarePolicy,
)

from clickstream.clients import endpoints, tls
from clickstream.clients.endpoints import CassandraEndpoint
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning

TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 5
RECONNECT_S = 2
FAILURES = (DriverException, NoHostAvailable, ConnectionException)
NO_RIGHT = re.compile(r"User (\S+) has no (\S+) permission on <([^<>]+)>")

logging.getLogger("cassandra").addHandler(logging.NullHandler())


def cluster(settings: Settings, reader: bool, policy: LoadBalancingPolicy | None = None) -> Cluster:
    """The driver's object of the ring, not yet connected; `reader`: as the role that only reads.

    `policy` says which nodes are asked, ours by default.
    """
    endpoint = endpoints.cassandra(settings, reader)
    local = DCAwareRoundRobinPolicy(local_dc=endpoint.datacenter)
    profile = ExecutionProfile(
        load_balancing_policy=policy or TokenAwarePolicy(local),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=TIMEOUT_S,
    )
    login = None
    if endpoint.username:
        login = PlainTextAuthProvider(endpoint.username, endpoint.password)
    names = settings.cassandra.check_hostname
    return Cluster(
        contact_points=endpoint.hosts,
        port=endpoint.port,
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=login,
        ssl_context=tls.material(settings).context(names) if endpoint.tls else None,
        connect_timeout=CONNECT_TIMEOUT_S,
        # Without it a second request waits up to 40 ms for the first one's delayed acknowledgement.
        sockopts=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        # The driver's own doubles its pauses up to ten minutes: too late after an outage of one.
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, None),
    )


def failure(error: Exception) -> ClickstreamError:
    """A statement's failure as ours; what it was about is not told, since lines of logs are."""
    if isinstance(error, Unauthorized):
        return _no_right(error)
    if isinstance(error, RequestValidationException):
        return ClickstreamError("Cassandra refuses a statement")
    return NotRunning("Cassandra did not answer")


def refusal(error: DriverException) -> ClickstreamError:
    """Why tables cannot be made or found; no line of a log is in it."""
    return (
        _no_right(error)
        if isinstance(error, Unauthorized)
        else ClickstreamError(f"Cassandra: {error}")
    )


def unreachable(settings: Settings, reader: bool, error: NoHostAvailable) -> ClickstreamError:
    """Why there is no connection: the login, TLS, or that nothing answers."""
    endpoint = endpoints.cassandra(settings, reader)
    where = f"Cassandra at {','.join(endpoint.hosts)}:{endpoint.port}"
    refusals = [str(each) for each in error.errors.values() if "Authentic" in type(each).__name__]
    if refusals:
        return _login(where, endpoint, reader, refusals[0])
    if problem := _tls_problem(settings, endpoint):
        return ClickstreamError(f"{where}: {problem.reason}", problem.hint)
    hint = "is it up, and are cassandra.hosts and cassandra.port right?"
    if not settings.cassandra.hosts:
        hint = endpoints.START_HINT
    return NotRunning(f"{where.replace(' at', ' does not answer at')}", hint)


def _tls_problem(settings: Settings, endpoint: CassandraEndpoint) -> tls.Problem | None:
    if not endpoint.tls:
        speaks = any(tls.spoken(host, endpoint.port) for host in endpoint.hosts)
        return tls.Problem("it speaks TLS", "set cassandra.tls = true") if speaks else None
    ours, names = tls.material(settings), settings.cassandra.check_hostname
    found = (tls.problem(host, endpoint.port, ours, names) for host in endpoint.hosts)
    problem = next((each for each in found if each and each.answers), None)
    if problem and problem.reason.startswith(tls.OTHER_NAME):
        # The driver takes each node by its address, whatever name it was given.
        own = "or set cassandra.check_hostname = false: any certificate of tls.ca is then taken"
        return problem._replace(hint=f"nodes need their addresses in it; {own}")
    return problem


def _login(where: str, endpoint: CassandraEndpoint, reader: bool, refusal: str) -> ClickstreamError:
    role = "reader_" if reader and endpoint.reader else ""
    if not endpoint.username:
        return ClickstreamError(f"{where} asks for a login", f"set cassandra.{role}username")
    what = "wrong password, or no such role"
    if "Bad credentials" not in refusal:
        what = "it takes no such login"
    return ClickstreamError(
        f"{where} refuses the login of {endpoint.username}: {what}",
        f"check cassandra.{role}username and its password (cassandra.{role}password_file, or"
        f" CLICKSTREAM_CASSANDRA__{role.upper()}PASSWORD)",
    )


def _no_right(error: Unauthorized) -> ClickstreamError:
    found = NO_RIGHT.search(str(error))
    if not found:
        return ClickstreamError("Cassandra refuses a statement for lack of rights")
    role, right, what = found.groups()
    kind, _, name = what.rpartition(" ")  # "table k.t", "keyspace k", "all keyspaces"
    place = "ALL KEYSPACES" if kind == "all" else f"KEYSPACE {name.partition('.')[0]}"
    return ClickstreamError(
        f"Cassandra: role {role} has no right to {right} on {what}",
        f"an administrator can give it: GRANT {right} ON {place} TO {role};",
    )
