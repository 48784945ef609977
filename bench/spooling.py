"""The spooler alone: how fast it stamps, and how much memory a big log takes."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import made

from clickstream import config
from clickstream.ingest import logs
from clickstream.ingest.spool import Draft, Limits, Spool, drafts
from clickstream.ledger import Ledger, LogFile

SERVER, FILE = "weblog1", "0" * 16


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


def stamp(path: Path) -> Stamped:
    """Read, hash, judge, stamp and count every line of a log; write nothing."""
    lines = size = 0
    with path.open("rb") as stream:
        began, cpu = time.monotonic(), time.process_time()
        for draft in _drafts(logs.Hashed(stream, sha256())):
            lines += draft.counts.total()
            size = draft.stop
        taken, cpu_s = time.monotonic() - began, time.process_time() - cpu
    return Stamped(path.name, lines, size, taken, cpu_s)


def memory(place: Path, gigabytes: list[float]) -> Iterator[Memory]:
    """Spool one made log into a spool whose chunks are taken at once; a row at each size."""
    per_line = made.bytes_per_line(1)
    total = int(max(gigabytes) * 1e9 / per_line) + made.PER_SECOND
    wanted, lines, began = sorted(gigabytes), 0, time.monotonic()
    for draft in _spooled(place, total):
        lines += draft.counts.total()
        while wanted and draft.stop >= wanted[0] * 1e9:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            yield Memory(wanted.pop(0), lines, peak, time.monotonic() - began)


def _drafts(stream: logs.Hashed) -> Iterator[Draft]:
    replay = config.Replay()
    return drafts(stream, SERVER, FILE, 0, Limits(replay.chunk_lines, replay.chunk_bytes))


def _spooled(place: Path, lines: int) -> Iterator[Draft]:
    spool = Spool(place / "spool" / SERVER)
    spool.make()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(place / "ledger.db"))
        hashed = logs.Hashed(stack.enter_context(made.stream(1, lines)), sha256())
        for draft in _drafts(hashed):
            digest = hashed.digest.hexdigest()
            log = LogFile(SERVER, FILE, "/made", draft.stop, digest, draft.open_tail)
            chunk = ledger.plan(log, draft.start, draft.counts)
            spool.place(chunk, draft.body)
            ledger.mark(chunk, "done")
            (spool.directory / chunk.name).unlink()
            yield draft
