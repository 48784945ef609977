"""The doctor on real services: nothing wrong with the stack as it is, and misfits that are made."""

import socket
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from clickstream import config
from clickstream.clients import endpoints
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.doctor import examine
from clickstream.doctor.finding import OK, PROBLEM, WARNING
from clickstream.views.realtime import ring

PARTS = ("kafka", "hdfs", "cassandra", "database")
PATIENT_S = 60
DATABASE_URL = "CLICKSTREAM_DATABASE__URL"


def examined(settings: Settings, **flags: str) -> dict[str, dict[str, str]]:
    """Part -> finding -> state, with other settings."""
    origin = settings.origin
    names = {name.replace("__", "."): value for name, value in flags.items()}
    other = config.load(origin.file, settings.home, origin.flags | names)
    found = examine.examine(other, deadline_s=PATIENT_S)
    return {part: {each.text: each.state for each in all_} for part, all_ in found.parts.items()}


def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap(settings)})


def make_topic(settings: Settings, **of: str) -> None:
    topic = NewTopic(settings.kafka.topic, num_partitions=1, replication_factor=1, config=of)
    client = admin(settings)
    for done in client.create_topics([topic]).values():
        done.result(30)


def state(found: dict[str, dict[str, str]], part: str, text: str) -> str:
    """The state of the one finding of a part that has this text."""
    (one,) = [state for finding, state in found[part].items() if text in finding]
    return one


def test_a_stack_as_it_is_has_no_problem_and_is_left_as_it_is(fresh):
    found = examined(fresh)
    for part in PARTS:
        assert {*found[part].values()} == {OK}, found[part]
    assert "5.0." in "".join(found["cassandra"])
    assert "HDFS 3.5.0" in found["hdfs"]
    assert any("MariaDB" in text for text in found["database"])
    assert any("syncs its commit log" in text for text in found["cassandra"])
    assert fresh.kafka.topic not in admin(fresh).list_topics(timeout=30).topics
    cluster = ring.cluster(fresh, reader=False)
    cluster.connect()
    assert fresh.cassandra.keyspace not in cluster.metadata.keyspaces
    cluster.shutdown()
    assert Hdfs.connect(fresh).stat(fresh.hdfs.master) is None


@pytest.fixture
def keyspace(fresh: Settings) -> Iterator[None]:
    """A keyspace of our name that another hand has made."""
    cluster = ring.cluster(fresh, reader=False)
    session = cluster.connect()
    name = fresh.cassandra.keyspace
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 2}"
    session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
    yield
    session.execute(f"DROP KEYSPACE {name}")
    cluster.shutdown()


@pytest.mark.campaign("each misfit is a unit over what a service has told")
def test_misfits_are_named(fresh, keyspace, monkeypatch):
    monkeypatch.setenv(DATABASE_URL, _url(fresh, charset="latin1"))
    small = {"max.message.bytes": "1000000", "retention.bytes": "1000000"}
    make_topic(fresh, **small, **{"cleanup.policy": "compact", "min.insync.replicas": "2"})
    Hdfs.connect(fresh).write(f"{fresh.hdfs.master}/_ledger.x", [b"x"])
    above = fresh.hdfs.master.rpartition("/")[0]
    wrong = {
        "kafka__replication_factor": "3",
        "hdfs__user": "stranger",
        "flume__block_mb": "100000",
        "cassandra__replication_factor": "1",
        "cassandra__ttl_days": "6000",
        "spark__master": "spark://127.0.0.1:1",
    }
    found = examined(fresh, **wrong)
    for part, text, expected in (
        ("kafka", "has 1 partition for 2 servers", PROBLEM),
        ("kafka", "kafka.replication_factor is 3, with 1 broker", PROBLEM),
        ("kafka", "has 1 replica, kafka.replication_factor asks for 3", WARNING),
        ("kafka", "takes no line: min.insync.replicas is 2 of 1 replica", PROBLEM),
        ("kafka", "drops lines by size", WARNING),
        ("kafka", "drops all but the last line of a key", PROBLEM),
        ("kafka", "takes no line above 1,000,000 bytes", PROBLEM),
        ("hdfs", f"stranger may not write in {above} of HDFS", PROBLEM),
        ("hdfs", f"stranger may not write in {fresh.hdfs.master} of HDFS", PROBLEM),
        ("hdfs", "100 open files reserve 10,485.8 GB", PROBLEM),
        ("cassandra", "is to have 2 replicas on 1 node of", PROBLEM),
        ("cassandra", "LOCAL_QUORUM needs 2 of 2 replicas; nodes that are up: 1", PROBLEM),
        ("cassandra", "rows would expire after January 2038", PROBLEM),
        ("database", "the connection to the database is in latin1", PROBLEM),
        ("spark", "Spark's master at 127.0.0.1:1 is not reached", PROBLEM),
    ):
        assert state(found, part, text) == expected, text


@pytest.mark.campaign("each misfit is a unit over what a service has told")
def test_services_that_are_not_there_or_say_nothing(fresh, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        away = {
            "kafka__bootstrap": "127.0.0.1:1",
            "hdfs__web": "http://127.0.0.1:1",
            "cassandra__datacenter": "elsewhere",
            "cassandra__hosts": '["127.0.0.1"]',
            "cassandra__port": str(endpoints.cassandra(fresh).port),
        }
        url = f"mysql+pymysql://u:s3cret@127.0.0.1:{port}/x?read_timeout=1"
        monkeypatch.setenv(DATABASE_URL, url)
        found = examined(fresh, **away)
    assert [*found["kafka"].values()] == [PROBLEM]
    assert [*found["hdfs"].values()].count(PROBLEM) == 1
    assert state(found, "cassandra", "no datacenter elsewhere in the ring") == PROBLEM
    assert PROBLEM in found["database"].values()
    assert "s3cret" not in str(found)


def _url(settings: Settings, **options: str) -> str:
    url = endpoints.database_url(settings).update_query_dict(options)
    return url.render_as_string(hide_password=False)
