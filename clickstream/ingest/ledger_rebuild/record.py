"""A log's record, recreated from its stamped lines: bytes, digest, checksums, counts.

A line ends where the next one begins, so the end of the last line is not known. A log
is known up to the first line that is missing, or of which two copies differ.
"""

import hashlib
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from clickstream import weblog
from clickstream.ingest import rejects
from clickstream.ledger import CHECKSUM_BYTES, VALID, line_end_checksum
from clickstream.weblog import Format

MASTER, QUARANTINE = "m", "q"
_ROW_CHECKSUMS = 4096
_LENGTHS = 8
_ENDS = {1: b"\n", 2: b"\r\n"}


class Stored(NamedTuple):
    """A stamped line of the master dataset (MASTER) or of the quarantine; one of maybe many copies.

    `day` is that of its stamp; `raw` has no line end.
    """

    store: str
    server: str
    file: str
    offset: int
    day: str
    raw: bytes


class Line(NamedTuple):
    """A line of a log, once. `raw` is None where its copies differ."""

    offset: int
    raw: bytes | None
    day: str
    reason: str
    reprocessed: bool

    @property
    def stop(self) -> int:
        """The offset at which its line end begins."""
        return self.offset + len(self.raw or b"")


class Checksums:
    """The line-end checksums of a log, in rows as the ledger keeps them, in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._row = bytearray()
        self._stop = 0

    def add(self, stop: int, digest: "hashlib._Hash") -> None:
        """Note the running SHA-256 at a line end, which is at `stop`."""
        self._row += line_end_checksum(digest)
        self._stop = stop
        if len(self._row) == _ROW_CHECKSUMS * CHECKSUM_BYTES:
            self._write()

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """(stop, bytes): the checksums of the line ends since the stop before."""
        if self._row:
            self._write()
        self._file.seek(0)
        while head := self._file.read(2 * _LENGTHS):
            stop, size = int.from_bytes(head[:_LENGTHS]), int.from_bytes(head[_LENGTHS:])
            yield stop, self._file.read(size)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _write(self) -> None:
        for number in (self._stop, len(self._row)):
            self._file.write(number.to_bytes(_LENGTHS))
        self._file.write(self._row)
        self._row.clear()


class Record:
    """The known part of a log: its first `bytes` bytes, whose SHA-256 is `digest`.

    `open_tail`: the end of the last line is not known. `counts`: (day, reason) -> lines.
    `behind` lines lie behind the first gap, which is at `bytes`, and are not known.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.digest = hashlib.sha256()
        self.open_tail = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self.reprocessed = array("q")
        self.checksums = Checksums()
        self.behind = 0

    def add(self, line: Line, after: int | None) -> bool:
        """Take the next line; `after` is where the one behind it begins. False at a gap."""
        if line.raw is None or line.offset != self.bytes or self.open_tail:
            return False
        end = _ENDS.get((after or 0) - line.stop, b"")
        if not end and line.raw.endswith(b"\r"):
            return False  # This CR cannot be distinguished from one of the line end.
        self.digest.update(line.raw + end)
        self.bytes = line.stop + len(end)
        self.open_tail = not end
        if end:
            self.checksums.add(self.bytes, self.digest)
        self.counts[line.day, line.reason] += 1
        if line.reprocessed:
            self.reprocessed.append(line.offset)
        return True


def record(stored: Iterable[Stored], form: Format) -> Record:
    """The record of one log out of its lines by offset; copies stand beside one another."""
    rebuilt = Record()
    for line, after in _with_next(lines(stored, form)):
        if rebuilt.behind or not rebuilt.add(line, after):
            rebuilt.behind += 1
    return rebuilt


def lines(stored: Iterable[Stored], form: Format) -> Iterator[Line]:
    """Each line once. One that is in both stores was reprocessed: it is valid by now."""
    for offset, group in groupby(stored, key=lambda each: each.offset):
        copies = iter(group)
        first = next(copies)
        days, same = {first.store: first.day}, True
        for copy in copies:
            days.setdefault(copy.store, copy.day)
            same = same and copy.raw == first.raw
        reason = VALID if MASTER in days else _reason(first.raw, form)
        day = days.get(MASTER, first.day)
        yield Line(offset, first.raw if same else None, day, reason, reprocessed=len(days) == 2)


def _reason(raw: bytes, form: Format) -> str:
    return weblog.judge(raw, form).reason or rejects.earlier_reason(raw, form)


def _with_next(every: Iterator[Line]) -> Iterator[tuple[Line, int | None]]:
    line = next(every, None)
    while line is not None:
        following = next(every, None)
        yield line, following.offset if following else None
        line = following
