"""The topic of stamped lines: the only user of the Kafka client.

One partition per server, in the order of `servers`, so each server's lines keep their order.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    NewTopic,
    TopicDescription,
)

from clickstream.clients import endpoints, kafka_security, tls
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning

PORT = 9092
TIMEOUT_S = 15
ASK_S = 0.5
UNANSWERED_S = 4
WRITTEN_S = 1
GROUP = "clickstream-reader"
MAX_MESSAGE_BYTES = 2 * 2**20
NO_RIGHT = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
AUTHENTICATION, SSL = KafkaError._AUTHENTICATION, KafkaError._SSL
# Of librdkafka's sentences: the broker that an error is about, and what it takes instead of our
# mechanism.
BROKER = re.compile(r"\w+://(\[[^\]]+\]|[^/:]+):([0-9]+)/")
MECHANISMS = re.compile(r"supported mechanisms: ([A-Z0-9, -]+)")


class Record(NamedTuple):
    """A record of the topic; `value` is a stamped line, written at an epoch ms."""

    partition: int
    offset: int
    value: bytes
    written_ms: int = 0


def answers(client: Mapping[str, str], timeout_s: float) -> bool:
    """Whether a broker is there and its group coordinator answers; `client` are librdkafka's keys.

    Asked by a consumer and not by an AdminClient: Python crashed once with the latter, whose
    futures are set by a thread of its own, when the client was dropped right after.
    """
    consumer = Consumer({**client, "group.id": GROUP, "log_level": 0})
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
    with connected(settings) as consumer:
        found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if found.error and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            _create(settings)
        elif found.error:
            raise KafkaException(found.error)
        elif len(found.partitions) < wanted:
            raise ClickstreamError(
                f"topic {topic} has {len(found.partitions)} partitions for {wanted} servers",
                "name another one with kafka.topic, or add partitions",
            )


def require_tls_as_configured(settings: Settings) -> None:
    """Raise ClickstreamError where a broker that answers speaks TLS in another way than we do.

    Asked before an agent starts: a producer without TLS takes the first bytes of a port with TLS
    for the size of an answer, and its JVM ends for lack of memory.
    """
    for host, port in _addresses(settings) if settings.kafka.bootstrap else ():
        _require_tls(settings, host, port)


def require_write(settings: Settings) -> None:
    """Raise ClickstreamError where our user may not write to the topic, as agent3 does.

    It would try again for ever, and only its log would tell.
    """
    if not settings.kafka.bootstrap:
        return
    with connected(settings):
        rights = described(settings, include_authorized_operations=True).authorized_operations
    # None: the cluster does not say.
    if rights is not None and AclOperation.WRITE not in rights:
        raise _no_right(settings, "write to")


def offsets(settings: Settings) -> dict[int, tuple[int, int]]:
    """First and end offset of each partition; raises NotRunning, also without the topic."""
    with connected(settings) as consumer:
        return {
            partition: consumer.get_watermark_offsets(
                TopicPartition(settings.kafka.topic, partition), timeout=TIMEOUT_S
            )
            for partition in _partitions(consumer, settings)
        }


def written_at(settings: Settings, offsets: Mapping[int, int]) -> dict[int, float]:
    """When the record at an offset of each partition was written, epoch s; not where none comes.

    Raises NotRunning.
    """
    topic, times = settings.kafka.topic, {}
    with connected(settings) as consumer:
        for partition, offset in offsets.items():
            consumer.assign([TopicPartition(topic, partition, offset)])
            for message in consumer.consume(1, timeout=WRITTEN_S):
                if message.error() is None:
                    times[partition] = message.timestamp()[1] / 1000
    return times


def topic_id(settings: Settings) -> str:
    """What tells the topic from another one of its name, made after it was deleted.

    Raises NotRunning, also without the topic.
    """
    with connected(settings):
        return str(described(settings).topic_id)


def consume(settings: Settings, partitions: Collection[int] | None = None) -> Iterator[Record]:
    """Every record up to the present end, partition by partition; None: of all partitions."""
    with connected(settings) as consumer:
        for partition, (first, end) in offsets(settings).items():
            if partitions is not None and partition not in partitions:
                continue
            consumer.assign([TopicPartition(settings.kafka.topic, partition, first)])
            yield from _until(consumer, first, end)


def _until(consumer: Consumer, first: int, end: int) -> Iterator[Record]:
    position = first
    while position < end:
        # Asked for more than there are, it waits out its whole time.
        messages = consumer.consume(min(10_000, end - position), timeout=TIMEOUT_S)
        if not messages:
            raise ClickstreamError(f"Kafka stopped answering at offset {position} of {end}")
        for message in messages:
            if error := message.error():
                raise (
                    KafkaException(error)
                    if error.code() in NO_RIGHT
                    else ClickstreamError(f"Kafka: {error}")
                )
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
    admin = AdminClient(client(settings))  # held until its futures are done, or they fail
    for done in admin.create_topics([wanted]).values():
        done.result(TIMEOUT_S)


def _partitions(consumer: Consumer, settings: Settings) -> list[int]:
    topic = settings.kafka.topic
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error and found.error.code() in NO_RIGHT:
        raise KafkaException(found.error)
    if found.error:
        raise NotRunning(f"there is no topic {topic} yet", "clickstream ingest start makes it")
    return sorted(found.partitions)


@contextmanager
def connected(settings: Settings) -> Iterator[Consumer]:
    """A consumer that a broker has let in; a client's exceptions in the block become ours.

    Raises NotRunning where none answers, ClickstreamError with the reason where we are not let in.
    """
    heard: list[KafkaError] = []
    consumer = Consumer(
        client(settings)
        | {
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
            "error_cb": heard.append,
        }
    )
    try:
        _log_in(consumer, settings, heard)
        yield consumer
    except (KafkaException, TimeoutError) as error:
        raise _failure(settings, error) from error
    finally:
        consumer.close()


def _log_in(consumer: Consumer, settings: Settings, heard: list[KafkaError]) -> None:
    """Wait for an answer, or for the reason why there is none.

    A client tells the reason only to its callback, and that only while it is polled; it would try
    again until the timeout.
    """
    began, looked = time.monotonic(), False
    while True:
        try:
            consumer.list_topics(settings.kafka.topic, timeout=ASK_S)
            return
        except KafkaException:
            consumer.poll(0)
            waited = time.monotonic() - began
            decisive = any(error.code() in (AUTHENTICATION, SSL) for error in heard)
            if decisive or (heard and not looked):
                looked = True
                _refuse(settings, heard)
            if heard and waited > UNANSWERED_S and settings.kafka.bootstrap:
                _refuse_unanswered(settings)
            if waited > TIMEOUT_S:
                raise


def _refuse(settings: Settings, heard: list[KafkaError]) -> None:
    """Raise ClickstreamError where errors of connections say that we are not let in."""
    worst = min(heard, key=lambda error: error.code() not in (AUTHENTICATION, SSL))
    if worst.code() == AUTHENTICATION:
        raise _no_login(settings, worst.str())
    found = BROKER.search(worst.str())
    asked = [(found[1].strip("[]"), int(found[2]))] if found else _addresses(settings)
    for host, port in asked:
        _require_tls(settings, host, port)
    if worst.code() == SSL:
        raise ClickstreamError(f"{_where(settings)}: {worst.str()}")


def _refuse_unanswered(settings: Settings) -> None:
    """A broker that is spoken to in another way than its listener takes ends each connection."""
    for host, port in _addresses(settings):
        with suppress(OSError):  # no such host
            if endpoints.port_open(port, host):
                raise NotRunning(
                    f"Kafka at {host}:{port} takes connections, but does not answer what comes as"
                    f" {settings.kafka.security}",
                    "is kafka.security what its listener asks for, a login or none?",
                )


def _require_tls(settings: Settings, host: str, port: int) -> None:
    """Raise ClickstreamError where TLS with a broker that answers is not as configured."""
    if not kafka_security.uses_tls(settings):
        if tls.spoken(host, port):
            hint = "set kafka.security = SASL_SSL (or SSL, without a login)"
            raise ClickstreamError(f"Kafka at {host}:{port} speaks TLS", hint)
        return
    problem = tls.problem(host, port, tls.material(settings))
    if problem and problem.answers:
        raise ClickstreamError(f"Kafka at {host}:{port}: {problem.reason}", problem.hint)


def _no_login(settings: Settings, text: str) -> ClickstreamError:
    mechanisms = MECHANISMS.search(text)
    if mechanisms:
        return ClickstreamError(
            f"{_where(settings)} takes no login by {settings.kafka.mechanism}",
            f"set kafka.mechanism to what it takes: {mechanisms[1]}",
        )
    return ClickstreamError(
        f"{_where(settings)} refuses the login of {settings.kafka.username}:"
        " wrong password, or no such user",
        "check kafka.username and its password (kafka.password_file, or"
        " CLICKSTREAM_KAFKA__PASSWORD)",
    )


def _failure(settings: Settings, error: KafkaException | TimeoutError) -> ClickstreamError:
    if isinstance(error, KafkaException) and error.args[0].code() in NO_RIGHT:
        return _no_right(settings, "use")
    hint = "is it up, and is kafka.bootstrap right?"
    if not settings.kafka.bootstrap:
        hint = "is it up? clickstream stack status"
    where = endpoints.kafka_bootstrap(settings)
    return NotRunning(f"Kafka does not answer at {where}", hint)


def _no_right(settings: Settings, to: str) -> ClickstreamError:
    user = f"User:{settings.kafka.username or 'ANONYMOUS'}"
    return ClickstreamError(
        f"{_where(settings)} gives {user} no right to {to} topic {settings.kafka.topic}",
        "agents need Write, other commands Read, ingest start Create where it makes the topic",
    )


def described(settings: Settings, **asked: bool) -> TopicDescription:
    """The topic as the cluster describes it; `asked` are librdkafka's options. In `connected`."""
    topic = settings.kafka.topic
    wanted = TopicCollection([topic])
    admin = AdminClient(client(settings))  # held until its future is done, or it fails
    found = admin.describe_topics(wanted, request_timeout=TIMEOUT_S, **asked)
    return found[topic].result(TIMEOUT_S)


def _where(settings: Settings) -> str:
    return f"Kafka at {endpoints.kafka_bootstrap(settings)}"


def _addresses(settings: Settings) -> Iterator[tuple[str, int]]:
    for address in endpoints.kafka_bootstrap(settings).split(","):
        host, _, port = address.strip().rpartition(":")
        yield (host.strip("[]"), int(port)) if port.isdigit() else (address.strip(), PORT)


def client(settings: Settings) -> dict[str, Any]:
    """What librdkafka is told by every client of ours."""
    given: dict[str, Any] = {
        "bootstrap.servers": endpoints.kafka_bootstrap(settings),
        "log_level": 0,
    }
    return given | kafka_security.librdkafka(settings)
