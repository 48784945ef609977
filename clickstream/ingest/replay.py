"""Replay: the source logs in HDFS, as a simulation of streaming data, into the spools.

The logs of the servers are merged by event time, chunk by chunk, and paced. The ledger knows of
each chunk before a spool does, so after a crash at any moment the same chunks come again under the
same names and ids.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import BadInput, NoData
from clickstream.ingest import flow, inspection, source
from clickstream.ingest.spool import logs, spooler
from clickstream.ingest.spool.chunks import Limits, PendingChunk
from clickstream.ingest.spool.spooler import OpenLog, Spooler
from clickstream.weblog import formats


class Pace(NamedTuple):
    """The pace: `speed` times real time, or `rate` lines/s; None and None = as the agents take it.

    `max_gap_s` shortens longer silences of the log, in event seconds (only with `speed`).
    """

    speed: float | None = None
    rate: float | None = None
    max_gap_s: float | None = None

    def limits(self, settings: Settings) -> Limits:
        """The limits of one chunk: about half a second of the replay where it is paced."""
        most, size = settings.replay.chunk_lines, settings.replay.chunk_bytes
        if self.rate:
            return Limits(min(most, max(1, int(self.rate / 2))), size)
        return Limits(most, size, max(1, int(self.speed / 2)) if self.speed else 0)


@dataclass
class Progress:
    """The progress of a replay; bytes are of the stored logs and serve as an estimate.

    `refused`: why logs were left out.
    """

    bytes_total: int = 0
    bytes_done: int = 0
    lines: int = 0
    invalid: int = 0
    logs: int = 0
    refused: list[BadInput] = field(default_factory=list)
    waiting_for: str = ""


Observer = Callable[[Progress], None]


class _Piece(NamedTuple):
    """A chunk and the log it belongs to."""

    log: OpenLog
    chunk: PendingChunk


def replay(settings: Settings, pace: Pace, observe: Observer) -> Progress:
    """Spool every line of the source logs that was not spooled before.

    Raises NoData without any log, BadInput for a log that cannot be taken, NotRunning when HDFS or
    an agent is missing, ClickstreamError when another replay of this home runs.
    """
    hdfs = Hdfs.connect(settings)
    servers = list(settings.servers)
    sources = {server: source.entries(hdfs, settings, server) for server in servers}
    # Before a format is noted as that of now: chunks of an earlier one may wait for an agent.
    flow.require_edges(settings, [server for server in sources if sources[server]])
    with spooler.opened(settings, servers, hdfs) as opened:
        if not any(
            sources.values()
        ):  # What was planned of logs that were removed has appeared by now.
            raise NoData(
                f"there is no log below {settings.hdfs.source}",
                "put one there: clickstream weblog put FILE --server NAME",
            )
        return _Run(settings, hdfs, opened, pace, observe).go(sources)


def report_refused(progress: Progress) -> None:
    """BadInput where logs were left out: each one's reason, and what to do about the first."""
    if progress.refused:
        reasons = "; ".join(refused.message for refused in progress.refused)
        raise BadInput(reasons, progress.refused[0].hint)


class _Run:
    def __init__(
        self, settings: Settings, hdfs: Hdfs, opened: Spooler, pace: Pace, observe: Observer
    ) -> None:
        self._settings = settings
        self._hdfs = hdfs
        self._spooler = opened
        self._pace = pace
        self._observe = observe
        self._limits = pace.limits(settings)
        self._progress = Progress()

    def go(self, sources: dict[str, list[Entry]]) -> Progress:
        """Spool what is new, the servers merged by event time."""
        self._progress.bytes_total = sum(entry.size for all_ in sources.values() for entry in all_)
        streams = [self._pieces(server, entries) for server, entries in sources.items()]
        clock = _Clock(self._pace)
        for log, chunk in _merged(streams):
            self._wait(clock, chunk)
            self._spooler.spool(log, chunk)
            self._count(chunk)
            self._observe(self._progress)
        return self._progress

    def _wait(self, clock: "_Clock", chunk: PendingChunk) -> None:
        self._progress.waiting_for = "pace"
        while (left := clock.left(chunk)) > 0:
            self._observe(self._progress)
            time.sleep(min(left, 0.2))
        self._spooler.room(self._notify)
        self._progress.waiting_for = ""

    def _notify(self, reason: str) -> None:
        self._progress.waiting_for = reason
        self._observe(self._progress)

    def _count(self, chunk: PendingChunk) -> None:
        total = chunk.counts.total()
        self._progress.lines += total
        self._progress.invalid += total - chunk.valid
        self._progress.bytes_done += chunk.stop - chunk.start

    def _pieces(self, server: str, entries: list[Entry]) -> Iterator[_Piece]:
        last = 0
        for entry in entries:
            for piece in self._log_pieces(server, entry, last):
                last = piece.chunk.last
                yield piece

    def _log_pieces(self, server: str, entry: Entry, last: int) -> Iterator[_Piece]:
        """The chunks of what a log holds beyond what was spooled of it; none of a refused one."""
        opener = partial(self._hdfs.open, entry.path)
        try:
            log = self._admitted(server, opener, entry.path)
        except BadInput as refused:
            self._progress.refused.append(refused)
            self._progress.bytes_done += entry.size
            return
        self._progress.bytes_done += log.offset
        if log.nothing_new:
            return
        counted = 0
        with logs.plain(opener, entry.path) as stream:
            logs.skip(stream, log.offset)
            for chunk in log.chunks(stream, self._limits, last):
                self._progress.logs += counted == 0 < chunk.counts.total()
                counted += chunk.counts.total()
                yield _Piece(log, chunk)

    def _admitted(self, server: str, opener: logs.Opener, path: str) -> OpenLog:
        """Recognise the log and check what is new in it; raises BadInput."""
        self._notify(f"the look at {path}")
        form = formats.of(self._settings, server)
        inspection.sniff(opener, path, form)
        log = self._spooler.recognise(server, opener, path)
        if not log.nothing_new:
            scanned = inspection.scan(opener, path, form, log.offset)
            known = self._spooler.ledger.totals(server, log.file)
            look = inspection.see_why("FILE", server)  # in HDFS, where check does not look
            inspection.refuse(self._settings, server, path, scanned, known, look)
        return log


class _Clock:
    """Decides when a chunk is due; event time runs `speed` times real time, silences shortened."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._begun = time.monotonic()
        self._due_s = 0.0
        self._event: int | None = None
        self._chunk: PendingChunk | None = None

    def left(self, chunk: PendingChunk) -> float:
        """Seconds until the chunk may be spooled."""
        if chunk is not self._chunk:
            self._chunk = chunk
            self._due_s += self._gap_s(chunk)
        return self._begun + self._due_s - time.monotonic()

    def _gap_s(self, chunk: PendingChunk) -> float:
        if self._pace.rate:
            return chunk.counts.total() / self._pace.rate
        if not self._pace.speed:
            return 0
        before = chunk.first if self._event is None else self._event
        self._event = max(before, chunk.last)
        silence = max(0, self._event - before)
        return min(silence, self._pace.max_gap_s or silence) / self._pace.speed


def _merged(streams: list[Iterator[_Piece]]) -> Iterator[_Piece]:
    """Pieces by the event second they begin with; each stream keeps its own order."""
    heads = {index: next(stream, None) for index, stream in enumerate(streams)}
    while waiting := {index: head for index, head in heads.items() if head is not None}:
        first = min(waiting, key=lambda index: (waiting[index].chunk.first, index))
        yield waiting[first]
        heads[first] = next(streams[first], None)
