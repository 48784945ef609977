"""The guard of a followed log: its first lines are judged before any is taken, then its last ones.

It judges as `weblog put` and `ingest replay` do, by `replay.max_invalid_percent`.
"""

import shlex
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from clickstream import weblog
from clickstream.config import Settings
from clickstream.ingest import inspection
from clickstream.ingest.follow.log_reader import LogReader
from clickstream.ingest.follow.record import Record
from clickstream.ingest.follow.tail import TailedFile
from clickstream.ingest.spool.chunks import PendingChunk
from clickstream.ingest.spool.spooler import OpenLog, Spooler
from clickstream.ledger import VALID
from clickstream.weblog import SNIFFED_LINES, Format, formats

Notify = Callable[[str], None]
FEWEST_LINES = 10
"""With fewer lines a log is not judged yet: a new log may begin with somebody's garbage."""
LAST_LINES = 1000


class Guard:
    """Refuses a log whose first lines are hopeless, and reports when the last ones are."""

    def __init__(
        self, settings: Settings, spooled: Spooler, server: str, record: Record, notify: Notify
    ) -> None:
        self._settings = settings
        self._ledger = spooled.ledger
        self._server = server
        self._form = formats.of(settings, server)
        self._last = LastLines(self._form, settings.replay.max_invalid_percent)
        self._record = record
        self._notify = notify
        self._reported = False

    def admit(self, log: LogReader) -> None:
        """Judge the first lines that are to be taken of a log, once there are enough.

        Raises BadInput for a log that is of another format, or of which more than
        `replay.max_invalid_percent` are invalid.
        """
        if log.admitted or log.open is None:
            return
        log.admitted = self._admitted(log.tailed, log.open)
        if log.admitted:
            self._record.refused = ""

    def count(self, chunk: PendingChunk, path: Path) -> None:
        """Note what was spooled of a log; more invalid lines than allowed are reported."""
        self._last.add(chunk)
        problem = self._last.problem()
        self._record.invalid = f"{path}: {problem}" if problem else ""
        if bool(problem) != self._reported:
            self._reported = bool(problem)
            self._notify(self._record.invalid or f"{path}: the last lines are valid again")

    def _admitted(self, tailed: TailedFile, log: OpenLog) -> bool:
        earlier = self._ledger.totals(self._server, log.file)
        opener = tailed.opener(tailed.size if tailed.packed else tailed.last_line_end())
        name = str(tailed.path)
        scanned = inspection.scan(opener, name, self._form, log.offset, SNIFFED_LINES)
        if scanned.lines + earlier.total() < FEWEST_LINES:
            return False
        if not earlier:
            inspection.sniff(opener, name, self._form)
        look = inspection.see_why(shlex.quote(name), self._server)
        inspection.refuse(self._settings, self._server, name, scanned, earlier, look)
        return True


class LastLines:
    """The invalid ones, by reason, of the last LAST_LINES lines of a follow, or of a few more."""

    def __init__(self, form: Format, max_invalid_percent: float) -> None:
        self._form = form
        self._percent = max_invalid_percent
        self._chunks: deque[tuple[int, Counter[str]]] = deque()

    def add(self, chunk: PendingChunk) -> None:
        """Note the lines of a chunk that was spooled."""
        lines, reasons = chunk.counts.total(), Counter[str]()
        for (_, reason), number in chunk.counts.items():
            reasons[reason] += number
        del reasons[VALID]
        if lines > LAST_LINES and reasons:
            lines, reasons = LAST_LINES, self._at_end(chunk)
        self._chunks.append((lines, reasons))
        while self._lines() - self._chunks[0][0] >= LAST_LINES:
            self._chunks.popleft()

    def problem(self) -> str:
        """A sentence where more of them are invalid than `replay.max_invalid_percent`, else ""."""
        lines, reasons = self._lines(), sum((each for _, each in self._chunks), Counter[str]())
        if not reasons or reasons.total() * 100 <= self._percent * lines:
            return ""
        named = ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common())
        return (
            f"{reasons.total():,} of the last {lines:,} lines are not valid {self._form.name}"
            f" lines ({named})"
        )

    def _lines(self) -> int:
        return sum(lines for lines, _ in self._chunks)

    def _at_end(self, chunk: PendingChunk) -> Counter[str]:
        stamped = bytes(chunk.body).rsplit(b"\n", LAST_LINES + 1)[1:-1]
        raws = (line.split(b"\t", 3)[3] for line in stamped)
        reasons = (weblog.judge(raw, self._form).reason for raw in raws)
        return Counter(reason for reason in reasons if reason)
