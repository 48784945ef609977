"""Flume agents as text: the settings rendered to configuration files, and those files checked.

Nothing here touches a disk or a network. Flume answers a wrong key with a log line and an absent
component, so a rendered file is held against the keys that its component types know.
"""

import re
from typing import NamedTuple

from clickstream.clients import endpoints, kafka, kafka_security, kerberos
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, UsageError
from clickstream.ingest.flume import security
from clickstream.runtime.render import File, render
from clickstream.weblog import MAX_LINE_BYTES, STAMP_VERSION, formats, pattern

CONF = "flume.conf"
HDFS_SINKS = ("master", "quarantine")
MAX_STAMPED_BYTES = MAX_LINE_BYTES + 4096
_KAFKA_CHANNEL = "org.apache.flume.channel.kafka.KafkaChannel"
_CHANNELS = {
    "file": {"checkpointDir", "dataDirs", "minimumRequiredSpace", "maxFileSize", "capacity"}
    | {"transactionCapacity"},
    "memory": {"capacity", "transactionCapacity"},
    _KAFKA_CHANNEL: {"kafka.bootstrap.servers", "kafka.topic", "parseAsFlumeEvent"}
    | {"partitionIdHeader", "kafka.producer."},
}
_SOURCES = {
    "spooldir": {"channels", "spoolDir", "trackerDir", "trackingPolicy", "deletePolicy"}
    | {"inputCharset", "decodeErrorPolicy", "deserializer", "deserializer.maxLineLength"}
    | {"deserializer.outputCharset", "batchSize", "pollDelay", "interceptors", "interceptors."},
    "avro": {"channels", "bind", "port", "selector.", "ssl", "exclude-protocols", "keystore"}
    | {"keystore-type", "keystore-password", "ipFilter", "ipFilterRules"},
}
_SINKS = {
    "avro": {"channel", "hostname", "port", "batch-size", "connect-timeout", "request-timeout"}
    | {"ssl", "exclude-protocols", "truststore", "truststore-type", "truststore-password"},
    "hdfs": {"channel"}
    | {f"hdfs.{key}" for key in ("path", "filePrefix", "inUsePrefix", "inUseSuffix", "fileType")}
    | {f"hdfs.{key}" for key in ("writeFormat", "rollInterval", "rollSize", "rollCount")}
    | {f"hdfs.{key}" for key in ("idleTimeout", "batchSize", "callTimeout", "maxOpenFiles")}
    | {"hdfs.threadsPoolSize", "hdfs.retryInterval"}
    | {"hdfs.kerberosPrincipal", "hdfs.kerberosKeytab"},
}
_KNOWN = {"sources": _SOURCES, "channels": _CHANNELS, "sinks": _SINKS}


class Component(NamedTuple):
    """A declared part of an agent; `kind` is source, channel or sink."""

    kind: str
    name: str


def agents(settings: Settings) -> list[str]:
    """Every agent's name: the edge agents in the order of their servers, the collector last."""
    return [server.agent for server in settings.servers.values()] + [settings.collector]


def chosen(settings: Settings, names: list[str]) -> list[str]:
    """The agents named, or all; raises UsageError for an unknown one."""
    known = agents(settings)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no agent {name}", f"agents: {', '.join(known)}")
    return names or known


def server_of(settings: Settings, agent: str) -> str | None:
    """The server whose log an edge agent takes; None for the collector."""
    named = (name for name, server in settings.servers.items() if server.agent == agent)
    return next(named, None)


def files(settings: Settings, agent: str) -> list[File]:
    """All configuration files of an agent; raises NotRunning where an endpoint is not known."""
    server = server_of(settings, agent)
    conf = _edge(settings, agent, server) if server else _collector(settings, agent)
    check(conf, agent)
    site = {} if server else _hdfs_client(settings)
    # A class path gives one file of a name: ours, which begins with the cluster's.
    cluster = None if server or not kerberos.on(settings) else kerberos.conf_dir(settings)
    return [
        File(CONF, conf),
        File("log4j2.xml", render("flume/log4j2.xml.j2")),
        File("core-site.xml", render("flume/site.xml.j2", cluster=cluster, properties=site)),
    ]


def _hdfs_client(settings: Settings) -> dict[str, str]:
    """What the HDFS sinks ask for. A cluster's own client configuration may say otherwise."""
    site = {
        "fs.defaultFS": endpoints.hdfs_url(settings),
        "dfs.blocksize": str(settings.flume.block_mb * 2**20),
        # A close asks whether the DataNode has reported the block. By default it asks again after
        # 400 ms, then 800 ms, ...: with a file a day, most of the time.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
        "dfs.client.block.write.locateFollowingBlock.retries": "10",
    }
    if not settings.hdfs.url:
        site |= {"dfs.replication": "1", "dfs.client.use.datanode.hostname": "true"}
    return site


def components(conf: str, agent: str) -> set[Component]:
    """The parts that a configuration declares."""
    pairs = _properties(conf)
    return {
        Component(kind.removesuffix("s"), name)
        for kind in _KNOWN
        for name in pairs[f"{agent}.{kind}"].split()
    }


def channel_types(conf: str, agent: str) -> dict[str, str]:
    """The type of each declared channel: `file`, `memory`, or `kafka`, which is the topic."""
    pairs = _properties(conf)
    names = pairs.get(f"{agent}.channels", "").split()
    types = {name: pairs.get(f"{agent}.channels.{name}.type", "") for name in names}
    return {name: "kafka" if type_ == _KAFKA_CHANNEL else type_ for name, type_ in types.items()}


def check(conf: str, agent: str) -> None:
    """Refuse a configuration with a key that its component does not know, or an empty value."""
    pairs = _properties(conf)
    for key, value in pairs.items():
        parts = key.removeprefix(f"{agent}.").split(".", 2)
        known = parts[0] in _KNOWN if len(parts) == 1 else _knows(pairs, agent, parts)
        if not known or not value:
            problem = "is empty" if known else "is not a key that Flume knows"
            raise ClickstreamError(f"{agent}'s configuration: {key} {problem}")


def _knows(pairs: dict[str, str], agent: str, parts: list[str]) -> bool:
    kind, name, key = [*parts, ""][:3]
    declared = name in pairs.get(f"{agent}.{kind}", "").split()
    known = _KNOWN.get(kind, {}).get(pairs.get(f"{agent}.{kind}.{name}.type", ""), set())
    prefixes = tuple(each for each in known if each.endswith("."))
    return declared and (
        key == "type" or key in known or bool(prefixes and key.startswith(prefixes))
    )


def _properties(conf: str) -> dict[str, str]:
    lines = (line for line in conf.splitlines() if line.strip() and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _edge(settings: Settings, agent: str, server: str) -> str:
    return render(
        "flume/edge.conf.j2",
        server=server,
        partition=kafka.partition_of(settings, server),
        spool=_escaped(str(settings.files.spool(server))),
        regex=_escaped(pattern.of_utf8(formats.of(settings, server).stamped)),
        tracker=_escaped(str(settings.files.tracker(agent))),
        max_line=MAX_STAMPED_BYTES,
        collector_host=settings.flume.collector_host,
        hop=_all_escaped(security.sink(settings, agent)),
        **_shared(settings, agent),
    )


def _collector(settings: Settings, agent: str) -> str:
    root = endpoints.hdfs_url(settings)
    producer = kafka_security.flume(settings, settings.files.kafka_key(agent))
    return render(
        "flume/collector.conf.j2",
        bind=settings.flume.collector_bind,
        version=STAMP_VERSION,
        bootstrap=endpoints.kafka_bootstrap(settings),
        producer=_all_escaped(producer),
        hop=_all_escaped(security.source(settings, agent)),
        login=_all_escaped(security.hdfs_sink(settings)),
        topic=settings.kafka.topic,
        max_request=kafka.MAX_MESSAGE_BYTES,
        master=f"{root}{settings.hdfs.master}/dt=%{{dt}}/server=%{{server}}",
        quarantine=f"{root}{settings.hdfs.quarantine}/server=%{{server}}",
        roll_seconds=settings.flume.roll_seconds,
        roll_bytes=settings.flume.roll_bytes,
        idle_seconds=settings.flume.idle_timeout_seconds,
        max_open_files=settings.flume.max_open_files,
        call_timeout_ms=settings.flume.call_timeout_seconds * 1000,
        **_shared(settings, agent),
    )


def _shared(settings: Settings, agent: str) -> dict[str, object]:
    return {
        "agent": agent,
        "channels": _escaped(str(settings.files.channels(agent))),
        "kind": settings.flume.channel,
        "capacity": settings.flume.capacity,
        # Flume refuses a transaction that is larger than its channel.
        "transaction": min(max(10_000, settings.flume.batch_size), settings.flume.capacity),
        "minimum_free": settings.flume.minimum_free_mb * 2**20,
        "batch": settings.flume.batch_size,
        "collector_port": collector_port(settings),
    }


def collector_port(settings: Settings) -> int:
    """The configured port of the collector's Avro source, or the one this home remembers."""
    remembered = endpoints.remembered_ports(settings.home)
    return settings.flume.collector_port or remembered.get("collector", 0)


def _escaped(value: str) -> str:
    """Java's property files take a backslash away."""
    return re.sub(r"\\", r"\\\\", value)


def _all_escaped(pairs: dict[str, str]) -> dict[str, str]:
    return {key: _escaped(value) for key, value in pairs.items()}
