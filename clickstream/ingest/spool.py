"""Spooling: lines are stamped, cut into chunks, and appear in a spooling directory by rename."""

import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from clickstream.hdfs import Hdfs
from clickstream.ingest.logs import BLOCK_BYTES, Line, Readable, lines
from clickstream.ledger import UNDATED, VALID, Chunk
from clickstream.weblog import NO_TIME, judge, line_id

COMPLETED = ".COMPLETED"
_FIRST_MTIME = 1_000_000_000


class Limits(NamedTuple):
    """When a draft is full: lines, stamped bytes, and milliseconds of event time (0 = any)."""

    lines: int
    bytes: int
    span_s: int = 0


@dataclass
class Draft:
    """A piece of a log on its way into a chunk: `[start, stop)` in bytes of the log.

    `body` holds the stamped lines; `big` the lines that are too long for an agent, by offset.
    `counts` is (day, reason) -> lines. `first` and `last` are event seconds, never going back.
    """

    start: int
    stop: int
    first: int
    last: int
    open_tail: bool = False
    body: bytearray = field(default_factory=bytearray)
    big: list[tuple[int, BinaryIO]] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def full(self, limits: Limits) -> bool:
        """Whether no further line should be added."""
        long = limits.span_s and self.last - self.first >= limits.span_s
        many = self.counts.total() >= limits.lines or len(self.body) >= limits.bytes
        return bool(many or long)


def drafts(
    stream: Readable, server: str, file: str, offset: int, limits: Limits, last: int = 0
) -> Iterator[Draft]:
    """Cut a log, from an offset on, into drafts of stamped lines. Never yields an empty one.

    Nothing of the stream beyond `stop` has been read when a draft is yielded.
    """
    prefix = line_id(server, file, 0)[:-1].encode()
    draft = Draft(offset, offset, last, last)
    for line in lines(stream, offset):
        _add(draft, prefix, line)
        if draft.full(limits):
            yield draft
            draft = Draft(line.stop, line.stop, draft.last, draft.last)
    if draft.counts:
        yield draft


def _add(draft: Draft, prefix: bytes, line: Line) -> None:
    draft.stop = line.stop
    draft.open_tail = not line.terminated
    if line.big is not None:
        draft.counts[UNDATED, "too-long"] += 1
        draft.big.append((line.offset, line.big))
        return
    verdict = judge(line.raw)
    draft.counts[verdict.day or UNDATED, verdict.reason or VALID] += 1
    draft.body += b"%s%d\t%s\t%s\n" % (prefix, line.offset, verdict.stamp, line.raw)
    if verdict.reason is None:
        draft.first = draft.first or verdict.instant
        draft.last = max(draft.last, verdict.instant)


class Spool:
    """A server's spooling directory, and the place beside it where chunks are written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._staging = directory.parent / f".{directory.name}.staging"

    def make(self) -> None:
        """Create both directories."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    def place(self, chunk: Chunk, body: bytes | bytearray) -> None:
        """Let the chunk appear, whole, with the time that puts it behind its predecessors.

        Flume's spooling source takes the oldest file first and dies on one that changes.
        """
        draft = self._staging / chunk.name
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.utime(draft, (_FIRST_MTIME + chunk.seq, _FIRST_MTIME + chunk.seq))
        draft.rename(self.directory / chunk.name)

    def state(self, chunk: Chunk) -> str:
        """`waiting`, `completed` or `absent`. Flume renames in between: look in this order."""
        if (self.directory / chunk.name).exists():
            return "waiting"
        return "completed" if self._completed(chunk).exists() else "absent"

    def remove_completed(self, chunk: Chunk) -> None:
        """Remove what the agent has taken."""
        self._completed(chunk).unlink(missing_ok=True)

    def _completed(self, chunk: Chunk) -> Path:
        return self.directory / (chunk.name + COMPLETED)


def quarantine_big(hdfs: Hdfs, directory: str, server: str, file: str, draft: Draft) -> None:
    """Keep lines that no agent may see, stamped, in the quarantine; may be repeated."""
    for offset, big in draft.big:
        name = f"too-long.{file}.{offset}"
        path = posixpath.join(directory, f"server={server}", name)
        hdfs.write(path, _big_stamped(line_id(server, file, offset), big))


def _big_stamped(identity: str, big: BinaryIO) -> Iterator[bytes]:
    big.seek(0)
    yield b"%s\t%s\t%s\t" % (identity.encode(), NO_TIME, NO_TIME)
    while block := big.read(BLOCK_BYTES):
        yield block
    yield b"\n"
