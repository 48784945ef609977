"""A secured local stack as one more source of settings, for those services that run here."""

import pytest

from clickstream import config
from clickstream.clients import kafka_security, keytab, tls
from clickstream.clients.endpoints import cassandra, database_url, remember_ports
from clickstream.errors import UsageError
from clickstream.home import write_atomic
from clickstream.stack import local, security
from tests.certificates import Authority, Identity
from tests.tls_server import HOST, serving, shaking


@pytest.fixture
def secured(tmp_path):
    return local.secured(config.load(home=tmp_path / "home"))


def test_each_client_is_told_of_tls_and_a_login(secured):
    assert kafka_security.protocol(secured) == "SASL_SSL"
    assert secured.kafka.username == "clickstream"
    assert secured.secret("kafka.password") == security.password(secured.files, "clickstream")
    assert (secured.cassandra.tls, secured.flume.collector_tls) == (True, True)
    assert {row.source for row in config.shown(secured) if row.key == "tls.ca"} == {"secured stack"}


def test_its_stores_are_reached_with_tls(secured):
    files = secured.files.security
    server = Identity(files("cassandra.pem"), files("cassandra.key"))
    with serving(shaking(server)) as port:
        remember_ports(secured.home, {"cassandra": port, "mariadb": port})
        reader = cassandra(secured, reader=True)
        assert (reader.tls, reader.username, reader.port) == (True, "clickstream_reader", port)
        assert tls.problem(HOST, port, tls.material(secured)) is None
        write_atomic(secured.files.password(), "x", private=True)
        assert database_url(secured).query["ssl_ca"] == str(secured.files.security("ca.pem"))


def held(settings):
    return {path: path.read_bytes() for path in settings.files.security("x").parent.iterdir()}


def test_made_once_for_this_user_alone(secured):
    before = held(secured)
    assert held(local.secured(config.load(home=secured.home))) == before
    passwords = [text for path, text in before.items() if path.suffix == ".password"]
    assert len(set(passwords)) == 3
    assert [path for path in before if path.stat().st_mode & 0o077] == []


def test_a_service_elsewhere_keeps_its_own_settings(secured):
    flags = {"kafka.bootstrap": "broker:9092", "cassandra.hosts": "db"}
    other = config.load(home=secured.home, flags=flags)
    assert (other.kafka.security, other.cassandra.tls) == ("PLAINTEXT", False)
    assert other.flume.collector_tls


def test_another_source_goes_first(secured, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_KAFKA__PASSWORD", "mine")
    assert config.load(home=secured.home).secret("kafka.password") == "mine"


def test_a_home_stays_what_it_was_made_as(tmp_path):
    settings = config.load(home=tmp_path)
    settings.files.service("kafka").mkdir()
    with pytest.raises(UsageError, match=r"was made without TLS \(Kafka\)"):
        local.secured(settings)
    assert not settings.files.is_secured


def test_an_authority_of_ones_own_is_refused(tmp_path):
    flags = {"tls.ca": str(Authority(tmp_path).ca)}
    with pytest.raises(UsageError, match="has an authority of its own"):
        local.secured(config.load(home=tmp_path / "home", flags=flags))


@pytest.fixture
def with_kerberos(tmp_path):
    return local.secured(config.load(home=tmp_path / "home", flags={"stack.kerberos": "true"}))


def test_hdfs_is_asked_with_kerberos_where_the_stack_was_made_so(with_kerberos):
    told = with_kerberos.hdfs
    assert told.principal == "clickstream@CLICKSTREAM.LOCAL"
    assert keytab.principals(with_kerberos.files.configured(told.keytab)) == {told.principal}
    known = keytab.principals(with_kerberos.files.security("kdc.keytab"))
    assert {"krbtgt/CLICKSTREAM.LOCAL@CLICKSTREAM.LOCAL", told.principal} < known
    assert [path for path in held(with_kerberos) if path.stat().st_mode & 0o077] == []
    elsewhere = config.load(home=with_kerberos.home, flags={"hdfs.url": "hdfs://nn:8020"})
    assert elsewhere.hdfs.principal == ""


def test_kerberos_comes_with_a_home_or_not_at_all(secured):
    assert secured.hdfs.principal == ""
    wanted = config.load(home=secured.home, flags={"stack.kerberos": "true"})
    with pytest.raises(UsageError, match="was made without Kerberos"):
        local.secured(wanted)
