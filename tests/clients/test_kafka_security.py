"""What each kind of Kafka client is told of TLS and the login."""

import pytest

from clickstream import config
from clickstream.clients import kafka_security
from clickstream.errors import UsageError
from clickstream.ingest.flume import agent_config, security
from clickstream.ingest.flume.agent import Agent
from tests.certificates import Authority

PASSWORD = 'mar"ker\\'
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def settings(tmp_path, authority, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_KAFKA__PASSWORD", PASSWORD)
    flags = {"hdfs.url": "hdfs://nn:1", "kafka.bootstrap": "b1:9093,b2:9093"}
    flags |= {"tls.ca": str(authority.ca)}

    def of(security="SASL_SSL", **more):
        login = {"kafka.username": "flume"} if security.startswith("SASL") else {}
        chosen = flags | login | {"kafka.security": security}
        return config.load(home=tmp_path / "home", flags=chosen | more)

    return of


def with_certificate(authority):
    ours = authority.issue("ours")
    return ours, {"tls.certificate": str(ours.certificate), "tls.key": str(ours.key)}


def test_librdkafka(settings, authority):
    assert kafka_security.librdkafka(settings()) == {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(authority.ca),
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "flume",
        "sasl.password": PASSWORD,
    }
    ours, flags = with_certificate(authority)
    assert kafka_security.librdkafka(settings("SSL", **flags)) == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(authority.ca),
        "ssl.certificate.location": str(ours.certificate),
        "ssl.key.location": str(ours.key),
    }


def test_a_reader_of_spark(settings, authority):
    given = kafka_security.spark(settings())
    quoted = PASSWORD.replace("\\", r"\\").replace('"', r"\"")
    assert given == {
        "kafka.bootstrap.servers": "b1:9093,b2:9093",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.sasl.jaas.config": f'{SCRAM} required username="flume" password="{quoted}";',
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.certificates": authority.ca.read_text(),
    }
    ours, flags = with_certificate(authority)
    given = kafka_security.spark(settings("SSL", **flags))
    assert given["kafka.ssl.keystore.key"] == ours.key.read_text()
    assert given["kafka.ssl.keystore.certificate.chain"] == ours.certificate.read_text()


def test_plain_has_a_module_of_its_own(settings):
    given = kafka_security.spark(settings("SASL_PLAINTEXT", **{"kafka.mechanism": "PLAIN"}))
    assert "security.plain.PlainLoginModule required" in given["kafka.sasl.jaas.config"]
    assert not [key for key in given if "ssl" in key]


@pytest.mark.parametrize("security", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_the_rendered_agent_has_no_secret(settings, security):
    chosen = settings(security)
    files = agent_config.files(chosen, "agent3")
    text = "".join(file.content for file in files)
    assert "mar" + '"' not in text
    assert ("security.protocol" in text) == (security != "PLAINTEXT")
    assert ('password="${env:KAFKA_PRODUCER_PASSWORD}"' in text) == security.startswith("SASL")
    assert ("ssl.truststore.location" in text) == security.endswith("SSL")


def test_the_collector_alone_is_given_the_password_in_its_environment(settings):
    variable = kafka_security.PASSWORD_VARIABLE
    assert Agent(settings(), "agent3")._env()[variable] == 'mar\\"ker\\\\'
    assert variable not in Agent(settings(), "agent1")._env()
    assert variable not in Agent(settings("SSL"), "agent3")._env()


def test_a_password_that_flume_would_resolve_is_refused(settings, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_KAFKA__PASSWORD", "a${env:HOME}")
    with pytest.raises(UsageError, match="variable's name") as told:
        kafka_security.flume_environment(settings())
    assert "HOME" not in str(told.value)


def test_our_key_is_a_file_of_the_collector_alone(settings, authority):
    ours, flags = with_certificate(authority)
    chosen = settings("SSL", **flags)
    store = chosen.files.kafka_key("agent3")
    assert f"ssl.keystore.location = {store}" in agent_config.files(chosen, "agent3")[0].content
    security.write_collector_stores(chosen, "agent3")
    (written,) = chosen.home.rglob("*.pem")
    assert written == store
    assert written.stat().st_mode & 0o777 == 0o600
    assert ours.key.read_text() + ours.certificate.read_text() == written.read_text()


def test_the_local_stack_is_spoken_to_as_it_is(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("clickstream.clients.endpoints._local", lambda *_: 9092)
    given = settings(**{"kafka.bootstrap": ""})
    assert kafka_security.librdkafka(given) == {"security.protocol": "PLAINTEXT"}
    assert kafka_security.spark(given) == {"kafka.bootstrap.servers": "127.0.0.1:9092"}
    assert kafka_security.flume(given, tmp_path) == {}


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"kafka.username": ""}, "security SASL_SSL needs a username"),
        ({"kafka.security": "SSL", "kafka.username": "u"}, "a username needs security SASL_SSL"),
        ({"kafka.username": 'u" x="'}, "username"),
        ({"kafka.username": "${env:HOME}"}, "username"),
        ({"kafka.mechanism": "GSSAPI"}, "mechanism"),
    ],
)
def test_what_cannot_be_is_refused(settings, flags, complaint):
    with pytest.raises(UsageError, match=complaint):
        settings(**flags)


def test_a_ca_that_is_not_there_is_named(settings):
    chosen = settings(**{"tls.ca": "/no/ca.pem"})
    kinds = kafka_security.librdkafka, kafka_security.spark
    for kind in (*kinds, lambda settings: agent_config.files(settings, "agent3")):
        with pytest.raises(UsageError, match=r"tls\.ca: there is no file /no/ca\.pem"):
            kind(chosen)
