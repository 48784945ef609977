"""The faults: what each does to a run that is under way, at a moment that the seed chooses."""

import signal
import time
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from clickstream.clients.hdfs import Hdfs
from clickstream.ingest import flow
from clickstream.ingest.flume.agent import Agent
from clickstream.ledger import Ledger
from tests.faults import services
from tests.faults.logs import Log
from tests.faults.run import Run, Strike

OUTAGE_S, LONG_OUTAGE_S = 60, 600
CALL_TIMEOUT_S = 5
TINY = 2000
TINY_BATCH = 200
FILLS_S = 60
POINTS = ("staging", "staged", "planned", "spooled")


class Fault(NamedTuple):
    """`parts` logs per server; `flags` its home's settings; `make test-all` has the `cheap` ones.

    `only_by_name`: runs where it is asked for, since it takes long.
    """

    name: str
    title: str
    strike: Strike
    parts: int = 1
    flags: dict[str, str] = {}  # noqa: RUF012 - never changed
    cheap: bool = False
    only_by_name: bool = False


def kill_of(agent: str) -> Strike:
    """kill -9 of one agent."""

    def strike(run: Run) -> None:
        run.until_collected(run.moment())
        run.kill(agent)
        run.lift()

    return strike


def kill_collector(run: Run) -> None:
    """kill -9 of agent3 while a file that it has open in HDFS holds lines."""
    run.until_collected(run.rng.uniform(0.1, 0.8))
    run.until_open()
    run.kill("agent3")
    run.lift()


def kill_all(run: Run) -> None:
    """kill -9 of all agents, which then start one by one in a seeded order."""
    run.until_collected(run.moment())
    order = run.rng.sample(run.agents(), k=len(run.agents()))
    run.note = f"started again: {', '.join(order)}"
    run.kill(*run.agents())
    run.lift()
    for agent in order:
        run.start(agent)


def kill_replay(run: Run) -> None:
    """kill -9 of replay, once or twice, and of its successor by itself at a point of its code."""
    moments = sorted(run.rng.uniform(0, 0.6) for _ in range(run.rng.randint(1, 2)))
    point = run.rng.choice(POINTS)
    run.note = f"{len(moments)} times, then at the point '{point}'"
    for moment in moments:
        run.until_spooled(moment)
        run.kill_replay()
        run.begin(point if moment == moments[-1] else "")
    run.await_suicide()
    run.lift()


def kafka_away(seconds: float) -> Strike:
    """The broker hangs, or is killed; meanwhile the edge agents take all that is replayed."""

    def strike(run: Run) -> None:
        run.until_collected(run.moment())
        with _outage(run, "kafka"):
            services.pause(seconds)
            run.end_of_replay()
            run.lift()
        run.stack.await_ready("kafka")

    return strike


def kafka_unknown(run: Run) -> None:
    """The broker hangs, or is killed, before a collector just started has sent it anything."""
    run.until_collected(run.rng.uniform(0.1, 0.8))
    with ExitStack() as outage:
        with run.suspended("agent1", "agent2"):
            run.clickstream("ingest", "stop", "agent3")
            run.start("agent3")
            outage.enter_context(_outage(run, "kafka"))
        services.pause(OUTAGE_S)
        run.end_of_replay()
        run.lift()
    run.stack.await_ready("kafka")


def namenode(run: Run) -> None:
    """The NameNode is killed, or ended politely, and starts again."""
    run.may_fail = True
    run.until_collected(run.moment())
    number = run.rng.choice((signal.SIGKILL, signal.SIGTERM))
    seconds = run.rng.uniform(0, 5)
    run.note = f"{number.name}, down {seconds:.1f} s"
    with run.stack.down("namenode", number):
        services.pause(seconds)
        run.lift()
    run.stack.await_ready("namenode")


def datanode(run: Run) -> None:
    """The DataNode hangs longer than the HDFS sink waits for a call."""
    run.may_fail = True
    run.until_collected(run.moment())
    seconds = CALL_TIMEOUT_S + run.rng.uniform(1, 6)
    run.note = f"paused {seconds:.1f} s, callTimeout {CALL_TIMEOUT_S} s"
    with run.stack.paused("datanode"):
        services.pause(seconds)
        run.lift()


def tiny_channel(run: Run) -> None:
    """A store hangs until a channel is full, and a little longer."""
    process = run.rng.choice(("kafka", "datanode"))
    run.note = f"{process} paused"
    run.until_collected(run.rng.uniform(0.05, 0.2))
    with run.stack.paused(process):
        full = _until_full(run, "agent3" if process == "datanode" else "agent")
        services.pause(run.rng.uniform(1, 4))
        run.lift()
    run.note += f", {full} full"


def missing_component(run: Run) -> None:
    """An agent is killed and started with a broken part: refused by name, then started right."""
    run.until_collected(run.moment())
    agent = run.rng.choice(run.agents())
    run.kill(agent)
    channel = run.rng.choice(
        sorted(channel.name for channel in Agent(run.settings, agent).buffers())
    )
    run.note = f"{agent} without channel {channel}"
    directory = run.settings.files.channels(agent) / channel
    aside = directory.with_name(f"{channel}.aside")
    directory.rename(aside)
    directory.write_text("a file in the way of the channel's directories")
    try:
        failed = run.clickstream(
            "--set", "flume.start_timeout_seconds=20", "ingest", "start", agent, code=1
        )
    finally:
        directory.unlink()
        aside.rename(directory)
    assert agent in failed.stderr, failed.stderr
    assert channel in failed.stderr, failed.stderr
    assert Agent(run.settings, agent).running() is None, f"{agent} was left running"
    run.lift()


def source_deleted(run: Run) -> None:
    """A source log vanishes before, while or after it is read; put back, all goes on."""
    how = run.rng.choice(("to come", "being read", "planned"))
    run.note = how
    hdfs = Hdfs.connect(run.settings)
    if how == "planned":
        _delete_planned(run, hdfs)
        return
    run.may_fail = True
    run.until_spooled(run.rng.uniform(0.05, 0.2))
    last = f"-{run.parts - 1}." if how == "to come" else "-0."
    wanted = run.rng.choice([log for log in run.logs if last in log.name])
    _delete(run, hdfs, wanted)
    output = run.end_of_replay()
    assert output or how == "being read", "replay did not tell that a log had vanished"
    assert not output or wanted.name in output, output
    run.put([wanted])
    run.lift()


def _delete_planned(run: Run, hdfs: Hdfs) -> None:
    """Replay dies with a chunk planned that has not appeared; no source that was read is left."""
    run.kill_replay()
    run.begin(f"planned:{run.rng.randint(3, 5)}")
    run.await_suicide()
    with Ledger.open(run.settings.files.ledger) as ledger:
        spooled = {log.path: log.bytes for log in ledger.files()}
    done = [log for log in run.logs if spooled.get(_source(run, log)) == len(log.content)]
    assert done, "no log was wholly planned"
    for log in done:
        _delete(run, hdfs, log)
    run.note += f", {len(done)} logs"
    run.lift()


def _delete(run: Run, hdfs: Hdfs, log: Log) -> None:
    assert hdfs.delete(_source(run, log)), f"{log.name} was not there"


def _source(run: Run, log: Log) -> str:
    return f"{run.settings.hdfs.source}/{log.server}/{log.name}"


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("agent1", "kill -9 agent1", kill_of("agent1")),
        Fault("agent2", "kill -9 agent2", kill_of("agent2")),
        Fault("agent3", "kill -9 agent3", kill_collector, cheap=True),
        Fault("all-agents", "kill -9 of all agents at once", kill_all, cheap=True),
        Fault("replay", "kill -9 replay", kill_replay, cheap=True),
        Fault("kafka", f"Kafka stopped {OUTAGE_S} s", kafka_away(OUTAGE_S)),
        Fault(
            "kafka-long",
            f"Kafka stopped {LONG_OUTAGE_S} s",
            kafka_away(LONG_OUTAGE_S),
            only_by_name=True,
        ),
        Fault(
            "kafka-unknown",
            f"Kafka stopped {OUTAGE_S} s before agent3's first batch",
            kafka_unknown,
        ),
        Fault("namenode", "NameNode restarted", namenode),
        Fault(
            "datanode",
            "DataNode paused beyond callTimeout",
            datanode,
            flags={"flume.call_timeout_seconds": str(CALL_TIMEOUT_S)},
        ),
        Fault(
            "tiny-channel",
            f"channels of {TINY:,} lines fill",
            tiny_channel,
            flags={
                "flume.capacity": str(TINY),
                "flume.batch_size": str(TINY_BATCH),
                "replay.pause_fill_percent": "100",
            },
            cheap=True,
        ),
        Fault("missing-component", "agent with a missing component", missing_component),
        Fault("source-deleted", "source log deleted meanwhile", source_deleted, 3, cheap=True),
    )
}


def _outage(run: Run, process: str) -> AbstractContextManager[None]:
    number = run.rng.choice((signal.SIGSTOP, signal.SIGKILL))
    run.note = number.name
    return run.stack.paused(process) if number == signal.SIGSTOP else run.stack.down(process)


def _until_full(run: Run, agents: str) -> str:
    """Wait for a channel of these agents to be full; its name."""
    deadline = time.monotonic() + FILLS_S
    while time.monotonic() < deadline:
        fills = flow.fills(run.settings)
        no_room = 100 * (1 - TINY_BATCH / TINY)
        full = [name for name, fill in fills.items() if fill > no_room and name.startswith(agents)]
        if full:
            return full[0]
        services.pause(0.1)
    raise AssertionError(f"no channel filled: {fills}")
