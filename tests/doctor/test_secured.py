"""TLS as the doctor finds it, from servers that speak it; who may write, by where an agent is."""

import time

from clickstream import config
from clickstream.clients import kerberos
from clickstream.clients.tls import Material
from clickstream.days import DAY_SECONDS
from clickstream.doctor import collector, endpoint, hdfs, kafka
from clickstream.doctor.examine import examine
from clickstream.doctor.finding import OK, PROBLEM, WARNING
from tests.certificates import Authority
from tests.doctor.test_misfits import TOPIC
from tests.negotiating_server import asking
from tests.tls_server import HOST, serving, shaking


def test_a_certificate_is_trusted_and_for_how_long(tmp_path):
    authority = Authority(tmp_path)
    with serving(shaking(authority.issue("right"))) as port:
        (found,) = endpoint.transport("Kafka", [(HOST, port)], Material(authority.ca), "x")
    assert found.state == OK
    assert f"Kafka at {HOST}:{port} speaks TLS; its certificate is valid for " in found.text


def test_another_authority_is_a_problem(tmp_path):
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with serving(shaking(theirs.issue("other"))) as port:
        (found,) = endpoint.transport("Kafka", [(HOST, port)], Material(ours.ca), "x")
    assert (found.state, endpoint.nobody_answers([found])) == (PROBLEM, True)
    assert "was not issued by" in found.text


def test_a_collector_that_speaks_tls_and_lets_anybody_send(tmp_path):
    authority = Authority(tmp_path)
    with serving(shaking(authority.issue("collector"))) as port:
        flags = {"flume.collector_port": str(port), "flume.collector_bind": "0.0.0.0"}
        flags |= {"flume.collector_tls": "true", "flume.collector_ca": str(authority.ca)}
        settings = config.load(home=tmp_path, flags=flags)
        settings.files.agent(settings.collector).mkdir(parents=True)
        found = list(collector.check(settings))
        allowed = flags | {"flume.collector_allow": '["10.0.0.1"]'}
        (first, *_) = collector.check(config.load(home=tmp_path, flags=allowed))
    assert [each.state for each in found][:2] == [WARNING, OK]
    assert "takes lines from anybody" in found[0].text
    assert "speaks TLS" in found[2].text
    assert (first.state, "flume.collector_allow alone" in first.text) == (OK, True)


def test_where_the_collector_is_the_user_must_write(tmp_path):
    flags = {"kafka.bootstrap": "b:1", "kafka.security": "SASL_SSL", "kafka.username": "u"}
    settings = config.load(home=tmp_path, flags=flags | {"kafka.replication_factor": "3"})
    reads = TOPIC._replace(rights=frozenset({"READ"}))
    assert {each.state for each in kafka.of_topic(settings, reads, 0.0)} == {OK}
    settings.files.agent(settings.collector).mkdir(parents=True)
    (wrong,) = [e for e in kafka.of_topic(settings, reads, 0.0) if e.state == PROBLEM]
    assert "may not write to topic clickstream" in wrong.text


def test_the_days_of_a_certificate_are_whole():
    assert "for 0 days" in endpoint.validity("it", time.time() + DAY_SECONDS / 2).text


def of_kerberos(url, tmp_path):
    flags = {"hdfs.web": url, "hdfs.url": url.replace("http", "hdfs"), "hdfs.principal": "a@R"}
    settings = config.load(home=tmp_path, flags=flags | {"hdfs.keytab": "/no/keytab"})
    return examine(settings, {"hdfs": hdfs.check}).parts["hdfs"][-1]


def test_a_keytab_that_is_missing_is_a_problem(tmp_path):
    with asking() as (url, _):
        found = of_kerberos(url, tmp_path)
    assert (found.state, found.text) == (PROBLEM, "hdfs.keytab: there is no file /no/keytab")


def test_a_namenode_that_believes_any_name_although_there_is_kerberos(tmp_path, monkeypatch):
    monkeypatch.setattr(kerberos, "require", lambda _: None)
    page = '{"Path": "/user/clickstream-doctor-asks"}'
    with asking(_answer=lambda _: (200, page)) as (url, _):
        found = of_kerberos(url, tmp_path)
    assert found.state == PROBLEM
    assert found.text.startswith("WebHDFS believes any user.name although HDFS has Kerberos")
    assert "hadoop.http.authentication.type = kerberos" in found.hint
