"""The speed layer, measured: real Kafka and Cassandra, a real driver, lines at an even rate."""

import bisect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import psutil
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from clickstream import config
from clickstream.clients import endpoints, kafka
from clickstream.config import Settings
from clickstream.errors import ServiceFailed
from clickstream.runtime.process import wait_until
from clickstream.speed import control, driver_status
from clickstream.speed.driver_status import Status
from clickstream.stack import local
from clickstream.views.realtime import RealTime

SERVICES = ("kafka", "cassandra")
FEED = Path(__file__).parent / "feed.py"
POLL_S = 0.05
TIMEOUT_S = 180
KEPT_BYTES = 2 * 10**9
LONG_S = 3600


class Case(NamedTuple):
    """Lines per second over all servers, for `batches` after `warm` that do not count: these last
    until the driver is even with the lines, if it ever is.

    `distinct`: each line of another host, to another path.
    """

    name: str
    rate: int
    batches: int
    warm: int
    flags: dict[str, str]
    distinct: bool = False


class Spread(NamedTuple):
    """Median, 95th percentile and maximum."""

    p50: float
    p95: float
    max: float


class Result(NamedTuple):
    """`batch_ms`, `parts` of it (p50 each); `fresh_ms`: from the hand-over of a line to the
    producer until its figures are in Cassandra. `cpu_ms` per batch and process. `behind`: the most
    lines that were left in Kafka after a batch.
    """

    case: Case
    batches: int
    batch_ms: Spread
    fresh_ms: Spread
    parts: dict[str, int]
    cpu_ms: dict[str, int]
    behind: int
    idle_percent: int

    @property
    def sustained(self) -> bool:
        """Tell whether the stream kept up: never more than two triggers' lines were left."""
        return self.behind <= 2 * self.case.rate


class Sample(NamedTuple):
    """One moment of a soak: minutes since its start, MB, batch ms since the sample before; the
    lines sent and counted by then.
    """

    minute: float
    jvm_mb: int
    python_mb: int
    cassandra_mb: int
    checkpoint_kb: int
    batch_p50: float
    batch_p95: float
    behind: int
    sent: int
    counted: int


class Run:
    """A driver and its producer, watched while they run; made by `running`.

    `seen` are its batches; `sent` and `read` how many lines the producer had handed over and
    Cassandra held, by the clock.
    """

    def __init__(self, settings: Settings, base: Settings, case: Case) -> None:
        self.settings = settings
        self.case = case
        self.seen: dict[int, Status] = {}
        self.read: list[tuple[float, int]] = []
        self.sent: list[tuple[float, int]] = []
        self.feeder_cpu_s = 0.0
        self._base = base
        self._feeder: psutil.Popen | None = None

    def feed(self, seconds: float) -> None:
        """Start the producer."""
        bootstrap = endpoints.kafka_bootstrap(self.settings)
        words = [bootstrap, self.settings.kafka.topic, len(self.settings.servers)]
        argv = [sys.executable, str(FEED), *map(str, [*words, self.case.rate, seconds])]
        argv += ["distinct"] if self.case.distinct else []
        self._feeder = psutil.Popen(argv, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, args=(self._feeder.stdout,), daemon=True).start()

    def watch(self, enough: Callable[[], bool], limit_s: float) -> None:
        """Follow driver and views until it is enough; raises ServiceFailed when it takes longer."""
        deadline = time.monotonic() + limit_s
        with RealTime.connect(self.settings) as views:
            while not enough():
                self._look(views)
                control.check_alive(self.settings, control.child(self.settings))
                if time.monotonic() > deadline:
                    raise ServiceFailed(f"{self.case.name}: not done within {limit_s:.0f} s")
                time.sleep(POLL_S)

    def processes(self) -> dict[str, psutil.Process]:
        """Whose CPU and memory is looked at."""
        found = {
            row.process: psutil.Process(row.pid) for row in local.status(self._base) if row.pid
        }
        running = control.child(self.settings).running()
        if running:
            found["driver JVM"] = psutil.Process(running.pid)
            found["driver Python"] = found["driver JVM"].children()[-1]
        if self._feeder and self._feeder.poll() is None:
            found["producer"] = self._feeder
        return found

    def even(self) -> bool:
        """Tell whether the lines that came while the driver started are counted by now."""
        return self.seen[max(self.seen)].behind <= self.case.rate

    def done(self) -> bool:
        """Tell whether every line that was sent is counted."""
        fed = self._feeder is not None and self._feeder.poll() is not None
        return fed and bool(self.read) and self.read[-1][1] >= self.sent[-1][1]

    def feed_no_more(self) -> None:
        """Let the producer end after the lines at hand."""
        if self._feeder:
            self._feeder.terminate()

    def end(self) -> None:
        """Stop producer and driver."""
        if self._feeder and self._feeder.poll() is None:
            self._feeder.kill()
        control.stop(self.settings)

    def _look(self, views: RealTime) -> None:
        servers = views.status()["servers"].values()
        self.read.append((time.time(), sum(each["rows"] for each in servers)))
        if any(each["copies"] or each["skipped"] for each in servers):
            raise ServiceFailed(f"{self.case.name}: not every line was counted once")
        status = driver_status.read(self.settings)
        if status and status.batch is not None:
            self.seen.setdefault(status.batch, status)

    def _listen(self, lines: Iterator[str]) -> None:
        for line in lines:
            first, second = line.split()
            if first == "cpu":
                self.feeder_cpu_s = float(second)
            else:
                self.sent.append((float(first), int(second)))


@contextmanager
def running(directory: Path, base: Settings, case: Case) -> Iterator[Run]:
    """A driver in a new home, on an empty topic of its own."""
    home = directory / case.name
    endpoints.remember_ports(home, endpoints.remembered_ports(base.home))
    names = {"kafka.topic": case.name, "cassandra.keyspace": case.name.replace("-", "_")}
    settings = config.load(home=home, flags=base.origin.flags | names | case.flags)
    kafka.ensure_topic(settings)
    _keep_little(settings)
    run = Run(settings, base, case)
    try:
        control.wait_first(settings, control.launch(settings))
        yield run
    finally:
        run.end()


def measure(directory: Path, base: Settings, case: Case) -> Result:
    """Run one case; raises ServiceFailed where a line was not counted, or twice."""
    with running(directory, base, case) as run:
        run.feed(LONG_S)
        limit = time.monotonic() + TIMEOUT_S
        run.watch(
            lambda: len(run.seen) > case.warm and (run.even() or time.monotonic() > limit),
            TIMEOUT_S * 2,
        )
        first, before, machine = max(run.seen), _cpu(run), psutil.cpu_times()
        began = time.time()
        run.watch(lambda: max(run.seen) - first >= case.batches, TIMEOUT_S * 10)
        until, last = time.time(), max(run.seen)
        spent, idle = _spent(run, before), _idle_percent(machine)
        run.feed_no_more()
        run.watch(run.done, TIMEOUT_S)
    batches = [status for number, status in sorted(run.seen.items()) if first < number <= last]
    return Result(
        case,
        last - first,
        spread([status.batch_ms for status in batches]),
        spread([1000 * each for each in _freshness(run, began, until)]),
        _parts(batches),
        {name: round(1000 * s / (last - first)) for name, s in spent.items()},
        max(status.behind for status in batches),
        idle,
    )


def soak(
    directory: Path, base: Settings, case: Case, minutes: float, every_s: float
) -> Iterator[Sample]:
    """Run for so long; a sample each `every_s`."""
    with running(directory, base, case) as run:
        run.feed(60 * minutes)
        began = time.monotonic()
        while not run.done():
            until = time.monotonic() + every_s
            run.seen = dict(sorted(run.seen.items())[-1:])
            run.read = run.read[-1:]
            run.watch(
                lambda until=until: run.done() or time.monotonic() >= until, every_s + TIMEOUT_S
            )
            if run.seen:
                yield _sample(run, (time.monotonic() - began) / 60)


def spread(values: list[float] | list[int]) -> Spread:
    """Of one value or more."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    return Spread(round(cuts[49]), round(cuts[94]), round(max(values)))


def _sample(run: Run, minute: float) -> Sample:
    memory = {name: each.memory_info().rss >> 20 for name, each in run.processes().items()}
    directory = run.settings.files.checkpoint
    size = sum(each.stat().st_size for each in directory.rglob("*") if each.is_file())
    batch = spread([status.batch_ms for status in run.seen.values()])
    jvm, python = memory["driver JVM"], memory["driver Python"]
    behind = max(status.behind for status in run.seen.values())
    lines = (run.sent[-1][1], run.read[-1][1])
    ends = (memory["cassandra"], size >> 10, batch.p50, batch.p95, behind, *lines)
    return Sample(round(minute, 1), jvm, python, *ends)


def _freshness(run: Run, began: float, until: float) -> list[float]:
    """Seconds from each hand-over in that time until Cassandra held as many lines or more."""
    totals = [total for _, total in run.read]
    found = []
    for moment, total in run.sent:
        at = bisect.bisect_left(totals, total)
        if began <= moment < until and at < len(totals):
            found.append(run.read[at][0] - moment)
    return found


def _parts(batches: list[Status]) -> dict[str, int]:
    names = dict.fromkeys(name for status in batches for name in status.parts)
    return {
        name: round(spread([status.parts.get(name, 0) for status in batches]).p50) for name in names
    }


def _cpu(run: Run) -> dict[str, float]:
    return {
        name: sum(each.cpu_times()[:2])
        for name, each in run.processes().items()
        if each.is_running()
    }


def _spent(run: Run, before: dict[str, float]) -> dict[str, float]:
    now = _cpu(run)
    return {name: now[name] - then for name, then in before.items() if name in now}


def _idle_percent(before: "psutil._common.scputimes") -> int:
    spent = [now - then for now, then in zip(psutil.cpu_times(), before, strict=True)]
    by_name = dict(zip(before._fields, spent, strict=True))
    return round(100 * (by_name["idle"] + by_name.get("iowait", 0)) / sum(spent))


def _keep_little(settings: Settings) -> None:
    """An hour of lines would fill the disk: Kafka forgets what was read long ago."""
    entries = [
        ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
        for name, value in (("retention.bytes", KEPT_BYTES), ("segment.bytes", KEPT_BYTES // 8))
    ]
    resource = ConfigResource("topic", settings.kafka.topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap(settings)})
    wait_until(
        lambda: all(
            done.result(30) is None for done in admin.incremental_alter_configs([resource]).values()
        ),
        30,
        "the topic's retention",
    )
