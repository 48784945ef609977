"""A log that is read while it grows: the open file, and its content as the spooler knows it."""

from collections.abc import Iterator

from clickstream.ingest.follow.tail import Growing
from clickstream.ingest.spool import logs
from clickstream.ingest.spool.chunks import Draft, Limits
from clickstream.ingest.spool.spooler import LOCAL, OpenLog, Spooler


class Truncated(Exception):
    """What was read of a file is no longer in it."""


class Through:
    """The way of one server's logs into the spool, and what has gone it: of each log up to where.

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

    def spool(self, log: OpenLog, draft: Draft) -> None:
        """Spool a draft."""
        self.spooler.spool(log, draft)
        self.chunks += 1
        self._stops[log.file] = draft.stop

    def further(self, log: OpenLog) -> bool:
        """Whether more of it was spooled than it knows of."""
        return self._stops.get(log.file, 0) > log.offset


class Reading:
    """Drafts of one log, as far as it has whole lines; of all of it when it is `final`.

    `open` is the log as the spooler recognised it, None before.
    """

    def __init__(self, growing: Growing, through: Through) -> None:
        self.growing = growing
        self.open: OpenLog | None = None
        self.pending: Draft | None = None
        self._through = through
        self._size = self._chunks = 0
        self._begun = self._over = False
        self._drafts: Iterator[Draft] | None = None

    @property
    def offset(self) -> int:
        """Up to which byte it was read."""
        return self.open.offset if self.open else 0

    @property
    def adds_nothing(self) -> bool:
        """Whether it is a beginning of a known log, as far as it goes."""
        return self.open is not None and self.open.adds_nothing

    @property
    def rest(self) -> bool:
        """Whether it holds bytes that are not spooled: a last line without its end, if no more."""
        if self.growing.packed:
            return not self._over
        if self.adds_nothing:
            return self._size < self.growing.size
        return self.offset < self.growing.size

    def forget(self) -> None:
        """Recognise it again before it is read on."""
        self.open = self.pending = self._drafts = None
        self._begun = self._over = False

    def recognise(self, final: bool) -> bool:
        """Whether there may be lines to spool. Raises BadInput, or Truncated."""
        if self.open and self._outdated(self.open):
            self.forget()
        if self.open and not self.adds_nothing:
            return True
        if not final and not self.growing.lines(0):
            return False
        size = self.growing.size if final else self.growing.whole()
        if size == 0 or (self.open and size == self._size):
            return False
        self._recognise(size, final)
        self._chunks = self._through.chunks
        return not self._over

    def read(self, final: bool) -> Draft | None:
        """The next draft, which is `pending` until it is spooled. Raises BadInput, or Truncated."""
        if self.recognise(final) and self.pending is None:
            assert self.open
            self._drafts = self._drafts or self._cut(self.open, final)
            self.pending = next(self._drafts, None)
            if self.pending is None:
                self._drafts = None
            else:
                self._vouch(self.pending.stop)
        return self.pending

    def spool(self) -> Draft:
        """Spool what is pending."""
        draft = self.pending
        assert self.open
        assert draft
        self._through.spool(self.open, draft)
        self.pending = None
        if draft.open_tail:
            self.forget()  # the spooler refuses to go on within a line that was counted
        return draft

    def _outdated(self, log: OpenLog) -> bool:
        fresh = self._begun or self._chunks == self._through.chunks
        return not fresh or self._through.further(log)

    def _recognise(self, size: int, final: bool) -> None:
        opener, path = self.growing.opener(size), f"{LOCAL}{self.growing.path}"
        self.open = self._through.spooler.recognise(self._through.server, opener, path, final)
        self._size = size
        self._over = self.open.adds_nothing
        self._vouch(self.open.offset)

    def _vouch(self, stop: int) -> None:
        if not self.growing.packed and not self.growing.reached(stop):
            raise Truncated

    def _cut(self, known: OpenLog, final: bool) -> Iterator[Draft]:
        self._begun = True
        growing = self.growing
        if growing.packed:
            with logs.plain(growing.opener(growing.size), str(growing.path)) as stream:
                logs.skip(stream, known.offset)
                yield from known.drafts(stream, self._through.limits)
            self._over = True
            return
        before = -1
        while before < known.offset < (stop := growing.lines(known.offset)):
            before = known.offset
            yield from known.drafts(growing.stream(before, stop), self._through.limits, tail=False)
        if final and known.offset < growing.size:
            yield from known.drafts(
                growing.stream(known.offset, growing.size), self._through.limits
            )
