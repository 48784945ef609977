"""Why the Cassandra ring does not let us in, in one sentence."""

import socket
import ssl

import pytest
from cassandra import AuthenticationFailed, InvalidRequest, OperationTimedOut, Unauthorized
from cassandra.cluster import NoHostAvailable

from clickstream import config
from clickstream.clients import endpoints, tls
from clickstream.clients.tls import NO_TLS, SILENT, Problem
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.views.realtime import ring
from tests.certificates import Authority

HOST = "127.0.0.1"
BAD = 'code=0100 [Bad credentials] message="Provided username w and/or password are incorrect"'


@pytest.fixture(autouse=True)
def _nothing_answers(monkeypatch):
    monkeypatch.setattr(tls, "spoken", lambda *_: False)
    monkeypatch.setattr(tls, "problem", lambda *_: None)


@pytest.fixture
def settings(tmp_path):
    def of(**values):
        flags = {"cassandra.hosts": HOST, "cassandra.username": "w"}
        return config.load(
            home=tmp_path, flags=flags | {f"cassandra.{k}": v for k, v in values.items()}
        )

    return of


def told(settings, error, reader=False):
    return ring.unreachable(settings, reader, NoHostAvailable("", {HOST: error}))


@pytest.mark.parametrize(
    ("values", "reader", "text", "key"),
    [
        (
            {},
            False,
            "refuses the login of w: wrong password, or no such role",
            "cassandra.username",
        ),
        ({}, True, "refuses the login of w:", "cassandra.password_file"),
        ({"reader_username": "r"}, True, "refuses the login of r:", "cassandra.reader_username"),
        ({"reader_username": "r"}, True, "login", "CLICKSTREAM_CASSANDRA__READER_PASSWORD"),
        ({"username": ""}, False, "asks for a login", "set cassandra.username"),
    ],
)
def test_a_login_that_is_refused(settings, values, reader, text, key):
    error = told(settings(**values), AuthenticationFailed(BAD), reader)
    assert text in error.message
    assert key in error.hint
    assert not isinstance(error, NotRunning)


@pytest.mark.parametrize(
    ("problem", "hint"),
    [
        (NO_TLS, NO_TLS.hint),
        (Problem("its certificate has expired", "renew"), "renew"),
        (Problem(f"{tls.OTHER_NAME} {HOST}", ""), "cassandra.check_hostname = false"),
    ],
)
def test_tls_that_fails(settings, monkeypatch, problem, hint):
    monkeypatch.setattr(tls, "problem", lambda *_: problem)
    error = told(settings(tls="true"), PermissionError("CERTIFICATE_VERIFY_FAILED"))
    assert error.message == f"Cassandra at {HOST}:9042: {problem.reason}"
    assert hint in error.hint


def test_tls_that_is_there_and_not_asked_for(settings, monkeypatch):
    monkeypatch.setattr(tls, "spoken", lambda *_: True)
    error = told(settings(), ConnectionResetError())
    assert error.message.endswith("it speaks TLS")
    assert "cassandra.tls = true" in error.hint


@pytest.mark.parametrize("problem", [None, SILENT, Problem("no", "", answers=False)])
def test_a_ring_elsewhere_is_not_started_by_us(settings, monkeypatch, problem):
    monkeypatch.setattr(tls, "problem", lambda *_: problem)
    for chosen in (settings(tls="true"), settings()):
        error = told(chosen, ConnectionRefusedError())
        assert isinstance(error, NotRunning)
        assert error.message == f"Cassandra does not answer at {HOST}:9042"
        assert "stack up" not in error.hint


def test_the_local_one_is_started_by_us(tmp_path):
    with socket.create_server((HOST, 0)) as open_port:
        endpoints.remember_ports(tmp_path, {"cassandra": open_port.getsockname()[1]})
        error = told(config.load(home=tmp_path), ConnectionRefusedError())
    assert error.hint == "start it: clickstream stack up"


@pytest.mark.parametrize(
    ("what", "grant"),
    [
        ("table clickstream.seen", "GRANT MODIFY ON KEYSPACE clickstream TO r;"),
        ("keyspace clickstream", "GRANT MODIFY ON KEYSPACE clickstream TO r;"),
        ("all keyspaces", "GRANT MODIFY ON ALL KEYSPACES TO r;"),
    ],
)
def test_a_right_that_is_missing(what, grant):
    text = f'code=2100 [Unauthorized] message="User r has no MODIFY permission on <{what}> or any"'
    for error in (ring.failure(Unauthorized(text)), ring.refusal(Unauthorized(text))):
        assert error.message == f"Cassandra: role r has no right to MODIFY on {what}"
        assert grant in error.hint


def test_a_statement_that_is_refused_does_not_tell_what_was_in_it():
    assert ring.failure(InvalidRequest("GET /secret")).message == "Cassandra refuses a statement"
    assert isinstance(ring.failure(OperationTimedOut()), NotRunning)
    assert type(ring.failure(Unauthorized("in words of another version"))) is ClickstreamError


def test_the_driver_is_given_tls_and_the_role(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(ring, "Cluster", lambda **arguments: given.update(arguments))
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__READER_PASSWORD", "of-the-reader")
    flags = {"cassandra.hosts": "h", "cassandra.tls": "true", "cassandra.reader_username": "r"}
    flags["tls.ca"] = str(Authority(tmp_path).ca)
    ring.cluster(config.load(home=tmp_path, flags=flags), reader=True)
    login = given["auth_provider"]
    assert (login.username, login.password) == ("r", "of-the-reader")
    context = given["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    ring.cluster(
        config.load(home=tmp_path, flags=flags | {"cassandra.check_hostname": "false"}), False
    )
    assert given["auth_provider"] is None
    assert given["ssl_context"].check_hostname is False
    assert given["ssl_context"].verify_mode is ssl.CERT_REQUIRED
