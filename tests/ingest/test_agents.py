"""Agents without a Java machine: their logs, unexpected files in a spool, back-off, status."""

import os
import random
from datetime import datetime
from pathlib import Path

import pytest

from clickstream import config
from clickstream.errors import ClickstreamError, NotRunning, ServiceFailed, UsageError
from clickstream.home import set_aside
from clickstream.ingest import flow
from clickstream.ingest.flume import agent_config, agent_log, agents, supervise
from clickstream.ingest.flume import status as agent_status
from clickstream.ingest.flume.agent import SPOOLING, Agent, AgentState, Bean
from clickstream.ingest.flume.agent_config import Component
from clickstream.ingest.flume.supervise import Policy, Restarts
from clickstream.ingest.spool import unexpected

REFUSED = b"""2026-11-25 13:36:45,609 ERROR SinkRunner Unable to deliver event. Exception follows.
org.apache.flume.EventDeliveryException: Failed to send events
\tat org.apache.flume.sink.AbstractRpcSink.process(AbstractRpcSink.java:398)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)
2026-11-25 13:36:46,000 INFO Application the word ERROR alone is no error
"""
FATAL = b"""2026-11-25 13:36:44,115 ERROR SpoolDirectorySource FATAL: Uncaught exception in it.
java.lang.IllegalStateException: File name has been re-used \x1b[2J
\tat org.apache.flume.client.avro.ReliableSpoolingFileEventReader.rollCurrentFile(R.java:5)
"""
CHUNK = "weblog1-0123456789abcdef-0-20-1.log"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "agent.log"


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ""),
        (b"2026-11-25 13:36:46,000 INFO Application fine\n", ""),
        (
            REFUSED,
            "2026-11-25 13:36:45 SinkRunner: Unable to deliver event. Exception follows.:"
            " ConnectException: Connection refused",
        ),
        (b"2026-11-25 13:36:45,609 FATAL X gone", "2026-11-25 13:36:45 X: gone"),
        (
            b"Error occurred during initialization of VM\nToo small maximum heap\n",
            "Error occurred during initialization of VM: Too small maximum heap",
        ),
    ],
)
def test_the_last_error_is_one_line_with_its_root_cause(log, content, said):
    log.write_bytes(content)
    assert agent_log.last_error(log, 0) == said


def test_the_last_error_is_of_this_start_and_the_latest(log):
    log.write_bytes(FATAL + REFUSED)
    assert "SinkRunner" in agent_log.last_error(log, 0)
    assert "SinkRunner" in agent_log.last_error(log, len(FATAL))
    assert agent_log.last_error(log, len(FATAL + REFUSED)) == ""
    assert "SinkRunner" in agent_log.last_error(log, 10**6), (
        "a log that was recreated is read from its start"
    )


def test_the_error_of_one_logger_is_distinguished_and_shown_safely(log):
    log.write_bytes(FATAL + REFUSED * 50)
    said = agent_log.last_error(log, 0, agent_log.SPOOLING_SOURCE)
    assert "IllegalStateException: File name has been re-used \\x1b[2J" in said
    assert said.isprintable()


def test_a_long_log_of_other_errors_is_read_in_one_pass(log):
    log.write_bytes(FATAL + REFUSED * 20_000)
    assert "IllegalState" in agent_log.last_error(log, 0, agent_log.SPOOLING_SOURCE)
    assert agent_log.last_error(log, 0, b"NoSuchLogger") == ""


def test_a_long_error_is_shortened(log):
    log.write_bytes(b"2026-11-25 13:36:45,609 ERROR " + b"x" * 9000 + b" " + b"y" * 9000)
    assert len(agent_log.last_error(log, 0)) < 400


NO_ROOM = b"""2026-11-25 13:36:50,101 WARN DataStreamer DataStreamer Exception
org.apache.hadoop.ipc.RemoteException(java.io.IOException): File /master/part.tmp \
could only be written to 0 of the 1 minReplication nodes. There are %b datanode(s) running and %b \
node(s) are excluded in this operation.
\tat org.apache.hadoop.hdfs.server.blockmanagement.BlockManager.chooseTarget4NewBlock(B:2350)
"""
EXCLUDED = b"""2026-11-25 13:36:50,099 WARN DataStreamer Excluding datanode \
DatanodeInfoWithStorage[127.0.0.1:24140,DS-1,DISK]
"""
AT = datetime(2026, 11, 25, 13, 36, 50).timestamp()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (NO_ROOM % (b"1", b"0"), "no DataNode has room"),
        (NO_ROOM % (b"3", b"no"), "no DataNode has room"),
        (NO_ROOM % (b"1", b"1"), "no DataNode has room"),
        (EXCLUDED + NO_ROOM % (b"1", b"1"), None),
        (NO_ROOM % (b"0", b"no"), None),
        (
            EXCLUDED
            + b"2026-11-25 13:36:50,101 WARN HDFSEventSink HDFS IO error\norg.apache.hadoop.hdfs"
            b".protocol.DSQuotaExceededException: The DiskSpace quota of /master is exceeded: quota"
            b" = 1 B = 1 B but diskspace consumed = 16777216 B = 16 MB\n",
            "quota",
        ),
        (
            b"2026-11-25 13:36:50,101 WARN HDFSEventSink HDFS IO error\norg.apache.hadoop.ipc"
            b".RemoteException(SafeModeException): Cannot create file. Name node is in safe mode.\n"
            b"Resources are low on NN. Please add or free up more resources\n",
            "NameNode's own disk",
        ),
        (REFUSED, None),
        (b"", None),
    ],
)
def test_a_refusal_for_lack_of_room_is_found_with_its_time(log, content, reason):
    log.write_bytes(REFUSED + content + REFUSED)
    found = agent_log.refusal(log, 0)
    assert (found is not None) == (reason is not None)
    if found:
        assert found.when == AT
        assert reason in found.reason
    assert agent_log.refusal(log, len(log.read_bytes())) is None, "one of an earlier start"


def test_hdfs_without_room_ends_the_wait_and_is_told(settings, monkeypatch):
    clock = [AT]
    written = [5]
    monkeypatch.setattr("time.time", lambda: clock[0])
    monkeypatch.setattr(Agent, "sinks_total", lambda *_: written[0])
    agent = Agent(settings, "agent3")
    agent.child.log.parent.mkdir(parents=True)
    room = flow._RoomInHdfs(settings)

    def after(seconds, refused):
        clock[0] += seconds
        stamp = datetime.fromtimestamp(clock[0]).strftime("%Y-%m-%d %H:%M:%S")
        told = NO_ROOM.replace(b"2026-11-25 13:36:50", stamp.encode()) % (b"1", b"0")
        agent.child.log.write_bytes(told if refused else b"")
        room.check()

    after(2, refused=True)
    after(25, refused=True)
    written[0] += 1  # idle files were closed, and there was room again
    after(10, refused=True)
    after(25, refused=True)
    with pytest.raises(ServiceFailed, match="another block for lack of room: no DataNode has"):
        after(10, refused=True)
    after(40, refused=False)


def test_a_file_closed_is_a_step_until_a_write_fails(settings, monkeypatch):
    counters = {"EventWriteFail": 3, "ConnectionClosedCount": 5}
    taken = [0]
    monkeypatch.setattr(Agent, "sinks_total", lambda _, name: counters[name])
    monkeypatch.setattr(flow, "_in_channels", lambda *_: flow.Backlog("x", 9, taken[0]))
    collector = flow._InCollector(settings)

    def moved(**now):
        counters.update(now)
        return collector.backlog().moved

    assert moved() < moved(ConnectionClosedCount=6) < moved(ConnectionClosedCount=7)
    assert moved(EventWriteFail=4) == moved(ConnectionClosedCount=8)
    taken[0] = 1
    assert moved() < moved(ConnectionClosedCount=9)


def test_no_log_is_no_error(log):
    assert agent_log.last_error(log, 0) == ""
    assert agent_log.size_at_stop(log, 0, "lines") is None


def test_what_a_channel_held_when_it_was_stopped(log):
    said = "2026 INFO M Shutdown Metric for type: CHANNEL, name: {}. channel.current.size == {}\n"
    log.write_text(said.format("lines", 46) + said.format("other", 7))
    assert agent_log.size_at_stop(log, 0, "lines") == 46
    assert agent_log.size_at_stop(log, 0, "line") is None
    assert agent_log.size_at_stop(log, 90, "lines") is None


@pytest.fixture
def spool(tmp_path):
    """A spooling directory in which chunks lie among unexpected files."""
    spool = tmp_path / "spool" / "weblog1"
    spool.mkdir(parents=True)
    for name in (CHUNK, f"{CHUNK}.COMPLETED", CHUNK.replace("-1.log", "-2.log.COMPLETED")):
        (spool / name).write_text(name)
    (spool / CHUNK.replace("weblog1", "weblog2")).write_text("another server's")
    (spool / "notes.txt").write_text("no chunk")
    (spool / ".hidden").write_text("no agent looks at it")
    (spool / "directory.log").mkdir()
    os.mkfifo(spool / "pipe.log")
    (spool / "dangling.log").symlink_to("/nowhere")
    (spool / CHUNK.replace("-1.log", "-3.log")).symlink_to(spool / CHUNK)
    return spool


def test_unexpected_files_are_moved_beside_the_spool_and_nothing_is_lost(spool):
    before = sorted(os.listdir(spool))
    moved = list(unexpected.clear(spool, "weblog1"))
    left = {".hidden", CHUNK, CHUNK.replace("-1.log", "-2.log.COMPLETED")}
    assert set(os.listdir(spool)) == left
    assert sorted([*left, *os.listdir(set_aside(spool))]) == before
    assert all(not os.path.lexists(path) and os.path.lexists(target) for path, target in moved)
    assert (set_aside(spool) / f"{CHUNK}.COMPLETED").read_text() == f"{CHUNK}.COMPLETED"
    assert list(unexpected.clear(spool, "weblog1")) == []


def test_unexpected_files_of_one_name_all_stay(spool):
    for _ in range(3):
        list(unexpected.clear(spool, "weblog1"))
        (spool / "notes.txt").write_text("again")
    found = sorted(path.name for path in set_aside(spool).glob("notes.txt*"))
    assert found == ["notes.txt", "notes.txt.1", "notes.txt.2"]


def test_what_blocks_a_source(spool):
    assert [path.name for path in unexpected.blocking(spool)] == ["dangling.log", "pipe.log"]
    assert unexpected.blocking(spool.parent / "nosuch") == []


POLICY = Policy(attempts=8, reset_s=300, most_s=60)


def test_restarts_come_later_each_time_and_end():
    restarts = Restarts(POLICY)
    assert [restarts.down() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, None]
    assert restarts.down() is None


def test_a_restart_that_lasted_long_enough_forgives_all():
    restarts = Restarts(POLICY)
    assert [restarts.down() for _ in range(3)] == [1, 2, 4]
    restarts.up(1000)
    restarts.up(1299)
    assert restarts.down() == 8, "up for 299 s is a failed restart"
    restarts.up(2000)
    restarts.up(2300)
    assert restarts.down() == 1


def test_whatever_happens_restarts_are_bounded_and_apart():
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(200):
        policy = Policy(dice.randint(1, 50), dice.randint(1, 500), dice.randint(1, 100))
        restarts, now, failed = Restarts(policy), 0.0, 0
        while (delay := restarts.down()) is not None:
            failed += 1
            assert 1 <= delay <= policy.most_s
            now += delay
            restarts.up(now)
            now += dice.random() * policy.reset_s * 0.99
            restarts.up(now)
        assert failed == policy.attempts


def bean(kind, name, **counters):
    return Bean(Component(kind, name), {"StartTime": 1, "StopTime": 0} | counters)


@pytest.mark.parametrize(
    ("found", "up"),
    [
        (bean("source", "spool"), True),
        (bean("source", "spool", ChannelWriteFail=9), True),
        (bean("source", "spool", EventReadFail=1), False),
        (bean("source", "spool", GenericProcessingFail=1), False),
        (bean("source", "avro", EventReadFail=1), True),
        (bean("source", "spool", StopTime=2), False),
        (bean("channel", "lines", Open=True), True),
        (bean("channel", "lines", Open=False), False),
        (bean("sink", "kafka", StartTime=0), False),
    ],
)
def test_when_a_component_is_up(found, up):
    assert found.up() is up


def test_what_a_channel_holds_counts_what_is_taken_and_not_yet_for_good():
    assert bean("channel", "c", ChannelSize=5).held() == 5, "left from an earlier run"
    held = bean("channel", "c", ChannelSize=0, EventPutSuccessCount=9, EventTakeSuccessCount=2)
    assert held.held() == 7


def test_agents_that_never_ran_are_down_and_say_so(settings):
    rows = agent_status.status(settings, [])
    assert [(row.agent, row.state, row.pid) for row in rows] == [
        (name, "down", None) for name in ("agent1", "agent2", "agent3")
    ]
    assert "agent2: agent2 is not running" in agent_status.notes(rows)
    assert not agent_status.all_up(rows)


def test_each_declared_part_of_an_agent_that_is_down_is_shown_with_its_error(settings):
    agents.render(settings, ["agent1"], None)
    agent = Agent(settings, "agent1")
    agent.child.log.parent.mkdir()
    agent.child.log.write_bytes(REFUSED)
    rows = agent_status.status(settings, ["agent1"])
    parts = [row.component for row in rows]
    assert parts == ["channel lines", "sink collector", "source spool"]
    assert all(row.last_error.endswith("Connection refused") for row in rows)
    assert [(row.channel, bool(row.guarantee)) for row in rows] == [
        ("file", True),
        (None, False),
        (None, False),
    ]
    assert agent_status.notes(rows).count("Connection refused") == 1


def test_an_agent_that_was_stopped_on_purpose_is_not_wanted(settings):
    agents.render(settings, ["agent1"], None)
    agent = Agent(settings, "agent1")
    assert not agent.state().stopped
    agents.stop(settings, ["agent1"])
    assert agent.state().stopped
    agent.want(True)
    assert not agent.state().stopped


@pytest.mark.parametrize("content", ["", "{", "[]", '{"other": 1}'])
def test_a_broken_note_is_none(settings, content):
    agents.render(settings, ["agent1"], None)
    agent = Agent(settings, "agent1")
    settings.files.agent_state("agent1").write_text(content)
    assert agent.state() == AgentState()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "may hold events"),
        ("Shutdown Metric for type: CHANNEL, name: lines. channel.current.size == 3", "3 events"),
        ("Shutdown Metric for type: CHANNEL, name: lines. channel.current.size == 0", None),
    ],
)
def test_another_type_of_channel_does_not_strand_what_file_channels_hold(tmp_path, said, complaint):
    settings = config.load(home=tmp_path)
    agent = Agent(settings, "agent1")
    data = settings.files.channels("agent1") / "lines" / "data"
    data.mkdir(parents=True)
    (data / "log-1").write_text("events")
    agent.child.log.parent.mkdir()
    agent.child.log.write_text(said)
    if complaint:
        with pytest.raises(ClickstreamError, match=complaint) as refused:
            agent._refuse_stranding({"lines": "memory"})
        assert "flume.channel=file" in refused.value.hint
        assert (data / "log-1").exists()
    else:
        agent._refuse_stranding({"lines": "file"})
        assert data.exists()
        agent._refuse_stranding({"lines": "kafka"})
        assert not data.exists()


def test_a_batch_must_fit_into_a_channel(tmp_path):
    with pytest.raises(UsageError, match="batch_size 1000 is above capacity 999"):
        config.load(home=tmp_path, flags={"flume.capacity": "999"})
    settings = config.load(home=tmp_path, flags={"flume.capacity": "1000"})
    agents.render(settings, ["agent1"], None)
    conf = (settings.files.agent("agent1") / agent_config.CONF).read_text()
    assert "lines.transactionCapacity = 1000\n" in conf


def test_replay_needs_its_agents(settings):
    with pytest.raises(NotRunning, match="agent2 is not running"):
        flow.require_edges(settings, ["weblog2"])


def test_the_spooling_source_is_the_one_that_is_rendered(settings):
    agents.render(settings, ["agent1"], None)
    assert SPOOLING in Agent(settings, "agent1").declared()


def test_the_policy_is_configuration(tmp_path):
    flags = {"flume.restart_attempts": "3", "flume.restart_reset_seconds": "7"}
    policy = supervise.policy(config.load(home=tmp_path, flags=flags))
    assert policy == Policy(attempts=3, reset_s=7, most_s=60)


def test_the_pattern_of_the_log_is_what_is_read():
    pattern = (Path(__file__).parents[2] / "configs/flume/log4j2.xml.j2").read_text()
    assert "%d %p %c{1} %m%n%throwable" in pattern
