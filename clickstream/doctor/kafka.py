"""Kafka: the brokers, and a topic that keeps every line until it is read."""

import time
from collections.abc import Iterator, Mapping

from clickstream.clients import endpoints, kafka, kafka_security, kafka_topic, tls
from clickstream.clients.kafka import MAX_MESSAGE_BYTES
from clickstream.clients.kafka_topic import Partition, Topic
from clickstream.config import Settings
from clickstream.days import duration
from clickstream.doctor import clock, endpoint
from clickstream.doctor.finding import OK, Finding, ok, problem, warning
from clickstream.status import layers
from clickstream.status.part import counted

TIMEOUT_S = 3.0
PORT = 9092
ALTER = "kafka-configs.sh --alter --add-config {1} --topic {0}"


def check(settings: Settings) -> Iterator[Finding]:
    """Each broker that is named, then the topic as the cluster describes it."""
    bootstrap = endpoint.addresses(endpoints.kafka_bootstrap(settings), PORT)
    yield from (found := endpoint.reached("Kafka", bootstrap, "kafka.bootstrap"))
    if endpoint.nobody_answers(found):
        return
    ours = tls.material(settings) if kafka_security.uses_tls(settings) else None
    hint = 'set kafka.security = "SASL_SSL"'
    yield from (found := endpoint.transport("Kafka", bootstrap, ours, hint))
    if endpoint.nobody_answers(found):
        return
    described = kafka_topic.describe(settings, TIMEOUT_S)
    rows = layers.topic(settings).rows if described.partitions else []
    behind = [row["behind_seconds"] for row in rows if row["behind"]]
    lag_s = max((each or 0.0 for each in behind), default=0.0)
    yield from of_topic(settings, described, lag_s)
    yield from _records(settings, {row["partition"]: row["end"] - 1 for row in rows if row["end"]})


def of_topic(settings: Settings, described: Topic, lag_s: float) -> Iterator[Finding]:
    """The topic; the oldest record that the stream has not read is `lag_s` old."""
    topic, wanted = settings.kafka.topic, settings.kafka.replication_factor
    if wanted > described.brokers:
        text = f"kafka.replication_factor is {wanted}, with {counted(described.brokers, 'broker')}"
        yield problem(text, "lower it, or add brokers")
    if not described.partitions:
        yield Finding(OK, f"there is no topic {topic} yet", "clickstream ingest start makes it")
        return
    every = described.partitions
    if described.rights is not None and kafka_security.uses_login(settings):
        yield _rights(settings, described.rights)
    yield _partitions(settings, every)
    yield from _copies(settings, described)
    if described.config is None:
        text = f"our user may not ask how topic {topic} is configured: retention is not checked"
        yield warning(text, _grant(settings, "DescribeConfigs"))
        return
    yield from _in_sync(topic, every, int(described.config.get("min.insync.replicas", 1)))
    yield from _kept(topic, described.config, lag_s)


def _rights(settings: Settings, rights: frozenset[str]) -> Finding:
    """What our user may do with the topic: this host's part may need to write, to read, or both."""
    user, topic = settings.kafka.username, settings.kafka.topic
    text = f"Kafka lets {user} in, which may"
    if settings.files.agent(settings.collector).exists() and "WRITE" not in rights:
        wrong = f"{text} not write to topic {topic}, and {settings.collector} is on this host"
        return problem(wrong, _grant(settings, "Write"))
    allowed = [each.lower() for each in ("READ", "WRITE") if each in rights]
    if not allowed:
        return problem(f"{text} neither read nor write topic {topic}", _grant(settings, "Read"))
    return ok(f"{text} {' and '.join(allowed)} topic {topic}")


def _grant(settings: Settings, operation: str) -> str:
    user, topic = settings.kafka.username, settings.kafka.topic
    who = f"--allow-principal User:{user}"
    return f"kafka-acls.sh --add --topic {topic} {who} --operation {operation}"


def _partitions(settings: Settings, every: Mapping[int, Partition]) -> Finding:
    topic, servers = settings.kafka.topic, len(settings.servers)
    partitions = counted(len(every), "partition")
    text = f"topic {topic} has {partitions} for {counted(servers, 'server')}"
    if len(every) < servers:
        return problem(text, f"kafka-topics.sh --alter --partitions {servers} --topic {topic}")
    return ok(text)


def _copies(settings: Settings, described: Topic) -> Iterator[Finding]:
    topic, wanted = settings.kafka.topic, settings.kafka.replication_factor
    copies = min(each.replicas for each in described.partitions.values())
    brokers, replicas = counted(described.brokers, "broker"), counted(copies, "replica")
    again = "reassign its partitions: kafka-reassign-partitions.sh"
    if copies < wanted:
        text = f"topic {topic} has {replicas}, kafka.replication_factor asks for {wanted}"
        yield warning(text, again)
    elif copies == 1 and described.brokers > 1:
        text = f"topic {topic} has {replicas} on {brokers}: a lost one loses lines"
        yield warning(text, f"set kafka.replication_factor, and {again}")
    else:
        yield ok(f"topic {topic} has {replicas} on {brokers}")


def _in_sync(topic: str, every: Mapping[int, Partition], least: int) -> Iterator[Finding]:
    copies = min(each.replicas for each in every.values())
    lower = ALTER.format(topic, f"min.insync.replicas={max(1, copies - 1)}")
    setting = f"min.insync.replicas is {least} of {counted(copies, 'replica')}"
    if least > copies:
        yield problem(f"topic {topic} takes no line: {setting}", lower)
    elif least == copies > 1:
        text = f"topic {topic} takes no line while one broker is down: {setting}"
        yield warning(text, lower)
    elif least == 1 < copies:
        text = f"topic {topic} acknowledges what one broker has: {setting}"
        yield warning(text, ALTER.format(topic, "min.insync.replicas=2"))
    for number, each in sorted(every.items()):
        if each.leader < 0:
            yield problem(f"partition {number} of {topic} has no leader", "start its brokers")
        elif each.in_sync < each.replicas:
            text = f"of partition {number} of {topic} {each.in_sync} of {each.replicas} replicas"
            yield warning(f"{text} are in sync", "is a broker down?")


def _kept(topic: str, config: Mapping[str, str], lag_s: float) -> Iterator[Finding]:
    """What the topic drops, and when."""
    keep_s = int(config.get("retention.ms", -1)) / 1000
    forever = ALTER.format(topic, "retention.ms=-1")
    if 0 <= keep_s <= lag_s:
        text = f"topic {topic} drops lines that the stream has not read: it keeps {_time(keep_s)},"
        yield problem(f"{text} the stream is {_time(lag_s)} behind", forever)
    elif 0 <= keep_s <= 2 * lag_s:
        text = f"topic {topic} keeps lines for {_time(keep_s)}, the stream is {_time(lag_s)} behind"
        yield warning(text, f"clickstream speed run, or {forever}")
    else:
        kept = "for ever" if keep_s < 0 else f"for {_time(keep_s)}"
        yield ok(f"topic {topic} keeps lines {kept}, the stream is {_time(lag_s)} behind")
    if int(config.get("retention.bytes", -1)) >= 0:
        text = f"topic {topic} drops lines by size (retention.bytes), read or not"
        yield warning(text, ALTER.format(topic, "retention.bytes=-1"))
    if "compact" in config.get("cleanup.policy", "delete"):
        text = f"topic {topic} drops all but the last line of a key (cleanup.policy)"
        yield problem(text, ALTER.format(topic, "cleanup.policy=delete"))
    most = int(config.get("max.message.bytes", MAX_MESSAGE_BYTES))
    if most < MAX_MESSAGE_BYTES:
        text = f"topic {topic} takes no line above {most:,} bytes (max.message.bytes)"
        yield problem(text, ALTER.format(topic, f"max.message.bytes={MAX_MESSAGE_BYTES}"))
    if config.get("unclean.leader.election.enable") == "true":
        text = f"topic {topic} may lose acknowledged lines (unclean.leader.election.enable)"
        yield warning(text, ALTER.format(topic, "unclean.leader.election.enable=false"))


def _records(settings: Settings, last: Mapping[int, int]) -> Iterator[Finding]:
    """The clock of the collector, which stamps records."""
    newest = max(kafka.written_at(settings, last).values(), default=0.0)
    if newest > time.time() + clock.NOTICED_S:
        yield clock.service("the collector, by the newest record,", newest - time.time())


def _time(length_s: float) -> str:
    return duration(round(length_s))
