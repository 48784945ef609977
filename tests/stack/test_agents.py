"""Agents on the real thing: what is down is seen, reported, mended; nothing is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil
import pytest

from clickstream import master
from clickstream.clients import endpoints, kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.errors import NotRunning
from clickstream.home import set_aside
from clickstream.ingest import flow, replay
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import Agent
from clickstream.runtime.process import Child, wait_until
from tests.stack.homes import fresh_home, runner
from tests.stack.stores import by_offset, closed_lines, in_kafka, offsets, open_files_hold_lines
from tests.stack.test_ingest import log_of, put

CLI = (sys.executable, "-m", "clickstream.cli")
ALL = ("agent1", "agent2", "agent3")
CHUNK = "weblog1-0123456789abcdef-0-{}-1.log"


def rows_of(run, *arguments, flags=()):
    """(agent, component) -> what status says of it."""
    rows = json.loads(run(*flags, "ingest", "status", *arguments, "--format", "json").stdout)
    return {(row["agent"], row["component"]): row for row in rows}


def states(run, *arguments):
    return {key: row["state"] for key, row in rows_of(run, *arguments).items()}


def pids(settings):
    return {name: getattr(Agent(settings, name).running(), "pid", None) for name in ALL}


def spool_by_hand(settings, lines, number=1):
    """A file in the spooling directory as another program would put it there, by rename."""
    spool, name = settings.files.spool("weblog1"), CHUNK.format(number)
    draft = spool.parent / f"draft-{name}"
    draft.write_bytes(b"a line of no log\n" * lines)
    draft.rename(spool / name)
    return spool / name


def completed(path):
    return path.with_name(f"{path.name}.COMPLETED")


def taken(path):
    wait_until(lambda: completed(path).exists() and not path.exists(), 60, f"{path} being taken")


@pytest.fixture(scope="module")
def _edge(settings, tmp_path_factory):
    yield from fresh_home(settings, tmp_path_factory.mktemp("edge") / "home")


@pytest.fixture
def edge(_edge):
    """A home of which agent1 runs, and no collector that would take its lines."""
    runner(_edge)("ingest", "start", "agent1")
    return _edge


def test_a_killed_agent_is_seen_and_it_alone_is_started(shared, shared_run):
    assert set(states(shared_run).values()) == {"up"}
    shared_run("ingest", "status", "--check")
    before = pids(shared)
    os.kill(before["agent1"], signal.SIGKILL)
    wait_until(lambda: not pids(shared)["agent1"], 20, "the end of agent1")
    found = states(shared_run)
    assert {state for (agent, _), state in found.items() if agent == "agent1"} == {"down"}
    assert {state for (agent, _), state in found.items() if agent != "agent1"} == {"up"}
    shared_run("ingest", "status", "--check", code=1)
    assert "started agent1\n" in shared_run("ingest", "start").stdout
    after = pids(shared)
    assert after["agent1"] not in (None, before["agent1"])
    assert after | {"agent1": 0} == before | {"agent1": 0}
    assert set(states(shared_run).values()) == {"up"}


def test_what_status_says_of_events_and_channels(edge):
    run = runner(edge)
    before = rows_of(run, "agent1")
    taken(spool_by_hand(edge, 10))
    found = rows_of(run, "agent1")
    channel, source = found["agent1", "channel lines"], found["agent1", "source spool"]
    assert channel["events_in"] - before["agent1", "channel lines"]["events_in"] == 10
    assert (channel["events_out"], channel["fill"]) == (0, 0.0)
    assert channel["channel"] == "file"
    assert "survives" in channel["guarantee"]
    assert source["events_in"] - before["agent1", "source spool"]["events_in"] == 10
    assert source["guarantee"] is None
    wait_until(
        lambda: (
            "Connection refused" in rows_of(run, "agent1")["agent1", "sink collector"]["last_error"]
        ),
        60,
        "the sink without a collector failing",
    )
    table = run("ingest", "status", "agent1").stdout
    assert "Connection refused" in table
    assert max(map(len, table.splitlines()[:5])) <= 100


def test_a_source_that_has_died_is_seen_and_a_start_heals_it(edge):
    run = runner(edge)
    chunk = spool_by_hand(edge, 10, 2)
    taken(chunk)
    assert spool_by_hand(edge, 7, 2) == chunk
    agent = Agent(edge, "agent1")
    wait_until(lambda: agent.missing() == [("source", "spool")], 60, "the source dying")
    pid = agent.running().pid
    found = rows_of(run, "agent1")
    assert found["agent1", "source spool"]["state"] == "down"
    assert "re-used" in found["agent1", "source spool"]["last_error"]
    assert found["agent1", "channel lines"]["state"] == "up"
    healed = run("ingest", "start", "agent1").stdout
    assert "source spool is not up" in healed
    assert "moved to" in healed
    assert agent.running().pid != pid
    assert set(states(run, "agent1").values()) == {"up"}
    taken(chunk)
    assert rows_of(run, "agent1")["agent1", "source spool"]["events_in"] == 7, (
        "all, and none made up"
    )
    aside = set_aside(edge.files.spool("weblog1"))
    assert completed(chunk).name in os.listdir(aside)


def test_what_blocks_a_source_is_named_and_moved_aside(edge):
    run = runner(edge)
    spool = edge.files.spool("weblog1")
    os.mkfifo(spool / "pipe.log")
    (spool / "dangling.log").symlink_to("/nowhere")
    chunk = spool_by_hand(edge, 10, 3)
    found = rows_of(run, "agent1")["agent1", "source spool"]
    assert found["state"] == "down"
    assert "'dangling.log' blocks" in found["last_error"]
    run("ingest", "start", "agent1")
    taken(chunk)
    assert set(states(run, "agent1").values()) == {"up"}
    aside = {name for name in os.listdir(set_aside(spool)) if not name.startswith("weblog1-")}
    assert aside == {"dangling.log", "pipe.log"}


def test_a_second_start_does_no_harm_nor_does_a_second_stop(edge):
    run, pid = runner(edge), pids(edge)["agent1"]
    assert "already running" in run("ingest", "start", "agent1").stdout
    assert pids(edge)["agent1"] == pid
    assert "stopped agent1" in run("ingest", "stop").stdout
    assert "nothing was running" in run("ingest", "stop").stdout


def test_another_configuration_is_told_and_replay_refuses_it(shared_run, tmp_path):
    run = shared_run
    put(run, tmp_path / "configured.log", log_of(3, b"configured"))
    other = ("--set", "flume.batch_size=500")
    assert {row["configuration"] for row in rows_of(run).values()} == {"current"}
    assert {row["configuration"] for row in rows_of(run, flags=other).values()} == {"differs"}
    refused = run(*other, "ingest", "replay", code=1).stderr
    assert "agent1 runs with another configuration" in refused
    assert "stop it and start it" in refused
    try:
        run(*other, "ingest", "render")
        assert {row["configuration"] for row in rows_of(run, flags=other).values()} == {"differs"}
    finally:
        run("ingest", "render")
    assert "3 lines of 1 logs" in run("ingest", "replay").stdout


def wrong_line(right, wrong):
    """Spoils the files that an agent is started with."""

    def spoil(settings, monkeypatch, tmp_path):
        rendered = agent_config.files

        def files(settings, agent):
            return [file._replace(content=file.content.replace(right, wrong))
                    for file in rendered(settings, agent)]  # fmt: skip

        monkeypatch.setattr(agent_config, "files", files)

    return spoil


def blocked_channel(settings, monkeypatch, tmp_path):
    """Puts a file where the channel's directories belong."""
    blocker = tmp_path / "file"
    blocker.write_text("in the way of the channel's directories")
    directory = settings.files.agent("agent1")
    directory.mkdir(parents=True)
    (directory / "channels").symlink_to(blocker)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (wrong_line("sinks.collector.type = avro", "sinks.collector.type = org.x.Nope"), "Nope"),
        pytest.param(
            wrong_line("sinks.collector.hostname = ", "sinks.collector.hostnam = "),
            "sink collector",
            marks=pytest.mark.campaign("another component that does not come up"),
        ),
        pytest.param(
            blocked_channel,
            "channel lines",
            marks=pytest.mark.campaign("another component that does not come up"),
        ),
    ],
    ids=["class", "key", "channel"],
)
def test_a_missing_component_is_named_and_nothing_is_left(
    fresh, run, monkeypatch, tmp_path, spoil, said
):
    """What does not come up is waited for: here only until the agent has complained of it."""
    spoil(fresh, monkeypatch, tmp_path)
    patient = Child.wait_ready

    def impatient(child, ready, timeout_s):
        wait_until(lambda: b" ERROR " in child.log.read_bytes(), timeout_s, "a complaint")
        patient(child, ready, 1)

    monkeypatch.setattr(Child, "wait_ready", impatient)
    failed = run("ingest", "start", "agent1", code=1)
    assert "agent1" in failed.stderr
    assert said in failed.stderr
    assert Agent(fresh, "agent1").running() is None


@pytest.mark.campaign("another kind of channel; that it is refused is a unit")
def test_events_of_file_channels_are_not_stranded_by_memory_channels(single):
    run, memory = runner(single), ("--set", "flume.channel=memory")
    run("ingest", "start", "agent1")
    taken(spool_by_hand(single, 10))
    run("ingest", "stop")
    refused = run(*memory, "ingest", "start", "agent1", code=1).stderr
    assert "agent1's file channel lines holds 10 events" in refused
    assert "flume.channel=file" in refused
    run("ingest", "start")
    agent = Agent(single, "agent1")
    wait_until(lambda: not any(bean.held() for bean in agent.channels()), 60, "agent1 draining")
    os.kill(agent.running().pid, signal.SIGKILL)
    assert "killed" in run(*memory, "ingest", "start", "agent1", code=1).stderr
    run("ingest", "start", "agent1")
    run("ingest", "stop", "agent1")
    run(*memory, "ingest", "start", "agent1")
    channel = rows_of(run, "agent1", flags=memory)["agent1", "channel lines"]
    assert channel["channel"] == "memory"
    assert "lost when the agent dies" in channel["guarantee"]


@pytest.mark.campaign("another kind of channel")
def test_memory_channels_carry_every_line_and_are_given_time_to_drain_before_a_stop(
    single, tmp_path
):
    run, memory = runner(single), ("--set", "flume.channel=memory")
    put(run, tmp_path / "a.log", log_of(2000))
    run(*memory, "ingest", "start")
    run(*memory, "ingest", "replay", "--wait")
    assert len(set(in_kafka(single))) == 2000
    collector = psutil.Process(Agent(single, "agent3").running().pid)
    with suspended(collector):
        taken(spool_by_hand(single, 10))
        stopping = subprocess.Popen(
            [*CLI, *memory, "ingest", "stop", "agent1"],
            env=single.child_env(),
        )
        with pytest.raises(subprocess.TimeoutExpired):
            stopping.wait(2)
    assert stopping.wait(60) == 0
    run(*memory, "ingest", "stop")
    quarantined = closed_lines(single, single.hdfs.quarantine)
    assert quarantined == [b"a line of no log"] * 10


@pytest.fixture
def tiny(single):
    """Channels so small that they fill; the same for the command line and in this process."""
    single.origin.flags.update({"flume.capacity": "2000", "flume.batch_size": "500"})
    single.flume.capacity, single.flume.batch_size = 2000, 500
    return single


def test_replay_pauses_while_a_channel_is_nearly_full_and_goes_on(tiny, tmp_path):
    """There is no collector yet: agent1's channel holds what it can."""
    run, content, more = runner(tiny), log_of(4000), log_of(1000, b"more")
    put(run, tmp_path / "a.log", content)
    run("ingest", "start", "agent1")
    run("ingest", "replay")
    wait_until(lambda: flow.fills(tiny)["agent1/lines"] >= 80, 60, "a channel nearly full")
    put(run, tmp_path / "b.log", more)
    waits = []

    def observe(progress):
        if "agent1/lines" in progress.waiting_for and not waits:
            waits.append(progress.waiting_for)
            run("ingest", "start", "agent3")

    done = replay.replay(tiny, replay.Pace(), observe)
    assert waits == ["agent1/lines to drain"]
    assert done.lines == 1000
    run("ingest", "replay", "--wait")
    lines = [line.split(b"\t", 3)[3] for line in closed_lines(tiny, tiny.hdfs.master)]
    assert set(lines) == {*offsets(content).values(), *offsets(more).values()}
    assert len(set(in_kafka(tiny))) == len(offsets(content)) + len(offsets(more))


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


def test_wait_fails_with_its_reason_when_nothing_moves(
    shared, shared_run, arrived, tmp_path, monkeypatch
):
    """Kafka is asked for the reason, and hangs too: not so long that its controller drops it."""
    monkeypatch.setattr(kafka, "TIMEOUT_S", 1)
    put(shared_run, tmp_path / "stuck.log", log_of(500, b"stuck"))
    impatient = ("--set", "replay.wait_timeout_seconds=8")  # a sink rests for 5
    with suspended(kafka_process(shared)):
        failed = shared_run(*impatient, "ingest", "replay", "--wait", code=1).stderr
    assert "agent1/lines to drain, but nothing moved for 8 s" in failed
    assert "Kafka" in failed
    monkeypatch.undo()
    shared_run("ingest", "replay", "--wait")
    assert len(set(arrived.in_kafka())) == 500


def test_wait_bears_an_agent_that_dies_and_comes_back(shared, shared_run, arrived, tmp_path):
    content = log_of(3000, b"borne")
    put(shared_run, tmp_path / "borne.log", content)
    shared_run("ingest", "replay")
    os.kill(pids(shared)["agent1"], signal.SIGKILL)
    os.kill(pids(shared)["agent3"], signal.SIGKILL)
    waiting = subprocess.Popen(
        [*CLI, "ingest", "replay", "--wait"],
        env=shared.child_env(),
        stderr=subprocess.PIPE,
        text=True,
    )
    shared_run("ingest", "start")
    code = waiting.wait(200)
    if code:  # it began while agent1 was down, and said so
        assert "agent1 is not running" in waiting.stderr.read()
        shared_run("ingest", "replay", "--wait")
    assert by_offset(arrived.master())["weblog1"] == offsets(content)


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
def supervise(tmp_path):
    running = []

    def begin(home, *arguments, flags=()):
        running.append(Supervision(home, tmp_path, *arguments, flags=flags))
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


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(
            signal.SIGTERM, marks=pytest.mark.campaign("another signal that ends it as Ctrl-C does")
        ),
    ],
)
def test_supervision_starts_what_is_killed_and_lets_go_what_is_stopped(
    fresh, run, supervise, number
):
    supervision = supervise(fresh, "agent1", "agent2")
    supervision.wait_for("supervising agent1, agent2")
    pid = up(fresh, "agent1")
    for times in (1, 2):
        os.kill(pid, signal.SIGKILL)
        supervision.wait_for("agent1 is up again", times)
        pid = up(fresh, "agent1", but=pid)
    assert "starting agent1 again in 1 s (1)" in supervision.said()
    assert "starting agent1 again in 2 s (2)" in supervision.said()
    run("ingest", "stop", "agent2")
    supervision.wait_for("agent2 was stopped")
    assert pids(fresh)["agent2"] is None
    assert pids(fresh)["agent1"] is not None
    run("ingest", "start", "agent2")
    pid = pids(fresh)["agent2"]
    os.kill(pid, signal.SIGKILL)
    up(fresh, "agent2", but=pid)
    supervision.process.send_signal(number)
    assert supervision.process.wait(60) == 130
    assert set(pids(fresh).values()) == {None}


def test_supervision_recovers_open_files_heals_a_source_and_ends_when_all_are_stopped(
    single, supervise, tmp_path
):
    patient = ("--set", "flume.idle_timeout_seconds=5")
    run, content = runner(single), log_of(2000)
    put(run, tmp_path / "a.log", content)
    supervision = supervise(single, flags=patient)
    supervision.wait_for("supervising")
    run(*patient, "ingest", "replay")
    hdfs = Hdfs.connect(single)
    wait_until(lambda: open_files_hold_lines(hdfs, single), 60, "a file being written")
    pid = Agent(single, "agent3").running().pid
    os.kill(pid, signal.SIGKILL)
    assert master.in_use(hdfs, single), "no file was open when the collector was killed"
    up(single, "agent3", but=pid)
    supervision.wait_for("recovered ")
    pid = Agent(single, "agent1").running().pid
    os.mkfifo(single.files.spool("weblog1") / "pipe.log")
    up(single, "agent1", but=pid)
    supervision.wait_for("'pipe.log' does not belong")
    run(*patient, "ingest", "replay", "--wait")
    assert by_offset(closed_lines(single, single.hdfs.master))["weblog1"] == offsets(content)
    run("ingest", "stop")
    assert supervision.process.wait(60) == 0


def test_ctrl_c_while_agents_start_leaves_nothing(fresh, supervise):
    supervision = supervise(fresh, "agent1", "agent2")
    wait_until(lambda: any(pids(fresh).values()), 60, "an agent's process appearing")
    supervision.process.send_signal(signal.SIGINT)
    assert supervision.process.wait(60) == 130
    assert set(pids(fresh).values()) == {None}


def test_supervision_gives_up_an_agent_that_cannot_start(fresh, supervise):
    flags = ("--set", "flume.restart_attempts=2", "--set", "stack.heap_mb.edge_agent=1")
    supervision = supervise(fresh, "agent1", flags=flags)
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
        supervision = supervise(fresh, "agent3", flags=flags)
        assert supervision.process.wait(120) == 1
    assert "gave up on agent3" in supervision.said()
    assert f"port {port}" in supervision.said()
    assert pids(fresh)["agent3"] is None
