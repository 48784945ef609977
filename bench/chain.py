"""From the spool to both branches, measured: the real stack, real agents, a real replay."""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import generated_logs
import psutil

from clickstream import config, master
from clickstream.clients import endpoints, kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import ServiceFailed
from clickstream.ingest import flow
from clickstream.ingest.flume import agent_config, agents
from clickstream.ingest.flume.agent import Agent
from clickstream.runtime.process import Child
from clickstream.stack import local

SERVICES = ("hdfs", "kafka")
INTERVAL_S = 0.5
TIMEOUT_S = 120


class Case(NamedTuple):
    """A case to measure: `lines` in all after `warm` others, `flags` as of `clickstream --set`."""

    name: str
    servers: int
    lines: int
    warm: int
    flags: dict[str, str]


class Load(NamedTuple):
    """The cost of the measured lines in one process: CPU seconds, and its peak memory in MB."""

    process: str
    cpu_s: float
    peak_mb: int


class Result(NamedTuple):
    """Seconds from the start of replay until all valid lines were in Kafka, in HDFS, and closed.

    In HDFS is what the master's sinks have taken for good; closed is what Spark may read. Of the
    machine's CPU, `idle_percent` was not used and `others_percent` used by processes not ours.
    """

    case: Case
    valid: int
    kafka_s: float
    hdfs_s: float
    closed_s: float
    loads: list[Load]
    idle_percent: int
    others_percent: int

    @property
    def rate(self) -> int:
        """Lines/s to both branches."""
        return round(self.case.lines / max(self.kafka_s, self.hdfs_s))


@contextmanager
def stack(
    directory: Path, flags: dict[str, str], services: tuple[str, ...] = SERVICES
) -> Iterator[Settings]:
    """Services in a home of their own, gone in the end; `flags` name their heaps."""
    settings = config.load(home=directory / "stack", flags=flags)
    try:
        local.up(settings, services)
        yield settings
    finally:
        local.down(settings)


def measure(directory: Path, base: Settings, case: Case) -> Result:
    """Run one case in a new home on the stack of `base`; its agents are stopped in the end."""
    settings = _settings(directory, base, case)
    try:
        agents.start(settings, [], lambda _: None)
        if case.warm:
            _replayed(settings, "warm", case.warm)
        return _measured(settings, base, case)
    finally:
        _stop_children(settings)


def _settings(directory: Path, base: Settings, case: Case) -> Settings:
    home = directory / case.name
    endpoints.remember_ports(home, endpoints.remembered_ports(base.home))
    names = {f"servers.weblog{n}.agent": f"agent{n}" for n in range(1, case.servers + 1)}
    paths = {f"hdfs.{kind}": f"/{case.name}/{kind}" for kind in ("source", "master", "quarantine")}
    flags = names | paths | {"kafka.topic": case.name} | base.origin.flags | case.flags
    return config.load(home=home, flags=flags)


def _replayed(settings: Settings, name: str, lines: int) -> None:
    _put(settings, name, lines)
    with _replay(settings) as spooler:
        spooler.wait()
    flow.drain(settings, lambda _: None)


def _put(settings: Settings, name: str, lines: int) -> None:
    hdfs, share = Hdfs.connect(settings), lines // len(settings.servers)
    for server in settings.servers:
        seed = sum(f"{name}/{server}".encode())
        hdfs.write(
            f"{settings.hdfs.source}/{server}/{name}.log", generated_logs.blocks(seed, share)
        )


@contextmanager
def _replay(settings: Settings) -> Iterator["psutil.Popen"]:
    argv = [sys.executable, "-m", "clickstream.cli", "ingest", "replay"]
    log = settings.files.log("replay")
    with log.open("ab") as out:
        process = psutil.Popen(argv, env=settings.child_env(), stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        if process.wait():
            raise ServiceFailed(f"replay ended with exit code {process.wait()}", log.read_text())


def _measured(settings: Settings, base: Settings, case: Case) -> Result:
    share = case.lines // case.servers
    valid = case.servers * generated_logs.valid(share)
    _put(settings, "measured", case.lines)
    before_kafka, before_hdfs = _in_kafka(settings), _in_hdfs(settings)
    began = time.monotonic()
    with _replay(settings) as spooler:
        meter = _Meter({**_processes(settings, base), "spooler": spooler})
        done: dict[str, float] = {}
        while len(done) < 2:
            meter.look()
            elapsed = time.monotonic() - began
            if _in_kafka(settings) - before_kafka >= valid:
                done.setdefault("kafka", elapsed)
            if _in_hdfs(settings) - before_hdfs >= valid:
                done.setdefault("hdfs", elapsed)
            _check_patience(elapsed, case)
            time.sleep(INTERVAL_S)
        loads, shares = meter.loads(), meter.shares()
        spooler.wait()
    flow.drain(settings, lambda _: None)
    closed_s = time.monotonic() - began
    _check_whole(settings, case)
    return Result(case, valid, done["kafka"], done["hdfs"], closed_s, loads, *shares)


def _check_patience(elapsed: float, case: Case) -> None:
    if elapsed > TIMEOUT_S + case.lines / 1000:
        raise ServiceFailed(f"{case.name}: not all lines arrived within {elapsed:.0f} s")


def _in_kafka(settings: Settings) -> int:
    return sum(end - first for first, end in kafka.offsets(settings).values())


def _in_hdfs(settings: Settings) -> int:
    beans = Agent(settings, settings.collector).beans()
    return sum(
        bean.number("EventDrainSuccessCount")
        for bean in beans
        if bean.component.kind == "sink" and bean.component.name.startswith("master")
    )


def _check_whole(settings: Settings, case: Case) -> None:
    """The closed master files hold as many lines as were valid; so does Kafka."""
    wanted = sum(
        case.servers * generated_logs.valid(lines // case.servers)
        for lines in (case.warm, case.lines)
    )
    hdfs = Hdfs.connect(settings)
    found = sum(_lines(hdfs, each.path) for each in hdfs.walk(settings.hdfs.master))
    if master.in_use(hdfs, settings) or not found == wanted == _in_kafka(settings):
        raise ServiceFailed(
            f"{case.name}: {wanted} valid lines, {_in_kafka(settings)} in Kafka, {found} in HDFS"
        )


def _lines(hdfs: Hdfs, path: str) -> int:
    if "/_" in path:
        return 0
    with hdfs.open(path) as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def _processes(settings: Settings, base: Settings) -> dict[str, psutil.Process]:
    running = {name: Agent(settings, name).running() for name in agent_config.agents(settings)}
    found = {name: agent.pid for name, agent in running.items() if agent}
    found |= {row.process: row.pid for row in local.status(base) if row.pid}
    return {name: psutil.Process(pid) for name, pid in found.items()}


class _Meter:
    """CPU since it was made, and the most memory seen, of each process."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        self._peak: Counter[str] = Counter()
        self._cpu: dict[str, float] = {}
        self._before = {name: _cpu(each) for name, each in processes.items()}
        self._before["spooler"] = 0.0
        self._machine = psutil.cpu_times()

    def look(self) -> None:
        for name, process in self._processes.items():
            try:
                self._cpu[name] = _cpu(process) - self._before[name]
                self._peak[name] = max(self._peak[name], process.memory_info().rss)
            except psutil.NoSuchProcess:  # the spooler has ended: what was seen last stands
                continue

    def loads(self) -> list[Load]:
        self.look()
        return [Load(name, self._cpu[name], self._peak[name] >> 20) for name in self._processes]

    def shares(self) -> tuple[int, int]:
        """The idle share and that of other processes, in per cent of the machine's CPU."""
        spent = [now - then for now, then in zip(psutil.cpu_times(), self._machine, strict=True)]
        by_name = dict(zip(self._machine._fields, spent, strict=True))
        total = sum(spent) - by_name.get("guest", 0) - by_name.get("guest_nice", 0)
        idle = by_name["idle"] + by_name.get("iowait", 0)
        others = total - idle - sum(self._cpu.values())
        return round(100 * idle / total), max(0, round(100 * others / total))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stop_children(settings: Settings) -> None:
    names = settings.files.children()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: Child(settings.files, name).stop(10), names))


def cases(
    channels: list[str], servers: list[int], lines: int, warm: int, flags: dict[str, str]
) -> list[Case]:
    """Every combination, named so that a topic may have the name."""
    return [
        Case(f"{channel}-{count}", count, lines, warm, {"flume.channel": channel} | flags)
        for channel, count in itertools.product(channels, servers)
    ]
