"""Each misfit is named, from what a service has told of itself; what fits is called ok."""

import time

import pytest

from clickstream import config
from clickstream.clients.kafka_topic import Partition, Topic
from clickstream.clients.namenode import NameNode
from clickstream.console.program import spoken
from clickstream.days import DAY_SECONDS
from clickstream.doctor import (
    agents,
    cassandra,
    clock,
    database,
    endpoint,
    hdfs,
    kafka,
    machine,
    spark,
)
from clickstream.doctor.finding import OK, PROBLEM, WARNING
from clickstream.status.part import Part, Problem
from clickstream.views.batch_server import Server, rights_in
from clickstream.views.realtime import ring_status
from clickstream.views.realtime.ring_status import Ring

GB = 10**9
SETTINGS = config.load()
TOPIC = Topic(
    3,
    {0: Partition(1, 3, 3), 1: Partition(2, 3, 3)},
    {
        "min.insync.replicas": "2",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "max.message.bytes": "2097152",
        "unclean.leader.election.enable": "false",
    },
)
NAMENODE = NameNode(
    version="3.5.0, r0",
    safe_mode="",
    missing_blocks=0,
    live=3,
    remaining=100 * GB,
    replication=3,
    block_bytes=134_217_728,
    ahead_s=0.1,
    user="clickstream",
    denied={},
    believes=False,
)
RING = Ring(
    version="5.0.9",
    ahead_s=-0.1,
    nodes={"datacenter1": (3, 3)},
    commitlog_sync={"10.0.0.1": "batch", "10.0.0.2": "group", "10.0.0.3": "batch"},
    copies={"datacenter1": 3},
    rights=None,
)
SERVER = Server(
    kind="mysql",
    version="11.4.5-MariaDB",
    ahead_s=0.0,
    settings={
        "name": "clickstream",
        "max_allowed_packet": "16777216",
        "character_set_client": "utf8mb4",
        "character_set_results": "utf8mb4",
        "innodb_flush_log_at_trx_commit": "1",
    },
    rights=frozenset({"ALL PRIVILEGES"}),
    reader_rights=frozenset({"SELECT"}),
)


def of_topic(lag_s=0.0, brokers=3, partition=TOPIC.partitions[0], n=2, flags=None, **config_of):
    given = config.load(flags={"kafka.replication_factor": "3"} | (flags or {}))
    names = {name.replace("_", "."): value for name, value in config_of.items()}
    described = Topic(brokers, dict.fromkeys(range(n), partition), {**TOPIC.config, **names})
    return kafka.of_topic(given, described, lag_s)


def of_hdfs(loopback=False, flags=None, **told):
    return hdfs.of(config.load(flags=flags or {}), NAMENODE._replace(**told), loopback)


def of_ring(flags=None, **told):
    given = config.load(flags={"cassandra.replication_factor": "3"} | (flags or {}))
    return cassandra.of(given, "datacenter1", RING._replace(**told), 1_800_000_000)


def of_server(told=None, **changed):
    return database.of(
        "clickstream", SERVER._replace(settings=SERVER.settings | (told or {}), **changed)
    )


def of_user(rights, **changed):
    """Of a topic whose brokers ask for a login; the collector is on this host where `home` is."""
    home = changed.pop("home", None)
    flags = {"kafka.bootstrap": "b:1", "kafka.security": "SASL_SSL", "kafka.username": "u"}
    given = config.load(home=home, flags=flags | {"kafka.replication_factor": "3"})
    return kafka.of_topic(given, TOPIC._replace(rights=frozenset(rights), **changed), 0.0)


def of_events(**latest):
    return clock.of_servers(latest, 1_000_000, 300)


def of_agents(**row):
    usual = {"agent": "agent1", "state": "up", "configuration": "current"}
    wrong = [Problem("agent1 runs with another configuration", "x")] if row else []
    return agents.of(Part("", [usual | row], wrong))


MISFITS = {
    # Kafka
    "fewer partitions than servers": (of_topic(n=1), PROBLEM, "has 1 partition for 2 servers"),
    "one replica": (
        of_topic(partition=Partition(1, 1, 1), flags={"kafka.replication_factor": "1"}),
        WARNING,
        "has 1 replica on 3 brokers: a lost one loses lines",
    ),
    "fewer replicas than asked for": (
        of_topic(partition=Partition(1, 2, 2)),
        WARNING,
        "has 2 replicas, kafka.replication_factor asks for 3",
    ),
    "more replicas than brokers": (
        of_topic(brokers=1),
        PROBLEM,
        "kafka.replication_factor is 3, with 1 broker",
    ),
    "a write needs more replicas than there are": (
        of_topic(min_insync_replicas="4"),
        PROBLEM,
        "takes no line: min.insync.replicas is 4 of 3 replicas",
    ),
    "a write needs all replicas": (
        of_topic(min_insync_replicas="3"),
        WARNING,
        "takes no line while one broker is down",
    ),
    "a write needs one replica": (
        of_topic(min_insync_replicas="1"),
        WARNING,
        "acknowledges what one broker has",
    ),
    "retention shorter than the lag": (
        of_topic(lag_s=7200, retention_ms="3600000"),
        PROBLEM,
        "drops lines that the stream has not read: it keeps 1 h, the stream is 2 h behind",
    ),
    "retention near the lag": (
        of_topic(lag_s=2400, retention_ms="3600000"),
        WARNING,
        "keeps lines for 1 h, the stream is 40 min behind",
    ),
    "retention by size": (of_topic(retention_bytes="1000"), WARNING, "drops lines by size"),
    "compaction": (
        of_topic(cleanup_policy="compact,delete"),
        PROBLEM,
        "the last line of a key",
    ),
    "small messages": (
        of_topic(max_message_bytes="1048588"),
        PROBLEM,
        "takes no line above 1,048,588 bytes",
    ),
    "unclean election": (
        of_topic(unclean_leader_election_enable="true"),
        WARNING,
        "may lose acknowledged lines",
    ),
    "no leader": (of_topic(partition=Partition(-1, 3, 0)), PROBLEM, "has no leader"),
    "out of sync": (of_topic(partition=Partition(1, 3, 2)), WARNING, "2 of 3 replicas are in sync"),
    # HDFS
    "another Hadoop": (of_hdfs(version="2.10.2, r1"), WARNING, "HDFS is version 2.10.2"),
    "safe mode": (of_hdfs(safe_mode="Safe mode is ON."), PROBLEM, "safe mode and takes no file"),
    "missing blocks": (of_hdfs(missing_blocks=2), PROBLEM, "misses 2 blocks"),
    "no DataNode": (of_hdfs(live=0), PROBLEM, "no DataNode is up"),
    "more copies than nodes": (
        of_hdfs(live=2),
        WARNING,
        "3 replicas of a block, and has 2",
    ),
    "one copy": (of_hdfs(replication=1), WARNING, "one replica of a block on 3 DataNodes"),
    "no room for the open files": (
        of_hdfs(remaining=5 * GB),
        PROBLEM,
        "HDFS has 5.0 GB free; 100 open files reserve 5.0 GB",
    ),
    "little room for large blocks": (
        of_hdfs(remaining=100 * GB, flags={"flume.block_mb": "256"}),
        WARNING,
        "HDFS has 100.0 GB free; 100 open files reserve 80.5 GB",
    ),
    "a path of another user": (
        of_hdfs(denied={"/master": "/"}),
        PROBLEM,
        "clickstream may not write in / of HDFS",
    ),
    "any user.name": (of_hdfs(believes=True), WARNING, "WebHDFS believes any user.name"),
    "a NameNode's clock": (
        of_hdfs(ahead_s=-90.0),
        PROBLEM,
        "the clock of the NameNode is 1 min 30 s behind ours",
    ),
    # Cassandra
    "an old Cassandra": (of_ring(version="3.11.17"), PROBLEM, "version 3.11.17, too old"),
    "a node that syncs later": (
        of_ring(commitlog_sync={"10.0.0.1": "periodic"}, copies={"datacenter1": 1}),
        PROBLEM,
        "10.0.0.1 acknowledges before it syncs (commitlog_sync: periodic)",
    ),
    "nodes that sync later, on three": (
        of_ring(commitlog_sync={"10.0.0.1": "periodic"}),
        WARNING,
        "10.0.0.1 acknowledges before it syncs",
    ),
    "a node that does not say when it syncs": (
        of_ring(commitlog_sync={"10.0.0.1": None}),
        WARNING,
        "10.0.0.1 does not say its commitlog_sync",
    ),
    "another datacenter": (
        of_ring(nodes={"dc1": (3, 3)}),
        PROBLEM,
        "no datacenter datacenter1 in the ring, whose are: dc1",
    ),
    "more replicas than nodes": (
        of_ring(nodes={"datacenter1": (1, 1)}),
        PROBLEM,
        "3 replicas on 1 node of",
    ),
    "another replication than the settings": (
        of_ring(copies={"datacenter1": 2}),
        WARNING,
        "keyspace clickstream has 2 replicas, cassandra.replication_factor is 3",
    ),
    "no replica here": (of_ring(copies={"dc2": 3}), PROBLEM, "has no replica in datacenter1"),
    "no quorum": (
        of_ring(nodes={"datacenter1": (1, 3)}),
        PROBLEM,
        "LOCAL_QUORUM needs 2 of 3 replicas; nodes that are up: 1",
    ),
    "a quorum of both": (
        of_ring(copies={"datacenter1": 2}, flags={"cassandra.replication_factor": "2"}),
        WARNING,
        "waits for any node that is down",
    ),
    "rows that live too long": (
        of_ring(flags={"cassandra.ttl_days": "5000"}),
        PROBLEM,
        "rows would expire after January 2038",
    ),
    "a user without rights": (
        of_ring(rights=frozenset(), flags={"cassandra.username": "u"}),
        PROBLEM,
        "u may not read keyspace clickstream",
    ),
    "a user who only reads": (
        of_ring(rights=frozenset({"SELECT"}), flags={"cassandra.username": "u"}),
        WARNING,
        "u only reads keyspace clickstream: enough for reports, not for the stream",
    ),
    # the database
    "tiny packets": (
        of_server({"max_allowed_packet": "65536"}),
        PROBLEM,
        "packets of 0.0625 MiB (max_allowed_packet): visitor sets do not fit",
    ),
    "small packets": (of_server({"max_allowed_packet": "4194304"}), WARNING, "packets of 4 MiB"),
    "another charset": (
        of_server({"character_set_client": "latin1"}),
        PROBLEM,
        "the connection to the database is in latin1, utf8mb4",
    ),
    "a lazy commit": (
        of_server({"innodb_flush_log_at_trx_commit": "2"}),
        WARNING,
        "the database commits before it syncs",
    ),
    "a writer without DELETE": (
        of_server(rights=frozenset({"SELECT", "INSERT", "UPDATE", "CREATE", "DROP"})),
        PROBLEM,
        "the user of database.url lacks DELETE in clickstream",
    ),
    "a reader who writes": (
        of_server(reader_rights=frozenset({"SELECT", "INSERT"})),
        WARNING,
        "may do more than read: INSERT",
    ),
    "a database's clock": (of_server(ahead_s=5.0), WARNING, "the database is 5 s ahead of ours"),
    # TLS and logins
    "a certificate that ends soon": (
        [endpoint.validity("it", time.time() + 9.5 * DAY_SECONDS)],
        WARNING,
        "it is valid for 9 days",
    ),
    "a service elsewhere without TLS": (
        endpoint.transport("Kafka", [("10.0.0.1", 9092), ("127.0.0.1", 9092)], None, "x"),
        WARNING,
        "Kafka at 10.0.0.1:9092 is spoken to without TLS",
    ),
    "a user whom the topic does nothing for": (
        of_user({"DESCRIBE"}),
        PROBLEM,
        "u in, which may neither read nor write topic clickstream",
    ),
    "a topic of which nobody tells": (
        of_user({"READ"}, config=None),
        WARNING,
        "retention is not checked",
    ),
    "a role that reads nothing": (
        [cassandra.of_reader("k", "r", frozenset())],
        PROBLEM,
        "role r of cassandra.reader_username may not read k",
    ),
    "a role that may do all": (
        [cassandra.of_reader("k", "r", None)],
        WARNING,
        "may do everything",
    ),
    "a role that writes": (
        [cassandra.of_reader("k", "r", frozenset({"SELECT", "MODIFY"}))],
        WARNING,
        "may do more than read: MODIFY",
    ),
    "a database that is not checked": (
        database.of_tls("db.example", False, SERVER._replace(tls=True)),
        WARNING,
        "nobody checks that the database at db.example",
    ),
    "a database without TLS": (
        database.of_tls("db.example", False, SERVER),
        WARNING,
        "is spoken to without TLS",
    ),
    # the rest
    "events of tomorrow": (of_events(a=1_086_400), PROBLEM, "event of a is 1 d ahead of our clock"),
    "a server behind": (of_events(a=900_000, b=999_999), WARNING, "a is 1 d 3 h behind"),
    "an agent of other settings": (
        of_agents(configuration="differs"),
        PROBLEM,
        "agent1 runs with another configuration",
    ),
    "another Spark": (
        [spark.of_master("spark://m:7077", "4.2.0", "3.5.1")],
        PROBLEM,
        "spark://m:7077 is Spark 3.5.1, ours is 4.2.0",
    ),
    "a Spark that does not say": (
        [spark.of_master("spark://m:7077", "4.2.0", "")],
        WARNING,
        "does not say its version",
    ),
    "an untried Python": ([machine.python((3, 15))], WARNING, "was not tried"),
    "a full disk": (
        [machine.disk(SETTINGS, 100 * 2**20)],
        PROBLEM,
        "channels take nothing below flume.minimum_free_mb (500)",
    ),
    "little disk": ([machine.disk(SETTINGS, GB)], WARNING, "1.0 GB are free"),
    "little memory": ([machine.memory_left(2 * GB, GB)], WARNING, "1.0 of 2.0 GB of memory"),
    "few handles": ([machine.handles(1024)], PROBLEM, "a process may open 1,024 files"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_is_named_with_what_to_do(name):
    findings, state, text = MISFITS[name]
    named = [each for each in findings if text in each.text]
    assert {each.state for each in named} == {state}
    assert named[0].hint


def test_no_hint_takes_our_topic_for_our_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/clickstream"])
    named = [
        of_topic(n=1),
        of_topic(cleanup_policy="compact"),
        of_hdfs(denied={"/a": "/a"}),
        of_ring(copies={"datacenter1": 2}),
        of_ring(rights=frozenset()),
    ]
    hints = [each.hint for findings in named for each in findings if each.hint]
    assert len(hints) > 5
    assert [hint for hint in hints if spoken(hint) != hint] == []


def fitting():
    yield from of_topic()
    yield from of_hdfs()
    yield from of_hdfs(loopback=True, believes=True)
    yield from of_ring()
    yield from of_ring(rights=frozenset({"SELECT", "MODIFY"}))
    yield from of_server()
    yield from of_user({"READ", "WRITE"})
    yield cassandra.of_reader("k", "r", frozenset({"SELECT"}))
    yield endpoint.validity("it", time.time() + 90 * DAY_SECONDS)
    yield from endpoint.transport("Kafka", [("127.0.0.1", 9092)], None, "x")
    tomorrow = time.time() + 60 * DAY_SECONDS
    yield from database.of_tls("db.example", True, SERVER._replace(tls=True, valid_until=tomorrow))
    yield from of_events(a=999_999, b=999_900)
    yield from of_agents()
    yield machine.python((3, 11))
    yield machine.disk(SETTINGS, 5 * GB)
    yield machine.memory_left(8 * GB, 4 * GB)
    yield machine.handles(1_048_576)
    yield spark.of_master("spark://m:7077", "4.2.0", "4.2.0")


def test_what_fits_is_ok():
    assert [each for each in fitting() if each.state != OK] == []


@pytest.mark.parametrize(("conf_dir", "state"), [("", PROBLEM), ("/etc/hadoop/conf", OK)])
def test_yarn_needs_the_clusters_configuration(monkeypatch, tmp_path, conf_dir, state):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    flags = {"spark.master": "yarn", "hdfs.conf_dir": conf_dir}
    named = next(spark.check(config.load(home=tmp_path, flags=flags)))
    assert named.state == state
    assert "yarn" in named.text


def test_before_the_first_start_nothing_is_missed():
    assert {each.state for each in kafka.of_topic(SETTINGS, Topic(1, {}, {}), 0)} == {OK}
    unmade = RING._replace(copies=None, nodes={"datacenter1": (1, 1)})
    assert {each.state for each in cassandra.of(SETTINGS, "datacenter1", unmade, time.time())} == {
        OK
    }
    assert [each.state for each in database.of("x", Server("sqlite"))] == [OK]


def test_the_rights_in_a_keyspace():
    granted = [("<all keyspaces>", "SELECT"), ("<keyspace k>", "MODIFY"), ("<table k.t>", "DROP")]
    assert ring_status.rights_in("k", granted) == {"SELECT", "MODIFY"}
    assert ring_status.rights_in("other", granted) == {"SELECT"}


# As MariaDB 11.4 shows them; the hash is another one.
GRANTS = [
    "GRANT USAGE ON *.* TO `clickstream`@`127.0.0.1` IDENTIFIED BY PASSWORD '*E7'",
    "GRANT ALL PRIVILEGES ON `clickstream`.* TO `clickstream`@`127.0.0.1`",
    "GRANT SELECT, INSERT ON `other`.* TO `clickstream`@`127.0.0.1`",
    "GRANT `role` TO `clickstream`@`127.0.0.1`",
]


@pytest.mark.parametrize(
    ("database_name", "rights"),
    [("clickstream", {"ALL PRIVILEGES"}), ("other", {"SELECT", "INSERT"}), ("third", set())],
)
def test_the_rights_in_a_database(database_name, rights):
    assert rights_in(database_name, GRANTS) == rights
