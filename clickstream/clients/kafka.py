"""The topic of stamped lines: the only user of the Kafka client.

One partition per server, in the order of `servers`, so each server's lines keep their order.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning

TIMEOUT_S = 15
WRITTEN_S = 1
GROUP = "clickstream-reader"
MAX_MESSAGE_BYTES = 2 * 2**20


class Record(NamedTuple):
    """A record of the topic; `value` is a stamped line, written at an epoch ms."""

    partition: int
    offset: int
    value: bytes
    written_ms: int = 0


class Partition(NamedTuple):
    """A partition of the topic: its leader's id (below 0 where it has none), and its copies."""

    leader: int
    replicas: int
    in_sync: int


class Topic(NamedTuple):
    """How many brokers there are, and the topic: no partitions where there is none yet."""

    brokers: int
    partitions: Mapping[int, Partition]
    config: Mapping[str, str]


def answers(bootstrap: str, timeout_s: float) -> bool:
    """Whether a broker is there and its group coordinator answers.

    Asked by a consumer and not by an AdminClient: Python crashed once with the latter, whose
    futures are set by a thread of its own, when the client was dropped right after.
    """
    settings = {"bootstrap.servers": bootstrap, "group.id": GROUP, "log_level": 0}
    consumer = Consumer(settings)
    try:
        consumer.committed([TopicPartition("clickstream-ready", 0)], timeout=timeout_s)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def partition_of(settings: Settings, server: str) -> int:
    """The topic's partition of a server: its position in the configuration."""
    return list(settings.servers).index(server)


def ensure_topic(settings: Settings) -> None:
    """Make the topic where it is missing; refuse one with fewer partitions than servers."""
    topic, wanted = settings.kafka.topic, len(settings.servers)
    consumer = _consumer(settings)
    try:
        known = consumer.list_topics(timeout=TIMEOUT_S).topics
        if topic not in known:
            _create(settings)
        elif len(known[topic].partitions) < wanted:
            raise ClickstreamError(
                f"topic {topic} has {len(known[topic].partitions)} partitions for {wanted} servers",
                "name another one with kafka.topic, or add partitions",
            )
    except KafkaException as error:
        raise _down(settings) from error
    finally:
        consumer.close()


def offsets(settings: Settings) -> dict[int, tuple[int, int]]:
    """First and end offset of each partition; raises NotRunning, also without the topic."""
    consumer = _consumer(settings)
    try:
        return {
            partition: consumer.get_watermark_offsets(
                TopicPartition(settings.kafka.topic, partition), timeout=TIMEOUT_S
            )
            for partition in _partitions(consumer, settings)
        }
    except KafkaException as error:
        raise _down(settings) from error
    finally:
        consumer.close()


def written_at(settings: Settings, offsets: Mapping[int, int]) -> dict[int, float]:
    """When the record at an offset of each partition was written, epoch s; not where none comes.

    Raises NotRunning.
    """
    topic, times = settings.kafka.topic, {}
    consumer = _consumer(settings)
    try:
        for partition, offset in offsets.items():
            consumer.assign([TopicPartition(topic, partition, offset)])
            for message in consumer.consume(1, timeout=WRITTEN_S):
                if message.error() is None:
                    times[partition] = message.timestamp()[1] / 1000
    except KafkaException as error:
        raise _down(settings) from error
    finally:
        consumer.close()
    return times


def topic_id(settings: Settings) -> str:
    """What tells the topic from another one of its name, made after it was deleted.

    Raises NotRunning, also without the topic.
    """
    topic = settings.kafka.topic
    admin = AdminClient(_client(settings))  # held until its future is done, or it fails
    wanted = TopicCollection([topic])
    try:
        found = admin.describe_topics(wanted, request_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)
    except KafkaException as error:
        raise _down(settings) from error
    return str(found.topic_id)


def describe(settings: Settings, timeout_s: float) -> Topic:
    """The brokers and the topic as they are; changes nothing. Raises NotRunning."""
    topic = settings.kafka.topic
    admin = AdminClient(_client(settings))  # held until its future is done, or it fails
    wanted = ConfigResource(ResourceType.TOPIC, topic)
    try:
        known = admin.list_topics(timeout=timeout_s)
        if topic not in known.topics:
            return Topic(len(known.brokers), {}, {})
        answer = admin.describe_configs([wanted], request_timeout=timeout_s)[wanted]
        config = {name: str(entry.value) for name, entry in answer.result(timeout_s).items()}
    except KafkaException as error:
        raise _down(settings) from error
    partitions = {
        number: Partition(each.leader, len(each.replicas), len(each.isrs))
        for number, each in known.topics[topic].partitions.items()
    }
    return Topic(len(known.brokers), partitions, config)


def consume(settings: Settings, partitions: Collection[int] | None = None) -> Iterator[Record]:
    """Every record up to the present end, partition by partition; None: of all partitions."""
    consumer = _consumer(settings)
    try:
        for partition, (first, end) in offsets(settings).items():
            if partitions is not None and partition not in partitions:
                continue
            consumer.assign([TopicPartition(settings.kafka.topic, partition, first)])
            yield from _until(consumer, first, end)
    finally:
        consumer.close()


def _until(consumer: Consumer, first: int, end: int) -> Iterator[Record]:
    position = first
    while position < end:
        # Asked for more than there are, it waits out its whole time.
        messages = consumer.consume(min(10_000, end - position), timeout=TIMEOUT_S)
        if not messages:
            raise ClickstreamError(f"Kafka stopped answering at offset {position} of {end}")
        for message in messages:
            if message.error():
                raise ClickstreamError(f"Kafka: {message.error()}")
            place = message.partition() or 0, message.offset() or 0
            record = Record(*place, message.value() or b"", message.timestamp()[1])
            position = record.offset + 1
            yield record


def _create(settings: Settings) -> None:
    config = {"max.message.bytes": str(MAX_MESSAGE_BYTES), "retention.ms": "-1"}
    wanted = NewTopic(
        settings.kafka.topic,
        num_partitions=len(settings.servers),
        replication_factor=settings.kafka.replication_factor,
        config=config,
    )
    admin = AdminClient(_client(settings))  # held until its futures are done, or they fail
    for done in admin.create_topics([wanted]).values():
        done.result(TIMEOUT_S)


def _partitions(consumer: Consumer, settings: Settings) -> list[int]:
    topic = settings.kafka.topic
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error:
        raise NotRunning(f"there is no topic {topic} yet", "clickstream ingest start makes it")
    return sorted(found.partitions)


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        _client(settings)
        | {
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        }
    )


def _client(settings: Settings) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": endpoints.kafka_bootstrap(settings),
        "log_level": 0,
    }


def _down(settings: Settings) -> NotRunning:
    where = endpoints.kafka_bootstrap(settings)
    return NotRunning(f"Kafka does not answer at {where}", "is it up? clickstream stack status")
