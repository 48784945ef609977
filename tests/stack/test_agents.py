"""Agents on the real thing: what is down is seen, told, mended; nothing is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil
import pytest

from clickstream import endpoints
from clickstream.errors import NotRunning, ServiceFailed
from clickstream.hdfs import Hdfs
from clickstream.home import set_aside
from clickstream.ingest import agents, flume, orphans, replay
from clickstream.ingest.agent import Agent
from clickstream.process import wait_until
from tests.stack.stores import by_offset, closed_lines, in_kafka, offsets, open_files_hold_lines
from tests.stack.test_ingest import log_of, put

CLI = (sys.executable, "-m", "clickstream.cli")
ALL = ("agent1", "agent2", "agent3")
CHUNK = "weblog1-0123456789abcdef-0-{}-1.log"


def told(run, *arguments, flags=()):
    """(agent, component) -> what status says of it."""
    rows = json.loads(run(*flags, "ingest", "status", *arguments, "--format", "json").stdout)
    return {(row["agent"], row["component"]): row for row in rows}


def states(run, *arguments):
    return {key: row["state"] for key, row in told(run, *arguments).items()}


def pids(settings):
    return {name: getattr(Agent(settings, name).running(), "pid", None) for name in ALL}


def spool_by_hand(settings, lines, name=CHUNK.format(1)):
    """A file in the spooling directory as another program would put it there, by rename."""
    spool = settings.files.spool("weblog1")
    draft = spool.parent / f"draft-{name}"
    draft.write_bytes(b"a line of no log\n" * lines)
    draft.rename(spool / name)
    return spool / name


def completed(path):
    return path.with_name(f"{path.name}.COMPLETED")


def taken(path):
    wait_until(lambda: completed(path).exists() and not path.exists(), 60, f"{path} being taken")


def test_a_killed_agent_is_seen_and_it_alone_is_started(fresh, run):
    run("ingest", "start")
    assert set(states(run).values()) == {"up"}
    run("ingest", "status", "--check")
    before = pids(fresh)
    os.kill(before["agent1"], signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(before["agent1"]) or not pids(fresh)["agent1"], 20, "")
    found = states(run)
    assert {state for (agent, _), state in found.items() if agent == "agent1"} == {"down"}
    assert {state for (agent, _), state in found.items() if agent != "agent1"} == {"up"}
    run("ingest", "status", "--check", code=1)
    assert "started agent1\n" in run("ingest", "start").stdout
    after = pids(fresh)
    assert after["agent1"] not in (None, before["agent1"])
    assert after | {"agent1": 0} == before | {"agent1": 0}
    assert set(states(run).values()) == {"up"}


def test_what_status_says_of_events_and_channels(fresh, run):
    run("ingest", "start", "agent1")
    taken(spool_by_hand(fresh, 10))
    found = told(run, "agent1")
    channel = found["agent1", "channel lines"]
    assert (channel["events_in"], channel["events_out"], channel["fill"]) == (10, 0, 0.0)
    assert channel["channel"] == "file"
    assert "survives" in channel["guarantee"]
    assert found["agent1", "source spool"]["events_in"] == 10
    assert found["agent1", "source spool"]["guarantee"] is None
    wait_until(
        lambda: (
            "Connection refused" in told(run, "agent1")["agent1", "sink collector"]["last_error"]
        ),
        60,
        "the sink without a collector failing",
    )
    table = run("ingest", "status", "agent1").stdout
    assert "Connection refused" in table
    assert max(map(len, table.splitlines()[:5])) <= 100


def test_a_source_that_has_died_is_seen_and_a_start_heals_it(fresh, run):
    run("ingest", "start", "agent1")
    chunk = spool_by_hand(fresh, 10)
    taken(chunk)
    assert spool_by_hand(fresh, 7) == chunk
    agent = Agent(fresh, "agent1")
    wait_until(lambda: agent.missing() == [("source", "spool")], 60, "the source dying")
    pid = agent.running().pid
    found = told(run, "agent1")
    assert found["agent1", "source spool"]["state"] == "down"
    assert "re-used" in found["agent1", "source spool"]["last_error"]
    assert found["agent1", "channel lines"]["state"] == "up"
    healed = run("ingest", "start", "agent1").stdout
    assert "source spool is not up" in healed
    assert "moved to" in healed
    assert agent.running().pid != pid
    assert set(states(run, "agent1").values()) == {"up"}
    taken(chunk)
    assert told(run, "agent1")["agent1", "source spool"]["events_in"] == 7, "all, and none made up"
    aside = set_aside(fresh.files.spool("weblog1"))
    assert [path.name for path in aside.iterdir()] == [completed(chunk).name]
    assert "already running" in run("ingest", "start", "agent1").stdout


def test_what_blocks_a_source_is_named_and_moved_aside(fresh, run):
    run("ingest", "start", "agent1")
    spool = fresh.files.spool("weblog1")
    os.mkfifo(spool / "pipe.log")
    (spool / "dangling.log").symlink_to("/nowhere")
    chunk = spool_by_hand(fresh, 10)
    found = told(run, "agent1")["agent1", "source spool"]
    assert found["state"] == "down"
    assert "'dangling.log' blocks" in found["last_error"]
    run("ingest", "start", "agent1")
    taken(chunk)
    assert set(states(run, "agent1").values()) == {"up"}
    assert sorted(os.listdir(set_aside(spool))) == ["dangling.log", "pipe.log"]


def test_another_configuration_is_told_and_replay_refuses_it(fresh, run, tmp_path):
    put(run, tmp_path / "a.log", log_of(3))
    run("ingest", "start")
    other = ("--set", "flume.batch_size=500")
    assert {row["configuration"] for row in told(run).values()} == {"current"}
    assert {row["configuration"] for row in told(run, flags=other).values()} == {"differs"}
    refused = run(*other, "ingest", "replay", code=1).stderr
    assert "agent1 runs with another configuration" in refused
    assert "stop it and start it" in refused
    run(*other, "ingest", "render")
    assert {row["configuration"] for row in told(run, flags=other).values()} == {"differs"}
    run("ingest", "render")
    run("ingest", "replay", "--wait")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("sinks.collector.type = avro", "sinks.collector.type = org.example.Nope", "Nope"),
        ("sinks.collector.hostname = ", "sinks.collector.hostnam = ", "sink collector is not up"),
    ],
)
def test_a_missing_component_is_named_and_nothing_is_left(fresh, monkeypatch, right, wrong, said):
    rendered = flume.files

    def spoilt(settings, agent):
        return [file._replace(content=file.content.replace(right, wrong))
                for file in rendered(settings, agent)]  # fmt: skip

    monkeypatch.setattr(flume, "files", spoilt)
    fresh.flume.start_timeout_seconds = 10
    with pytest.raises(ServiceFailed, match="agent1") as failed:
        agents.start(fresh, ["agent1"], print)
    assert said in failed.value.message
    assert Agent(fresh, "agent1").running() is None


def test_events_of_file_channels_are_not_stranded_by_memory_channels(fresh, run):
    memory = ("--set", "flume.channel=memory")
    run("ingest", "start", "agent1")
    taken(spool_by_hand(fresh, 10))
    run("ingest", "stop")
    refused = run(*memory, "ingest", "start", "agent1", code=1).stderr
    assert "agent1's file channel lines holds 10 events" in refused
    assert "flume.channel=file" in refused
    run("ingest", "start")
    agent = Agent(fresh, "agent1")
    wait_until(lambda: not any(bean.held() for bean in agent.channels()), 60, "agent1 draining")
    os.kill(agent.running().pid, signal.SIGKILL)
    assert "killed" in run(*memory, "ingest", "start", "agent1", code=1).stderr
    run("ingest", "start", "agent1")
    run("ingest", "stop", "agent1")
    run(*memory, "ingest", "start", "agent1")
    channel = told(run, "agent1", flags=memory)["agent1", "channel lines"]
    assert channel["channel"] == "memory"
    assert "lost when the agent dies" in channel["guarantee"]


def test_memory_channels_are_given_time_to_drain_before_a_stop(fresh, run):
    memory = ("--set", "flume.channel=memory")
    run(*memory, "ingest", "start")
    collector = psutil.Process(Agent(fresh, "agent3").running().pid)
    collector.suspend()
    taken(spool_by_hand(fresh, 10))
    stopping = subprocess.Popen(
        [*CLI, *memory, "ingest", "stop", "agent1"],
        env=fresh.child_env(),
    )
    with pytest.raises(subprocess.TimeoutExpired):
        stopping.wait(2)
    collector.resume()
    assert stopping.wait(60) == 0
    run(*memory, "ingest", "stop")
    quarantined = closed_lines(fresh, fresh.hdfs.quarantine)
    assert quarantined == [b"a line of no log"] * 10


@pytest.fixture
def tiny(fresh):
    """Channels so small that they fill; the same for the command line and in this process."""
    fresh.origin.flags.update({"flume.capacity": "2000", "flume.batch_size": "500"})
    fresh.flume.capacity, fresh.flume.batch_size = 2000, 500
    return fresh


def test_replay_pauses_while_a_channel_is_nearly_full_and_goes_on(tiny, run, tmp_path):
    tiny.replay.max_spooled_chunks = 1000  # the spool is not what it waits for
    content = log_of(40_000)
    put(run, tmp_path / "a.log", content)
    run("ingest", "start")
    collector = psutil.Process(Agent(tiny, "agent3").running().pid)
    collector.suspend()
    waits = []

    def observe(progress):
        waits.append(progress.waiting_for)
        if "agent1/lines" in progress.waiting_for:
            collector.resume()

    try:
        done = replay.replay(tiny, replay.Pace(rate=2000), observe)
    finally:
        collector.resume()
    assert "agent1/lines to drain" in waits
    assert done.lines == 40_000
    run("ingest", "replay", "--wait")
    assert by_offset(closed_lines(tiny, tiny.hdfs.master))["weblog1"] == offsets(content)
    assert {offset for _, _, offset in in_kafka(tiny)} == set(offsets(content))


@contextmanager
def suspended(process):
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def kafka_process(settings):
    port = endpoints.remembered_ports(settings.home)["kafka"]
    listening = (c for c in psutil.net_connections("tcp4") if c.status == psutil.CONN_LISTEN)
    return psutil.Process(next(c.pid for c in listening if c.laddr.port == port))


def test_wait_fails_with_its_reason_when_nothing_moves(fresh, run, tmp_path):
    put(run, tmp_path / "a.log", log_of(500))
    run("ingest", "start")
    impatient = ("--set", "replay.wait_timeout_seconds=5")
    with suspended(kafka_process(fresh)):
        failed = run(*impatient, "ingest", "replay", "--wait", code=1).stderr
    assert "agent3/to-kafka to drain, but nothing moved for 5 s" in failed
    assert "Kafka" in failed
    run("ingest", "replay", "--wait")
    assert len(set(in_kafka(fresh))) == 500


def test_wait_bears_an_agent_that_dies_and_comes_back(fresh, run, tmp_path):
    content = log_of(3000)
    put(run, tmp_path / "a.log", content)
    run("ingest", "start")
    run("ingest", "replay")
    os.kill(pids(fresh)["agent1"], signal.SIGKILL)
    os.kill(pids(fresh)["agent3"], signal.SIGKILL)
    waiting = subprocess.Popen(
        [*CLI, "ingest", "replay", "--wait"],
        env=fresh.child_env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    run("ingest", "start")
    code = waiting.wait(200)
    if code:  # it began while agent1 was down, and said so
        assert "agent1 is not running" in waiting.stderr.read()
        run("ingest", "replay", "--wait")
    assert by_offset(closed_lines(fresh, fresh.hdfs.master))["weblog1"] == offsets(content)


class Supervision:
    """`ingest start --supervise` as a process, and what it has said so far."""

    def __init__(self, settings, tmp_path, *arguments, flags=()):
        self.out = tmp_path / "supervision.log"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*CLI, *flags, "ingest", "start", *arguments, "--supervise"],
                env=settings.child_env(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def said(self):
        return self.out.read_text()

    def wait_for(self, text, times=1):
        wait_until(
            lambda: self.said().count(text) >= times,
            120,
            f"{text!r} in {self.said()}",
            check=self._alive,
        )

    def _alive(self):
        assert self.process.poll() is None, self.said()


@pytest.fixture
def supervise(fresh, tmp_path):
    running = []

    def begin(*arguments, flags=()):
        running.append(Supervision(fresh, tmp_path, *arguments, flags=flags))
        return running[-1]

    yield begin
    for each in running:
        with suppress(ProcessLookupError):
            each.process.kill()
        each.process.wait()


def up(settings, name, but=None):
    """Wait until the agent is up in another process than `but`; returns its pid."""

    def new():
        with suppress(NotRunning):
            running = Agent(settings, name).running()
            return running and running.pid != but and not Agent(settings, name).missing()
        return False

    wait_until(new, 120, f"{name} coming up")
    return Agent(settings, name).running().pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_supervision_starts_a_killed_agent_again_and_ends_with_its_agents(fresh, supervise, number):
    supervision = supervise("agent1", "agent2")
    supervision.wait_for("supervising agent1, agent2")
    pid = up(fresh, "agent1")
    for times in (1, 2):
        os.kill(pid, signal.SIGKILL)
        supervision.wait_for("agent1 is up again", times)
        pid = up(fresh, "agent1", but=pid)
    assert "starting agent1 again in 1 s (1)" in supervision.said()
    assert "starting agent1 again in 2 s (2)" in supervision.said()
    supervision.process.send_signal(number)
    assert supervision.process.wait(60) == 130
    assert set(pids(fresh).values()) == {None}


def test_supervision_recovers_open_files_and_heals_a_source(fresh, run, supervise, tmp_path):
    patient = ("--set", "flume.idle_timeout_seconds=10")
    content = log_of(2000)
    put(run, tmp_path / "a.log", content)
    supervision = supervise(flags=patient)
    supervision.wait_for("supervising")
    run(*patient, "ingest", "replay")
    hdfs = Hdfs.connect(fresh)
    wait_until(lambda: open_files_hold_lines(hdfs, fresh), 60, "a file being written")
    pid = pids(fresh)["agent3"]
    os.kill(pid, signal.SIGKILL)
    assert orphans.in_use(hdfs, fresh), "no file was open when the collector was killed"
    up(fresh, "agent3", but=pid)
    supervision.wait_for("recovered ")
    pid = pids(fresh)["agent1"]
    os.mkfifo(fresh.files.spool("weblog1", "pipe.log"))
    up(fresh, "agent1", but=pid)
    supervision.wait_for("'pipe.log' does not belong")
    run(*patient, "ingest", "replay", "--wait")
    assert by_offset(closed_lines(fresh, fresh.hdfs.master))["weblog1"] == offsets(content)


def test_ctrl_c_while_agents_start_leaves_nothing(fresh, supervise):
    supervision = supervise("agent1", "agent2")
    wait_until(lambda: any(pids(fresh).values()), 60, "an agent's process appearing")
    supervision.process.send_signal(signal.SIGINT)
    assert supervision.process.wait(60) == 130
    assert set(pids(fresh).values()) == {None}


def test_supervision_lets_go_what_is_stopped(fresh, run, supervise):
    supervision = supervise("agent1", "agent2")
    supervision.wait_for("supervising")
    run("ingest", "stop", "agent1")
    supervision.wait_for("agent1 was stopped")
    assert pids(fresh)["agent1"] is None
    assert pids(fresh)["agent2"] is not None
    run("ingest", "start", "agent1")
    pid = pids(fresh)["agent1"]
    os.kill(pid, signal.SIGKILL)
    up(fresh, "agent1", but=pid)
    run("ingest", "stop")
    assert supervision.process.wait(60) == 0


def test_supervision_gives_up_an_agent_that_cannot_start(fresh, supervise):
    flags = ("--set", "flume.restart_attempts=2", "--set", "stack.heap_mb.edge_agent=1")
    supervision = supervise("agent1", flags=flags)
    assert supervision.process.wait(120) == 1
    assert "Error: gave up on agent1 after 2 restarts" in supervision.said()
    assert "heap" in supervision.said().rpartition("Error: gave up")[2]
    assert pids(fresh)["agent1"] is None


def test_supervision_gives_up_where_a_port_is_taken(fresh, supervise):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        flags = ("--set", "flume.restart_attempts=1", "--set", f"flume.collector_port={port}")
        supervision = supervise("agent3", flags=flags)
        assert supervision.process.wait(120) == 1
    assert "gave up on agent3" in supervision.said()
    assert f"port {port}" in supervision.said()
    assert pids(fresh)["agent3"] is None
