"""Agents as text: what is rendered, and what is refused."""

import re

import pytest

from clickstream import config
from clickstream.errors import ClickstreamError, UsageError
from clickstream.ingest.flume import agent_config
from clickstream.weblog import FORMATS, pattern, stamp

CLUSTER = {
    "hdfs.url": "hdfs://namenode:8020",
    "kafka.bootstrap": "kafka:9092",
    "flume.collector_host": "collector",
    "flume.collector_port": "4545",
}


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path, flags=CLUSTER)


def properties(settings, agent):
    conf = next(
        file.content
        for file in agent_config.files(settings, agent)
        if file.name == agent_config.CONF
    )
    lines = [line for line in conf.splitlines() if "=" in line and not line.startswith("#")]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def test_an_edge_agent(settings):
    conf = properties(settings, "agent2")
    assert conf["agent2.sources.spool.spoolDir"] == str(settings.files.spool("weblog2"))
    assert conf["agent2.sources.spool.interceptors.server.value"] == "weblog2"
    assert conf["agent2.sources.spool.interceptors.partition.value"] == "1"
    assert conf["agent2.sinks.collector.hostname"] == "collector"
    assert conf["agent2.sinks.collector.port"] == "4545"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("common", b'h - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1'),
        ("combined", b'h - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'),
        ("vhost_combined", b'v:1 h - - [18/May/2015:09:05:59 +0000] "GET /" 200 1 "-" "-"'),
    ],
)
def test_the_expression_of_a_server_survives_a_property_file(tmp_path, name, line):
    settings = config.load(home=tmp_path, flags=CLUSTER | {"servers.weblog2.format": name})
    value = properties(settings, "agent2")["agent2.sources.spool.interceptors.valid.regex"]
    expression = value.replace("\\\\", "\\")
    assert expression == pattern.of_utf8(FORMATS[name].stamped)
    python = expression.replace(r"\x{FEFF}", "\ufeff")
    stamped = stamp("w", "0" * 16, 0, line, FORMATS[name]).decode()
    assert re.match(python, stamped)
    assert re.match(python, "\t\ufeff".join(stamped.rsplit("\t", 1)))
    other = properties(settings, "agent1")["agent1.sources.spool.interceptors.valid.regex"]
    assert other.replace("\\\\", "\\") == pattern.of_utf8(FORMATS["combined"].stamped)


def test_the_collector(settings):
    conf = properties(settings, "agent3")
    assert conf["agent3.sinks.master.hdfs.path"] == (
        "hdfs://namenode:8020/master/dt=%{dt}/server=%{server}"
    )
    assert conf["agent3.channels.to-kafka.kafka.topic"] == "clickstream"
    producer = "agent3.channels.to-kafka.kafka.producer"
    assert conf[f"{producer}.metadata.recovery.strategy"] == "none"
    assert {conf[f"{producer}.{key}.ms"] for key in ("max.block", "metadata.max.idle")} == {
        "3155760000000"
    }
    assert conf["agent3.sources.avro.bind"] == "127.0.0.1"
    assert conf["agent3.sources.avro.selector.default"] == "to-quarantine"


def test_kafka_commits_first_and_refuses_before_an_edge_agent_gives_up(settings):
    conf, edge = properties(settings, "agent3"), properties(settings, "agent1")
    assert conf["agent3.sources.avro.selector.mapping.v1"] == "to-kafka to-master"
    refused_ms = int(conf["agent3.channels.to-kafka.kafka.producer.delivery.timeout.ms"])
    assert refused_ms < int(edge["agent1.sinks.collector.request-timeout"])


def test_the_hdfs_sinks_reserve_little(tmp_path):
    flags = CLUSTER | {"flume.block_mb": "7", "flume.max_open_files": "9"}
    settings = config.load(home=tmp_path, flags=flags)
    site = {each.name: each.content for each in agent_config.files(settings, "agent3")}
    assert f"<name>dfs.blocksize</name><value>{7 * 2**20}</value>" in site["core-site.xml"]
    conf = properties(settings, "agent3")
    for sink in ("master", "quarantine"):
        assert conf[f"agent3.sinks.{sink}.hdfs.maxOpenFiles"] == "9"


def test_declared_components(settings):
    conf = agent_config.files(settings, "agent3")[0].content
    assert agent_config.components(conf, "agent3") == {
        ("source", "avro"),
        ("channel", "to-kafka"),
        ("channel", "to-master"),
        ("channel", "to-quarantine"),
        ("sink", "master"),
        ("sink", "quarantine"),
    }


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_the_kind_of_channel_is_configuration(tmp_path, kind):
    settings = config.load(home=tmp_path, flags=CLUSTER | {"flume.channel": kind})
    conf = {name: agent_config.files(settings, name)[0].content for name in ("agent1", "agent3")}
    assert agent_config.channel_types(conf["agent1"], "agent1") == {"lines": kind}
    assert agent_config.channel_types(conf["agent3"], "agent3") == {
        "to-kafka": "kafka",
        "to-master": kind,
        "to-quarantine": kind,
    }
    assert agent_config.channel_types("", "agent3") == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("agent1.sources.spool.spoolDirr = /x", "not a key"),
        ("agent1.sinks.kollector.port = 1", "not a key"),
        ("agent1.channels.lines.capacity =", "is empty"),
        ("agent1.typo = x", "not a key"),
        ("other.sources = x", "not a key"),
    ],
)
def test_a_wrong_key_is_refused(settings, line, problem):
    conf = agent_config.files(settings, "agent1")[0].content
    agent_config.check(conf, "agent1")
    with pytest.raises(ClickstreamError, match=problem):
        agent_config.check(f"{conf}\n{line}\n", "agent1")


def test_an_unknown_agent_is_refused(settings):
    with pytest.raises(UsageError, match="agent9"):
        agent_config.chosen(settings, ["agent1", "agent9"])
