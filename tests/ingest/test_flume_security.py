"""TLS on the hop to the collector: what both ends are told, and what is refused before a start."""

import socket
import ssl
from xml.etree import ElementTree

import pytest

from clickstream import config
from clickstream.clients import tls
from clickstream.errors import ClickstreamError, UsageError
from clickstream.ingest.flume import agent_config, security
from clickstream.ingest.flume.agent import Agent
from clickstream.runtime import trust
from tests.certificates import Authority
from tests.tls_server import HOST, serving, shaking


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def settings(tmp_path, authority):
    ours = authority.issue("collector", names=("collector.example",))
    flags = {"hdfs.url": "hdfs://nn:1", "kafka.bootstrap": "b:1", "flume.collector_tls": "true"}
    flags |= {"flume.collector_ca": str(authority.ca), "flume.collector_port": "4141"}
    flags |= {"flume.collector_certificate": str(ours.certificate)}
    flags |= {"flume.collector_key": str(ours.key)}
    return lambda **more: config.load(
        home=tmp_path / "home", flags=flags | {f"flume.{key}": value for key, value in more.items()}
    )


def told(settings, agent):
    """What a rendered agent has of security."""
    conf = agent_config.files(settings, agent)[0].content
    lines = (line.partition(" = ") for line in conf.splitlines())
    words = ("ssl", "store", "protocols", "ipFilter")
    return {key: value for key, _, value in lines if any(word in key for word in words)}


def test_both_ends(settings):
    chosen = settings()
    store = chosen.files.trust_store("agent1")
    assert told(chosen, "agent1") == {
        "agent1.sinks.collector.ssl": "true",
        "agent1.sinks.collector.exclude-protocols": "SSLv3 TLSv1 TLSv1.1",
        "agent1.sinks.collector.truststore": str(store),
        "agent1.sinks.collector.truststore-type": "JKS",
        "agent1.sinks.collector.truststore-password": "changeit",
    }
    assert told(chosen, "agent3") == {
        "agent3.sources.avro.ssl": "true",
        "agent3.sources.avro.exclude-protocols": "SSLv3 TLSv1 TLSv1.1",
        "agent3.sources.avro.keystore": str(chosen.files.key_store("agent3")),
        "agent3.sources.avro.keystore-type": "JKS",
        "agent3.sources.avro.keystore-password": "changeit",
    }


def test_without_tls_nothing_is_told(settings):
    chosen = settings(collector_tls="false")
    assert told(chosen, "agent1") == told(chosen, "agent3") == {}
    for agent in ("agent1", "agent3"):
        Agent(chosen, agent)._secure()
    assert list(chosen.home.rglob("*.jks")) == []


def test_the_last_rule_is_ours(settings):
    """What no rule names would be let in."""
    chosen = settings(collector_tls="false", collector_allow="10.0.1.7,10.0.2.*")
    assert told(chosen, "agent3") == {
        "agent3.sources.avro.ipFilter": "true",
        "agent3.sources.avro.ipFilterRules": "allow:ip:10.0.1.7,allow:ip:10.0.2.*,deny:ip:*",
    }
    assert told(chosen, "agent1") == {}


@pytest.mark.parametrize("wrong", ["*", "web1", "10.0.0.1,deny:ip:*", "::1", "10.0.0.1\n"])
def test_what_is_no_address_is_refused(settings, wrong):
    with pytest.raises(UsageError, match="collector_allow"):
        settings(collector_allow=f'["{wrong}"]' if "," not in wrong else wrong)


def test_the_stores_are_ours_alone(settings, authority):
    chosen = settings(collector_port="1")
    Agent(chosen, "agent1")._secure()
    Agent(chosen, "agent3")._secure()
    trusted, keys = chosen.files.trust_store("agent1"), chosen.files.key_store("agent3")
    ca = trust.certificates(authority.ca.read_text())
    assert trusted.read_bytes() == trust.trust_store(ca)
    assert {path.stat().st_mode & 0o777 for path in (trusted, keys)} == {0o600}
    certificate = (authority.ca.parent / "collector.pem").read_text()
    assert ssl.PEM_cert_to_DER_cert(certificate) in keys.read_bytes()
    assert ssl.PEM_cert_to_DER_cert(authority.ca.read_text()) not in keys.read_bytes()


def test_the_ca_of_the_stores_is_the_default(settings, authority, tmp_path):
    chosen = settings(collector_ca="")
    chosen.tls.ca = str(authority.ca)
    assert security.trusted(chosen) == tls.Material(authority.ca)
    assert "agent1.sinks.collector.truststore" in told(chosen, "agent1")
    chosen.tls.ca = ""
    assert "agent1.sinks.collector.truststore" not in told(chosen, "agent1")


def test_a_collector_needs_a_certificate(settings):
    with pytest.raises(UsageError, match="agent3 has no certificate"):
        Agent(settings(collector_key=""), "agent3")._secure()
    with pytest.raises(UsageError, match=r"collector_key: there is no file /no/key"):
        Agent(settings(collector_key="/no/key"), "agent3")._secure()


@pytest.mark.parametrize(
    ("issued", "reason"),
    [({"days": (-20, -1)}, "its certificate has expired"), ({"names": ("other.example",)}, "")],
)
def test_a_collector_that_edges_would_not_trust(settings, authority, issued, reason):
    """Flume does not look at the name."""
    with serving(shaking(authority.issue("server", **issued))) as port:
        chosen = settings(collector_port=str(port))
        if not reason:
            return security.refuse_other_tls(chosen, port)
        with pytest.raises(ClickstreamError, match=f"the collector at {HOST}:{port}: {reason}"):
            Agent(chosen, "agent1")._secure()
    return None


def test_a_collector_of_another_authority(settings, tmp_path):
    with (
        serving(shaking(Authority(tmp_path, "other").issue("server"))) as port,
        pytest.raises(ClickstreamError, match="was not issued by") as refused,
    ):
        security.refuse_other_tls(settings(), port)
    assert refused.value.hint.startswith("flume.collector_ca names")


def test_a_collector_in_clear(settings):
    with (
        serving(lambda connection: connection.recv(10)) as port,
        pytest.raises(ClickstreamError, match="does not speak TLS"),
    ):
        security.refuse_other_tls(settings(), port)


def test_a_collector_elsewhere_with_tls_that_we_do_not_speak(settings, authority):
    """Its log would hold what we send."""
    host = "127.0.0.2"  # not one of the names that this machine is usually given
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        chosen = settings(collector_tls="false", collector_host=host)
        security.refuse_other_tls(chosen, port)
    with (
        serving(shaking(authority.issue("server")), host) as port,
        pytest.raises(ClickstreamError, match=f"at {host}:[0-9]+ speaks TLS"),
    ):
        security.refuse_other_tls(chosen, port)


def test_an_edge_starts_before_its_collector(settings):
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    security.refuse_other_tls(settings(), port)


@pytest.fixture
def with_kerberos(tmp_path):
    flags = {"hdfs.url": "hdfs://nn:1", "kafka.bootstrap": "b:1", "hdfs.conf_dir": "/etc/hadoop"}
    flags |= {"hdfs.principal": "c@EXAMPLE.ORG", "hdfs.keytab": "c.keytab"}
    return config.load(home=tmp_path / "home", flags=flags)


def test_the_collectors_sinks_log_in_by_kerberos(with_kerberos):
    conf, _, site = agent_config.files(with_kerberos, "agent3")
    for sink in agent_config.HDFS_SINKS:
        assert f"agent3.sinks.{sink}.hdfs.kerberosPrincipal = c@EXAMPLE.ORG\n" in conf.content
        keytab = with_kerberos.files.configured("c.keytab")
        assert f"agent3.sinks.{sink}.hdfs.kerberosKeytab = {keytab}\n" in conf.content
    root = ElementTree.fromstring(site.content)
    assert root[0].attrib == {"href": "/etc/hadoop/core-site.xml"}
    edge = agent_config.files(with_kerberos, "agent1")
    assert not [
        file for file in edge if "kerberos" in file.content or "/etc/hadoop" in file.content
    ]


def test_a_collector_is_not_started_that_cannot_log_in(with_kerberos):
    with pytest.raises(UsageError, match=r"hdfs\.keytab: there is no file"):
        security.write_collector_stores(with_kerberos, "agent3")
