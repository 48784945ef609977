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
from clickstream.ingest.spool.chunks import Draft, Limits
from clickstream.ingest.spool.spooler import OpenLog, Spooler
from clickstream.weblog import formats


class Pace(NamedTuple):
    """How fast: `speed` times real time, or `rate` lines/s; None and None = as the agents take it.

    `max_gap_s` shortens longer silences of the log, in event seconds (only with `speed`).
    """

    speed: float | None = None
    rate: float | None = None
    max_gap_s: float | None = None

    def limits(self, settings: Settings) -> Limits:
        """How much goes into one chunk: about half a second of the replay where it is paced."""
        most, size = settings.replay.chunk_lines, settings.replay.chunk_bytes
        if self.rate:
            return Limits(min(most, max(1, int(self.rate / 2))), size)
        return Limits(most, size, max(1, int(self.speed / 2)) if self.speed else 0)


@dataclass
class Progress:
    """What a replay has done so far; bytes are of the stored logs and serve as an estimate.

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
    """A draft and the log it belongs to."""

    log: OpenLog
    draft: Draft


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
        streams = [self._pieces(server, found) for server, found in sources.items()]
        clock = _Clock(self._pace)
        for log, draft in _merged(streams):
            self._wait(clock, draft)
            self._spooler.spool(log, draft)
            self._count(draft)
            self._observe(self._progress)
        return self._progress

    def _wait(self, clock: "_Clock", draft: Draft) -> None:
        self._progress.waiting_for = "pace"
        while (left := clock.left(draft)) > 0:
            self._observe(self._progress)
            time.sleep(min(left, 0.2))
        self._spooler.room(self._tell)
        self._progress.waiting_for = ""

    def _tell(self, reason: str) -> None:
        self._progress.waiting_for = reason
        self._observe(self._progress)

    def _count(self, draft: Draft) -> None:
        total = draft.counts.total()
        self._progress.lines += total
        self._progress.invalid += total - draft.valid
        self._progress.bytes_done += draft.stop - draft.start

    def _pieces(self, server: str, entries: list[Entry]) -> Iterator[_Piece]:
        last = 0
        for entry in entries:
            for piece in self._log_pieces(server, entry, last):
                last = piece.draft.last
                yield piece

    def _log_pieces(self, server: str, entry: Entry, last: int) -> Iterator[_Piece]:
        """The drafts of what a log holds beyond what was spooled of it; none of a refused one."""
        opener = partial(self._hdfs.open, entry.path)
        try:
            log = self._admitted(server, opener, entry.path)
        except BadInput as refused:
            self._progress.refused.append(refused)
            self._progress.bytes_done += entry.size
            return
        self._progress.bytes_done += log.offset
        if log.adds_nothing:
            return
        counted = 0
        with logs.plain(opener, entry.path) as stream:
            logs.skip(stream, log.offset)
            for draft in log.drafts(stream, self._limits, last):
                self._progress.logs += counted == 0 < draft.counts.total()
                counted += draft.counts.total()
                yield _Piece(log, draft)

    def _admitted(self, server: str, opener: logs.Opener, path: str) -> OpenLog:
        """Where the log stands, once what is new in it has been looked at; raises BadInput."""
        self._tell(f"the look at {path}")
        form = formats.of(self._settings, server)
        inspection.sniff(opener, path, form)
        log = self._spooler.recognise(server, opener, path)
        if not log.adds_nothing:
            found = inspection.scan(opener, path, form, log.offset)
            known = self._spooler.ledger.totals(server, log.file)
            look = inspection.see_why("FILE", server)  # in HDFS, where check does not look
            inspection.refuse(self._settings, server, path, found, known, look)
        return log


class _Clock:
    """When a chunk is due. Event time runs `speed` times real time; silences are shortened."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._begun = time.monotonic()
        self._due_s = 0.0
        self._event: int | None = None
        self._draft: Draft | None = None

    def left(self, draft: Draft) -> float:
        """Seconds until the draft may be spooled."""
        if draft is not self._draft:
            self._draft = draft
            self._due_s += self._gap_s(draft)
        return self._begun + self._due_s - time.monotonic()

    def _gap_s(self, draft: Draft) -> float:
        if self._pace.rate:
            return draft.counts.total() / self._pace.rate
        if not self._pace.speed:
            return 0
        before = draft.first if self._event is None else self._event
        self._event = max(before, draft.last)
        silence = max(0, self._event - before)
        return min(silence, self._pace.max_gap_s or silence) / self._pace.speed


def _merged(streams: list[Iterator[_Piece]]) -> Iterator[_Piece]:
    """Pieces by the event second they begin with; each stream keeps its own order."""
    heads = {index: next(stream, None) for index, stream in enumerate(streams)}
    while waiting := {index: head for index, head in heads.items() if head is not None}:
        first = min(waiting, key=lambda index: (waiting[index].draft.first, index))
        yield waiting[first]
        heads[first] = next(streams[first], None)
