"""The spooler alone: how fast it stamps, and how much memory a big log takes."""

import resource
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import generated_logs

from clickstream import config
from clickstream.config import Settings
from clickstream.ingest.replay import Pace
from clickstream.ingest.spool import spooler
from clickstream.ingest.spool.chunks import COMPLETED, PendingChunk

SERVER = "weblog1"


class Stamped(NamedTuple):
    """How long a log's lines took: wall clock and CPU seconds of this process."""

    log: str
    lines: int
    bytes: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> int:
        """Lines per CPU second."""
        return round(self.lines / self.cpu_s)


class Memory(NamedTuple):
    """The peak resident memory of this process, MB, after so many GB of one log."""

    gigabytes: float
    lines: int
    peak_mb: int
    seconds: float


def stamp(directory: Path, path: Path) -> Stamped:
    """Read, hash, judge, stamp and count every line of a plain log; write nothing."""
    settings = config.load(home=directory / "home")
    lines = size = 0
    with spooler.opened(settings, [SERVER]) as opened, path.open("rb") as stream:
        log = opened.recognise(SERVER, partial(spooler.opened_file, path), str(path))
        began, cpu = time.monotonic(), time.process_time()
        for chunk in log.chunks(stream, Pace().limits(settings)):
            lines += chunk.counts.total()
            size = chunk.stop
        taken, cpu_s = time.monotonic() - began, time.process_time() - cpu
    return Stamped(path.name, lines, size, taken, cpu_s)


def memory(directory: Path, gigabytes: list[float]) -> Iterator[Memory]:
    """Spool one made log into a spool whose chunks are taken at once; a row at each size."""
    total = (
        int(max(gigabytes) * 1.01e9 / generated_logs.bytes_per_line(1)) + generated_logs.PER_SECOND
    )
    wanted, lines, began = sorted(gigabytes), 0, time.monotonic()
    for chunk in _spooled(config.load(home=directory / "home"), total):
        lines += chunk.counts.total()
        while wanted and chunk.stop >= wanted[0] * 1e9:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            yield Memory(wanted.pop(0), lines, peak, time.monotonic() - began)


def _spooled(settings: Settings, lines: int) -> Iterator[PendingChunk]:
    opener = partial(generated_logs.stream, 1, lines)
    with spooler.opened(settings, [SERVER]) as opened, opener() as stream:
        log = opened.recognise(SERVER, opener, "/made.log")
        for chunk in log.chunks(stream, Pace().limits(settings)):
            opened.spool(log, chunk)
            for chunk in settings.files.spool(SERVER).glob("*.log"):
                chunk.rename(f"{chunk}{COMPLETED}")
            opened.tidy()
            yield chunk
