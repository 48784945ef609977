"""Replay: the source logs in HDFS, as a simulation of streaming data, into the spools.

The logs of the servers are merged by event time, chunk by chunk, and paced. The ledger knows of
each chunk before a spool does, so after a crash at any moment the same chunks come again under the
same names and ids.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.errors import BadInput, ClickstreamError, NoData
from clickstream.hdfs import Entry, Hdfs
from clickstream.ingest import flow, logs, source
from clickstream.ingest.spool import Draft, Limits, Spool, drafts, quarantine_big
from clickstream.ledger import VALID, Chunk, Ledger, LogFile
from clickstream.weblog import sniff

IDENTITY = "_ledger"


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

    `worthless`: new logs of which not one line was valid.
    """

    bytes_total: int = 0
    bytes_done: int = 0
    lines: int = 0
    invalid: int = 0
    logs: int = 0
    worthless: list[str] = field(default_factory=list)
    waiting_for: str = ""


Observer = Callable[[Progress], None]


class _Piece(NamedTuple):
    """A draft with the log it belongs to, as the ledger will know it."""

    log: LogFile
    draft: Draft


def replay(settings: Settings, pace: Pace, observe: Observer) -> Progress:
    """Spool every line of the source logs that was not spooled before.

    Raises NoData without any log, BadInput for a log that cannot be taken, NotRunning when HDFS or
    an agent is missing, ClickstreamError when another replay of this home runs.
    """
    hdfs = Hdfs.connect(settings)
    with locked(settings), Ledger.open(settings.path("ledger.db")) as ledger:
        sources = {server: source.entries(hdfs, settings, server) for server in settings.servers}
        if not any(sources.values()):
            raise NoData(
                f"there is no log below {settings.hdfs.source}",
                "put one there: clickstream weblog put FILE --server NAME",
            )
        flow.require_edges(settings, [server for server in sources if sources[server]])
        check_identity(hdfs, settings, ledger)
        run = _Run(settings, hdfs, ledger, pace, observe)
        run.recover()
        return run.go(sources)


def refuse_worthless(progress: Progress) -> None:
    """BadInput where a new log held no valid line: its lines are all in the quarantine."""
    if progress.worthless:
        raise BadInput(
            f"not one line of {', '.join(progress.worthless)} is a valid log line",
            "its lines are in the quarantine; a log must be in the common or the combined format",
        )


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """One spooler per home: ClickstreamError names the pid of another one."""
    path = settings.path("spooler.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ClickstreamError(
                f"another replay of this home runs (pid {file.read().strip()})", "wait for it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def check_identity(hdfs: Hdfs, settings: Settings, ledger: Ledger) -> None:
    """Refuse a master copy that another ledger accounts for; sign one that is new."""
    path = f"{settings.hdfs.master}/{IDENTITY}"
    if hdfs.stat(path) is None:
        hdfs.write(path, [ledger.uuid.encode()])
        return
    with hdfs.open(path) as stream:
        found = stream.read().decode()
    if found != ledger.uuid:
        raise ClickstreamError(
            f"the master copy at {settings.hdfs.master} is accounted for by another ledger",
            "use the home it was made with, or name another hdfs.master",
        )


class _Run:
    def __init__(
        self, settings: Settings, hdfs: Hdfs, ledger: Ledger, pace: Pace, observe: Observer
    ) -> None:
        self._settings = settings
        self._hdfs = hdfs
        self._ledger = ledger
        self._pace = pace
        self._observe = observe
        self._limits = pace.limits(settings)
        self._progress = Progress()
        self._spools = {name: Spool(settings.path("spool", name)) for name in settings.servers}
        for spool in self._spools.values():
            spool.make()
        self._room = flow.Room(settings, ledger, self._spools)

    def recover(self) -> None:
        """Let every chunk that an earlier run planned appear in its spool."""
        for chunk in self._ledger.open_chunks():
            spool = self._spools[chunk.server]
            if spool.state(chunk) == "absent":
                spool.place(chunk, self._again(chunk).body)
            self._ledger.mark(chunk, "spooled")
        flow.tidy(self._ledger, self._spools)

    def go(self, sources: dict[str, list[Entry]]) -> Progress:
        """Spool what is new, the servers merged by event time."""
        self._progress.bytes_total = sum(entry.size for all_ in sources.values() for entry in all_)
        streams = [self._pieces(server, found) for server, found in sources.items()]
        clock = _Clock(self._pace)
        for piece in _merged(streams):
            self._wait(clock, piece)
            self._spool(piece)
            self._observe(self._progress)
        return self._progress

    def _wait(self, clock: "_Clock", piece: _Piece) -> None:
        self._progress.waiting_for = "pace"
        while (left := clock.left(piece.draft)) > 0:
            self._observe(self._progress)
            time.sleep(min(left, 0.2))
        self._room.wait(self._tell)
        self._progress.waiting_for = ""

    def _tell(self, reason: str) -> None:
        self._progress.waiting_for = reason
        self._observe(self._progress)

    def _spool(self, piece: _Piece) -> None:
        log, draft = piece
        root = self._settings.hdfs.quarantine
        quarantine_big(self._hdfs, root, log.server, log.file, draft)
        chunk = self._ledger.plan(log, draft.start, draft.counts)
        if draft.body:
            self._spools[log.server].place(chunk, draft.body)
        self._ledger.mark(chunk, "spooled" if draft.body else "done")
        total = draft.counts.total()
        self._progress.lines += total
        self._progress.invalid += total - _valid(draft)
        self._progress.bytes_done += draft.stop - draft.start

    def _pieces(self, server: str, entries: list[Entry]) -> Iterator[_Piece]:
        last = 0
        for entry in entries:
            for piece in self._log_pieces(server, entry, last):
                last = piece.draft.last
                yield piece

    def _log_pieces(self, server: str, entry: Entry, last: int) -> Iterator[_Piece]:
        """The drafts of what a log holds beyond what was spooled of it."""
        opener = partial(self._hdfs.open, entry.path)
        with logs.plain(opener, entry.path) as stream:
            sniff((line.raw for line in logs.lines(stream)), entry.path)
        known = self._ledger.files(server)
        place = logs.place(known, opener, entry.path, self._source)
        file = place.known.file if place.known else self._new_file(server, opener, known)
        self._progress.bytes_done += place.offset
        if place.known and place.offset < place.known.bytes:
            return
        if place.known and self._source(place.known) is None:
            self._ledger.moved(place.known, entry.path)
        with logs.plain(opener, entry.path) as stream:
            logs.skip(stream, place.offset)
            hashed = logs.Hashed(stream, place.digest)
            offset, lines, valid = place.offset, 0, 0
            if place.known and place.known.open_tail:
                offset += _end_of_tail(hashed, place.known)
            for draft in drafts(hashed, server, file, offset, self._limits, last):
                digest = place.digest.hexdigest()
                log = LogFile(server, file, entry.path, draft.stop, digest, draft.open_tail)
                self._progress.logs += draft.start == offset
                lines += draft.counts.total()
                valid += _valid(draft)
                yield _Piece(log, draft)
        if place.known is None and valid == 0 < lines:
            self._progress.worthless.append(entry.path)

    def _new_file(self, server: str, opener: logs.Opener, known: list[LogFile]) -> str:
        with logs.plain(opener, server) as stream:
            head = stream.read(logs.HEAD_BYTES)
        return logs.file_id(server, head, {log.file for log in known})

    def _source(self, log: LogFile) -> logs.Opener | None:
        found = self._hdfs.stat(log.path)
        return None if found is None else partial(self._hdfs.open, log.path)

    def _again(self, chunk: Chunk) -> Draft:
        """The very same stamped lines of a chunk, out of the source log."""
        log = next(f for f in self._ledger.files(chunk.server) if f.file == chunk.file)
        opener = self._source(log)
        if opener is None:
            raise BadInput(
                f"{log.path} is gone, and a part of it was to be spooled when replay was ended",
                "put it back: clickstream weblog put",
            )
        limits = Limits(chunk.lines, 2**62)
        with logs.plain(opener, log.path) as stream:
            logs.skip(stream, chunk.start)
            draft = next(drafts(stream, chunk.server, chunk.file, chunk.start, limits))
        if draft.stop != chunk.stop:
            raise BadInput(f"{log.path} is not what it was when replay was ended")
        return draft


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


def _valid(draft: Draft) -> int:
    return sum(n for (_, reason), n in draft.counts.items() if reason == VALID)


def _end_of_tail(stream: logs.Hashed, log: LogFile) -> int:
    """A last line was counted without its end: what follows may only be that end."""
    end = stream.readline(2)
    if end in (b"", b"\n", b"\r\n"):
        return len(end)
    raise BadInput(
        f"the last line of {log.path}, counted at byte {log.bytes}, goes on in the grown log",
        "give it as another log: clickstream weblog put --as NAME",
    )
