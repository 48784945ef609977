"""The topic as the cluster describes it: its partitions, its configuration, our rights on it."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from clickstream.clients.kafka import NO_RIGHT, client, connected, described
from clickstream.config import Settings


class Partition(NamedTuple):
    """A partition of the topic: its leader's id (below 0 where it has none), and its copies."""

    leader: int
    replicas: int
    in_sync: int


class Topic(NamedTuple):
    """How many brokers there are, and the topic: no partitions where there is none yet.

    `config` is None where our user may not ask for it; `rights` are the operations on the topic
    that it is allowed, None where the brokers do not say.
    """

    brokers: int
    partitions: Mapping[int, Partition]
    config: Mapping[str, str] | None
    rights: frozenset[str] | None = None


def describe(settings: Settings, timeout_s: float) -> Topic:
    """The brokers and the topic as they are; changes nothing. Raises NotRunning."""
    topic = settings.kafka.topic
    wanted = ConfigResource(ResourceType.TOPIC, topic)
    with connected(settings):
        admin = AdminClient(client(settings))  # held until its future is done, or it fails
        known = admin.list_topics(timeout=timeout_s)
        if topic not in known.topics:
            return Topic(len(known.brokers), {}, {})
        asked = admin.describe_configs([wanted], request_timeout=timeout_s)[wanted]
        allowed = described(settings, include_authorized_operations=True).authorized_operations
        config = _config(asked, timeout_s)
    partitions = {
        number: Partition(each.leader, len(each.replicas), len(each.isrs))
        for number, each in known.topics[topic].partitions.items()
    }
    rights = None if allowed is None else frozenset(each.name for each in allowed)
    return Topic(len(known.brokers), partitions, config, rights)


def _config(asked: "Future[Any]", timeout_s: float) -> dict[str, str] | None:
    try:
        return {name: str(entry.value) for name, entry in asked.result(timeout_s).items()}
    except KafkaException as error:
        if error.args[0].code() in NO_RIGHT:
            return None
        raise
