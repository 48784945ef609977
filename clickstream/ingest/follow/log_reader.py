"""A log that is read while it grows: the open file, and its content as the spooler knows it."""

from collections.abc import Iterator
from enum import Enum

from clickstream.ingest.follow.tail import TailedFile
from clickstream.ingest.spool import logs
from clickstream.ingest.spool.chunks import Limits, PendingChunk
from clickstream.ingest.spool.spooler import LOCAL, OpenLog, Spooler


class Truncated(Exception):
    """A file no longer holds what was read of it."""


class SpoolTarget:
    """A server's spool as a follow writes it: the offset up to which each log was spooled.

    Two files may hold the same content (one was compressed while it was open). So a log is
    recognised again where another file has brought it further, or brought anything before it was
    begun.
    """

    def __init__(self, spooler: Spooler, server: str, limits: Limits) -> None:
        self.spooler = spooler
        self.server = server
        self.limits = limits
        self.chunks = 0
        self._stops: dict[str, int] = {}

    def spool(self, log: OpenLog, chunk: PendingChunk) -> None:
        """Spool a chunk."""
        self.spooler.spool(log, chunk)
        self.chunks += 1
        self._stops[log.file] = chunk.stop

    def is_ahead_of(self, log: OpenLog) -> bool:
        """Tell whether more of it was spooled than it knows of."""
        return self._stops.get(log.file, 0) > log.offset


class _Stage(Enum):
    """How far the reading of a recognised log has come."""

    NOT_BEGUN = 0
    BEGUN = 1
    FINISHED = 2  # a compressed log: all of it was read


class LogReader:
    """Chunks of one log, as far as it has whole lines; of all of it when it is `final`.

    `open` is the log as the spooler recognised it, None before; `file` its identity as it was
    recognised last. `admitted`: its lines may be taken, whatever they are.
    """

    def __init__(self, tailed: TailedFile, target: SpoolTarget) -> None:
        self.tailed = tailed
        self.open: OpenLog | None = None
        self.pending: PendingChunk | None = None
        self.file = ""
        self.admitted = False
        self._target = target
        self._size = self._spooled_before = 0
        self._stage = _Stage.NOT_BEGUN
        self._chunks: Iterator[PendingChunk] | None = None

    @property
    def offset(self) -> int:
        """Up to which byte it was read."""
        return self.open.offset if self.open else 0

    @property
    def nothing_new(self) -> bool:
        """Tell whether it is a beginning of a known log, as far as it goes."""
        return self.open is not None and self.open.nothing_new

    @property
    def rest(self) -> bool:
        """Tell whether it holds bytes that are not spooled, if only a last line without end."""
        if self.tailed.packed:
            return not self.nothing_new and self._stage is not _Stage.FINISHED
        if self.nothing_new:
            return self._size < self.tailed.size
        return self.offset < self.tailed.size

    def forget(self) -> None:
        """Recognise it again before it is read on."""
        self.open = self.pending = self._chunks = None
        self._stage = _Stage.NOT_BEGUN

    def recognise(self, final: bool) -> bool:
        """Tell whether there may be lines to spool. Raises BadInput, or Truncated."""
        if self.open and self._outdated(self.open):
            self.forget()
        if self.open and not self.nothing_new:
            return True
        if not final and not self.tailed.lines_end(0):
            return False
        size = self.tailed.size if final else self.tailed.last_line_end()
        if size == 0 or (self.open and size == self._size):
            return False
        self._recognise(size, final)
        self._spooled_before = self._target.chunks
        return not self.nothing_new

    def read(self, final: bool) -> PendingChunk | None:
        """The next chunk, which is `pending` until it is spooled. Raises BadInput, or Truncated."""
        if self.recognise(final) and self.pending is None:
            assert self.open
            self._chunks = self._chunks or self._cut(self.open, final)
            self.pending = next(self._chunks, None)
            if self.pending is None:
                self._chunks = None
            else:
                self._vouch(self.pending.stop)
        return self.pending

    def spool(self) -> PendingChunk:
        """Spool what is pending."""
        chunk = self.pending
        assert self.open
        assert chunk
        self._target.spool(self.open, chunk)
        self.pending = None
        if chunk.open_tail:
            self.forget()  # the spooler refuses to go on within a line that was counted
        return chunk

    def _outdated(self, log: OpenLog) -> bool:
        fresh = self._stage is not _Stage.NOT_BEGUN or self._spooled_before == self._target.chunks
        return not fresh or self._target.is_ahead_of(log)

    def _recognise(self, size: int, final: bool) -> None:
        opener, path = self.tailed.opener(size), f"{LOCAL}{self.tailed.path}"
        self.open = self._target.spooler.recognise(self._target.server, opener, path, final)
        self.file = self.open.file
        self._size = size
        self._vouch(self.open.offset)

    def _vouch(self, stop: int) -> None:
        if not self.tailed.packed and not self.tailed.reached(stop):
            raise Truncated

    def _cut(self, known: OpenLog, final: bool) -> Iterator[PendingChunk]:
        self._stage = _Stage.BEGUN
        tailed = self.tailed
        if tailed.packed:
            with logs.plain(tailed.opener(tailed.size), str(tailed.path)) as stream:
                logs.skip(stream, known.offset)
                yield from known.chunks(stream, self._target.limits)
            self._stage = _Stage.FINISHED
            return
        before = -1
        while before < known.offset < (stop := tailed.lines_end(known.offset)):
            before = known.offset
            yield from known.chunks(
                tailed.stream(before, stop), self._target.limits, accept_partial_line=False
            )
        if final and known.offset < tailed.size:
            yield from known.chunks(tailed.stream(known.offset, tailed.size), self._target.limits)
