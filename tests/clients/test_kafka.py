"""Why Kafka does not let us in, in one sentence within a few seconds: librdkafka for real."""

import socket

import pytest
from confluent_kafka import KafkaError, KafkaException

from clickstream import config
from clickstream.clients import kafka
from clickstream.errors import ClickstreamError, NotRunning
from tests.certificates import Authority
from tests.tls_server import HOST, serving, shaking

WHERE = "sasl_ssl://b1:9093/bootstrap:"
CREDENTIALS = (
    f"{WHERE} SASL authentication error: Authentication failed during authentication due to"
    " invalid credentials with SASL mechanism SCRAM-SHA-512 (after 4ms in state AUTH_REQ)"
)
MECHANISM = (
    f"{WHERE} SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism:"
    " broker's supported mechanisms: SCRAM-SHA-512"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _password(monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_KAFKA__PASSWORD", "of-the-client")


def settings_of(home, authority, address, security="SSL", **more):
    flags = {"kafka.bootstrap": address, "kafka.security": security, "tls.ca": str(authority.ca)}
    if security.startswith("SASL"):
        flags |= {"kafka.username": "cli"}
    return config.load(home=home, flags=flags | more)


def asked(settings) -> ClickstreamError:
    """The error of a question to Kafka."""
    with pytest.raises(ClickstreamError) as told:
        kafka.offsets(settings)
    return told.value


@pytest.mark.parametrize("security", ["SSL", "SASL_SSL"])
@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        ({"days": (-20, -1)}, "its certificate has expired"),
        ({"names": ("elsewhere.example",)}, f"its certificate is not for {HOST}"),
    ],
)
def test_a_certificate_that_is_not_right(authority, tmp_path, security, issued, reason):
    with serving(shaking(authority.issue("broker", **issued))) as port:
        error = asked(settings_of(tmp_path, authority, f"{HOST}:{port}", security))
    assert error.message == f"Kafka at {HOST}:{port}: {reason}"
    assert not isinstance(error, NotRunning)


def test_a_certificate_of_another_authority(authority, tmp_path):
    other = Authority(tmp_path, "other")
    with serving(shaking(other.issue("broker"))) as port:
        error = asked(settings_of(tmp_path, authority, f"{HOST}:{port}"))
    assert error.message.endswith(f"its certificate was not issued by {authority.ca}")
    assert error.hint.startswith("tls.ca")


def test_tls_that_is_there_and_not_asked_for(authority, tmp_path):
    with serving(shaking(authority.issue("broker"))) as port:
        settings = settings_of(tmp_path, authority, f"{HOST}:{port}", "PLAINTEXT")
        error = asked(settings)
        assert error.message == f"Kafka at {HOST}:{port} speaks TLS"
        assert "kafka.security = SASL_SSL" in error.hint
        with pytest.raises(ClickstreamError, match="speaks TLS"):
            kafka.require_tls_as_configured(settings)


def test_tls_that_is_not_there(authority, tmp_path):
    with serving(lambda connection: connection.recv(10)) as port:
        settings = settings_of(tmp_path, authority, f"{HOST}:{port}")
        assert asked(settings).message == f"Kafka at {HOST}:{port}: it does not speak TLS"
        with pytest.raises(ClickstreamError, match="does not speak TLS"):
            kafka.require_tls_as_configured(settings)


def test_a_broker_that_ends_what_it_does_not_take(authority, tmp_path, monkeypatch):
    """A listener that asks for a login, and a client that has none."""
    monkeypatch.setattr(kafka, "UNANSWERED_S", 0)
    with serving(shaking(authority.issue("broker"))) as port:
        error = asked(settings_of(tmp_path, authority, f"{HOST}:{port}"))
    assert isinstance(error, NotRunning)
    assert "takes connections, but does not answer what comes as SSL" in error.message
    assert "a login or none" in error.hint


def test_before_an_agent_starts_every_broker_that_answers_is_asked(authority, tmp_path):
    """A producer without TLS may take any of them first, and dies of the one with TLS."""
    with (
        socket.create_server((HOST, 0)) as closed,
        serving(lambda connection: connection.recv(10)) as plain,
        serving(shaking(authority.issue("broker"))) as port,
    ):
        away = closed.getsockname()[1]
        closed.close()
        addresses = f"{HOST}:{away},{HOST}:{plain}"
        kafka.require_tls_as_configured(settings_of(tmp_path, authority, addresses, "PLAINTEXT"))
        addresses += f",{HOST}:{port}"
        with pytest.raises(ClickstreamError, match=f"{port} speaks TLS"):
            kafka.require_tls_as_configured(
                settings_of(tmp_path, authority, addresses, "PLAINTEXT")
            )


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (CREDENTIALS, "refuses the login of cli: wrong password", "kafka.password_file"),
        (MECHANISM, "takes no login by SCRAM-SHA-512", "takes: SCRAM-SHA-512"),
    ],
)
def test_a_login_that_is_refused(authority, tmp_path, text, message, hint):
    settings = settings_of(tmp_path, authority, "b1:9093", "SASL_SSL")
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
    with pytest.raises(ClickstreamError, match=message) as told:
        kafka._refuse(settings, [down, KafkaError(KafkaError._AUTHENTICATION, text)])
    assert hint in told.value.hint


def test_a_right_that_is_missing(authority, tmp_path):
    settings = settings_of(tmp_path, authority, "b1:9093", "SASL_SSL")
    error = kafka._failure(
        settings, KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    )
    assert error.message == "Kafka at b1:9093 gives User:cli no right to use topic clickstream"
    assert "Write" in error.hint


def test_a_broker_that_takes_too_long_does_not_answer(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(kafka, "_log_in", lambda *_: None)

    def late(*_, **asked):
        raise TimeoutError

    monkeypatch.setattr(kafka, "described", late)
    settings = settings_of(tmp_path, authority, "b1:9093")
    for ask in (kafka.topic_id, kafka.require_write):
        with pytest.raises(NotRunning, match="Kafka does not answer at b1:9093"):
            ask(settings)


def test_a_broker_elsewhere_is_not_started_by_us(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(kafka, "TIMEOUT_S", 1)
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    error = asked(settings_of(tmp_path, authority, f"{HOST}:{port}"))
    assert isinstance(error, NotRunning)
    assert error.message == f"Kafka does not answer at {HOST}:{port}"
    assert "stack" not in error.hint


def test_a_login_needs_a_password(authority, tmp_path, monkeypatch):
    monkeypatch.delenv("CLICKSTREAM_KAFKA__PASSWORD")
    error = asked(settings_of(tmp_path, authority, "b1:9093", "SASL_SSL"))
    assert error.message == "there is no password for cli at Kafka"
    assert "kafka.password_file" in error.hint
