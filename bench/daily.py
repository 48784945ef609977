"""A day of the batch layer, measured: real HDFS and MariaDB, the whole command, and two others."""

import importlib.util
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import generated_logs
import psutil

from clickstream import config, weblog
from clickstream.clients import endpoints
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import ServiceFailed
from clickstream.stack import local
from clickstream.views.batch import BatchViews

SERVICES = ("hdfs", "mariadb")
DUCK = Path(__file__).parent / "duck.py"
FIRST_DAY = generated_logs.START // 86_400
PER_SECOND = 300
ROUND = 40  # so many blocks of a made log have the same hosts as those before them, ...
NETS = 50  # ... so 200,000 hosts of a server come from as many networks, not 4,000 from one.
FILE_BYTES = 128 * 2**20
LOOK_S = 0.25
TOOL_LIMIT_S = 1800


class Case(NamedTuple):
    """A day of `lines` over two servers; `twice`: its first file is there a second time; `history`:
    so many days before it, of `history_lines` each, counted already.
    """

    lines: int
    twice: bool = False
    history: int = 0
    history_lines: int = 2000


class Result(NamedTuple):
    """The cost of one process and its children: `services_s` is the CPU of HDFS and MariaDB
    meanwhile, `stages` the seconds at which the command reported each stage.
    """

    what: str
    case: Case
    bytes: int
    seconds: float
    cpu_s: float
    peak_mb: int
    services_s: float = 0.0
    stages: tuple[tuple[float, str], ...] = ()

    @property
    def rate(self) -> int:
        """Lines/s."""
        return round(self.case.lines / self.seconds)


class CaseHome:
    """A master dataset of one case in a home of its own, and the same lines as plain logs."""

    def __init__(self, directory: Path, base: Settings, case: Case) -> None:
        self.case = case
        self.day = _date(case.history)
        name = f"d{case.lines}-{case.history}{'-twice' * case.twice}"
        self._base = base
        self.logs = directory / name / "logs"
        home = directory / name / "home"
        endpoints.remember_ports(home, endpoints.remembered_ports(base.home))
        flags = {"hdfs.master": f"/{name}/master"}
        flags["database.url"] = str(endpoints.database_url(base)._replace(password=None))
        flags["database.password_file"] = str(endpoints.password_file(base.home))
        self.settings = config.load(home=home, flags=base.origin.flags | flags)
        with BatchViews.connect(self.settings):
            pass  # a database that answers; what another case left goes with `batch drop`

    def fill(self) -> None:
        """Write everything, and count the days of history."""
        self.logs.mkdir(parents=True)
        for number in range(self.case.history):
            self._write(number, self.case.history_lines, False)
        self._command("batch", "drop", "--yes")
        if self.case.history:
            self._command("batch", "run", "--all")
        self._write(self.case.history, self.case.lines, True)
        if self.case.twice:
            self._copy()

    def clear(self) -> None:
        """Make room for the next case."""
        Hdfs.connect(self.settings).delete(self.settings.hdfs.master, recursive=True)
        for log in self.logs.iterdir():
            log.unlink()

    def measure(self) -> Result:
        """`clickstream batch run` of the day; raises ServiceFailed unless it counted every line."""
        argv = [sys.executable, "-m", "clickstream.cli", "batch", "run", "--date", self.day]
        before, notes = self._services_s(), self.settings.files.driver_events("batch")
        notes.unlink(missing_ok=True)  # those of the days of history
        result = measure("clickstream", self.case, argv, self.settings.child_env(), notes)
        with BatchViews.connect(self.settings) as views:
            (row,) = views.runs([self.day])
        if row["lines"] != self.case.lines:
            raise ServiceFailed(f"{row['lines']} lines were counted of {self.case.lines}")
        spent = self._services_s() - before
        return result._replace(bytes=row["bytes"], services_s=round(spent, 1))

    def others(self, goaccess: str | None, python: str) -> Iterator[Result]:
        """GoAccess and DuckDB on the same lines, as plain logs; those that are there."""
        logs = [str(log) for log in sorted(self.logs.iterdir())]
        if goaccess:
            out = str(self.logs.parent / "goaccess.json")
            argv = [goaccess, *logs, "--log-format=COMBINED", "--no-global-config"]
            argv += ["--no-progress", "-o", out]
            yield measure("goaccess", self.case, argv)
        if python:
            yield measure("duckdb", self.case, [python, str(DUCK), *logs])

    def _write(self, number: int, lines: int, also_plain: bool) -> None:
        share = lines // len(self.settings.servers)
        for seed, server in enumerate(self.settings.servers):
            blocks = _day_blocks(seed, number, share)
            if also_plain:
                blocks = _teed(blocks, self.logs / server)
            directory = f"{self.settings.hdfs.master}/dt={_date(number)}/server={server}"
            self._put(directory, _stamped(blocks, server))

    def _put(self, directory: str, stamped: Iterator[bytes]) -> None:
        hdfs = Hdfs.connect(self.settings)
        for part in itertools.count(1):
            first = next(stamped, None)
            if first is None:
                return
            hdfs.write(f"{directory}/part.{part}", _up_to(FILE_BYTES, first, stamped))

    def _copy(self) -> None:
        hdfs = Hdfs.connect(self.settings)
        entry = next(hdfs.walk(f"{self.settings.hdfs.master}/dt={self.day}"))
        with hdfs.open(entry.path) as stream:
            hdfs.write(f"{entry.path}.again", iter(lambda: stream.read(1 << 20), b""))

    def _command(self, *words: str) -> None:
        argv = [sys.executable, "-m", "clickstream.cli", *words]
        done = subprocess.run(
            argv, env=self.settings.child_env(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServiceFailed(f"clickstream {' '.join(words)}: {done.stderr}")

    def _services_s(self) -> float:
        pids = [row.pid for row in local.status(self._base) if row.pid]
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def measure(
    what: str,
    case: Case,
    argv: list[str],
    env: dict[str, str] | None = None,
    reports: Path | None = None,
) -> Result:
    """Run a process to its end, looking at it and its children; raises ServiceFailed."""
    cpu: Counter[int] = Counter()
    stages: dict[str, float] = {}
    peak = 0
    with tempfile.TemporaryFile("w+", errors="replace") as said:  # a pipe nobody reads would fill
        began = time.monotonic()
        process = psutil.Popen(argv, env=env, stdout=said, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                peak = max(peak, _look(process, cpu))
                for stage in _stages(reports):
                    stages.setdefault(stage, round(time.monotonic() - began, 1))
                if time.monotonic() - began > TOOL_LIMIT_S:
                    raise ServiceFailed(f"{what} did not end")
                time.sleep(LOOK_S)
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode:
            said.seek(0)
            raise ServiceFailed(f"{what} ended with {process.returncode}", said.read())
    reported = tuple((at, stage) for stage, at in stages.items())
    spent = round(sum(cpu.values()), 1)
    return Result(what, case, 0, round(seconds, 1), spent, peak >> 20, stages=reported)


def duckdb(python: str | None) -> str:
    """The Python that has duckdb: the one named, or this one if it has; else ""."""
    if python:
        return python
    return sys.executable if importlib.util.find_spec("duckdb") else ""


def _look(process: psutil.Process, cpu: Counter[int]) -> int:
    """Note each process's CPU so far; the memory of all of them."""
    memory = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            cpu[each.pid] = sum(each.cpu_times()[:2])
            memory += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return memory


def _stages(reports: Path | None) -> list[str]:
    from clickstream.spark import events

    reported = events.read(reports) if reports else []
    return [note["stage"].partition(": ")[0] for note in reported if "stage" in note]


def _date(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime((FIRST_DAY + number) * 86_400))


def _day_blocks(seed: int, number: int, lines: int) -> Iterator[bytes]:
    """Valid lines only, all of one day."""
    start = (FIRST_DAY + number) * 86_400
    left = lines
    for count, block in enumerate(generated_logs.blocks(seed, lines * 2, start, PER_SECOND)):
        net = b"\n%d." % (11 + count // ROUND % NETS)
        *most, last = (b"\n" + block).replace(b"\n10.", net)[1:].splitlines(True)
        kept = [*most, last] if weblog.judge(last[:-1]).reason is None else most
        yield b"".join(kept[:left])
        left -= len(kept)
        if left <= 0:
            return


def _teed(blocks: Iterator[bytes], log: Path) -> Iterator[bytes]:
    with log.open("wb") as out:
        for block in blocks:
            out.write(block)
            yield block


def _stamped(blocks: Iterator[bytes], server: str) -> Iterator[bytes]:
    """The blocks as the spooler would stamp them; a block's lines are of one second."""
    offset, file = 0, "0123456789abcdef"
    for block in blocks:
        lines = block.splitlines(True)
        time_and_day = b"\t".join(weblog.stamp(server, file, 0, lines[0][:-1]).split(b"\t")[1:3])
        made = []
        for line in lines:
            name = weblog.line_id(server, file, offset).encode()
            made.append(b"%s\t%s\t%s" % (name, time_and_day, line))
            offset += len(line)
        yield b"".join(made)


def _up_to(size: int, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    written = len(first)
    while written < size and (block := next(rest, None)) is not None:
        written += len(block)
        yield block
