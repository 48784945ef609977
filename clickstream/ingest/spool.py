"""Spooling: lines are stamped, cut into chunks, and appear in a spooling directory by rename."""

import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from clickstream.errors import ClickstreamError
from clickstream.hdfs import Hdfs
from clickstream.ingest.logs import BLOCK_BYTES, PIECE_BYTES, Readable, chomp, long_line
from clickstream.ledger import MARK_BYTES, UNDATED, VALID, Chunk, mark
from clickstream.weblog import (
    BACKSLASH,
    MAX_LINE_BYTES,
    NO_TIME,
    Format,
    judge,
    line_id,
    valid_at,
)

COMPLETED = ".COMPLETED"
CHUNK_NAME = re.compile(r"[A-Za-z0-9._-]+-[0-9a-f]{16}-[0-9]+-[0-9]+-[0-9]+\.log\Z")


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
    `digest` is the SHA-256 of the log up to `stop`, `marks` what the ledger notes of it at each
    line end.
    """

    start: int
    stop: int
    first: int
    last: int
    open_tail: bool = False
    body: bytearray = field(default_factory=bytearray)
    big: list[tuple[int, BinaryIO]] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    digest: str = ""
    marks: bytearray = field(default_factory=bytearray)

    def full(self, limits: Limits) -> bool:
        """Whether no further line should be added."""
        long = limits.span_s and self.last - self.first >= limits.span_s
        many = self.counts.total() >= limits.lines or len(self.body) >= limits.bytes
        return bool(many or long)

    @property
    def carried(self) -> int:
        """How many of its lines go into the chunk."""
        return self.counts.total() - len(self.big)

    @property
    def valid(self) -> int:
        """How many of its lines are valid."""
        return sum(n for (_, reason), n in self.counts.items() if reason == VALID)


class Cutter:
    """Cuts one log into drafts of stamped lines; it knows the running SHA-256 of the log."""

    def __init__(self, server: str, file: str, form: Format, digest: "hashlib._Hash") -> None:
        identity = line_id(server, file, 0)[:-1]
        self._stamped = identity.encode() + b"%d\t%b\t%b"
        self._form = form
        self._digest = digest
        self._marks = bytearray()

    def end_tail(self, end: bytes) -> None:
        """The line end of a last line that was counted without one."""
        self._digest.update(end)
        self._marks += mark(self._digest)

    def drafts(
        self, stream: Readable, offset: int, limits: Limits, last: int = 0, tail: bool = True
    ) -> Iterator[Draft]:
        """The drafts of a stream that stands at an offset of the log.

        None is empty, but for one that notes no more than the late end of a counted last line.
        Nothing beyond `stop` has been read when a draft is yielded. Without `tail`, a last line
        that has no end is left out; `last` is the event second reached before.
        """
        draft = Draft(offset, offset, last, last, marks=self._marks)
        self._marks = bytearray()
        while self._fill(draft, stream, limits, tail):
            yield self._sealed(draft)
            draft = Draft(draft.stop, draft.stop, draft.last, draft.last)
        if draft.counts or draft.marks:
            yield self._sealed(draft)

    def _fill(self, draft: Draft, stream: Readable, limits: Limits, tail: bool) -> bool:
        """Add lines until the draft is full (True) or the stream has no more (False).

        The hot path, so all is in local names, the common line needs no more than its quickest
        expression, and valid lines of one day are counted as a run (bench/README.md).
        """
        counts, body, marks, stamped = draft.counts, draft.body, draft.marks, self._stamped
        update, digest, form = self._digest.update, self._digest.digest, self._form
        simple, most, size_limit, span_s = form.simple.match, *limits
        stop, first, last, day, run, full = draft.stop, draft.first, draft.last, UNDATED, 0, False
        while not full and (piece := stream.readline(PIECE_BYTES)):
            match, line, ended = simple(piece), piece, True
            verdict = valid_at(match[1]) if match and BACKSLASH not in piece else None
            if verdict is None:
                ended = piece[-1:] == b"\n"
                if not (ended or tail or len(piece) == PIECE_BYTES):
                    break
                raw = chomp(piece)
                line, verdict = raw + b"\n", judge(raw, form)
            if len(line) > MAX_LINE_BYTES + 1:
                ended, stop = self._add_big(draft, piece, stream, stop)
            else:
                update(piece)
                reason, its_day, instant, stamp = verdict
                body += stamped % (stop, stamp, line)
                stop += len(piece)
                if reason is not None:
                    counts[its_day or UNDATED, reason] += 1
                elif its_day == day:
                    run += 1
                else:
                    counts[day, VALID] += run
                    day, run = str(its_day), 1
                if instant > last and reason is None:
                    last = instant
                    first = first or instant
            if ended:
                marks += digest()[:MARK_BYTES]
            draft.open_tail = not ended
            most -= 1
            full = most == 0 or len(body) >= size_limit or last - first >= span_s > 0
        counts[day, VALID] += run
        draft.counts = +counts
        draft.stop, draft.first, draft.last = stop, first, last
        return full

    def _add_big(
        self, draft: Draft, piece: bytes, stream: Readable, offset: int
    ) -> tuple[bool, int]:
        """Set a line aside that begins with a piece; whether it has an end, and where that is."""
        line = long_line(stream, piece, offset, self._digest.update)
        assert line.big
        draft.counts[UNDATED, "too-long"] += 1
        draft.big.append((line.offset, line.big))
        return line.terminated, line.stop

    def _sealed(self, draft: Draft) -> Draft:
        draft.digest = self._digest.hexdigest()
        return draft


class Spool:
    """A server's spooling directory, and the place beside it where chunks are written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._staging = directory.parent / f".{directory.name}.staging"

    def make(self) -> None:
        """Create both directories."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    def stage(self, log: str, start: int, stop: int, body: bytes | bytearray) -> None:
        """Write the stamped lines of the next chunk beside the spooling directory, for good.

        They lie there before the ledger plans the chunk, so a planned chunk needs no log again.
        """
        with self._draft(log, start, stop).open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        _sync(self._staging)

    def keep(self, chunk: Chunk) -> None:
        """Let what was staged appear, whole, with the time that puts it behind its predecessors.

        Flume's spooling source takes the oldest file first and dies on one that changes.
        """
        draft = self._draft(chunk.file, chunk.start, chunk.stop)
        os.utime(draft, (chunk.seq, chunk.seq))
        draft.rename(self.directory / chunk.name)

    def state(self, chunk: Chunk) -> str:
        """`waiting`, `completed` or `absent`. Flume renames in between: look in this order."""
        if (self.directory / chunk.name).exists():
            return "waiting"
        return "completed" if self._completed(chunk).exists() else "absent"

    def remove_completed(self, chunk: Chunk) -> None:
        """Remove what the agent has taken."""
        self._completed(chunk).unlink(missing_ok=True)

    def recover(self, planned: list[Chunk]) -> None:
        """After a crash: let planned chunks appear, and remove what is over.

        Raises ClickstreamError for a chunk that somebody has taken away.
        """
        for chunk in planned:
            if self.state(chunk) == "absent":
                self._again(chunk)
        for draft in self._staging.iterdir():
            draft.unlink()
        names = {chunk.name for chunk in planned}
        for path in self.directory.glob(f"*{COMPLETED}"):
            name = path.name.removesuffix(COMPLETED)
            if CHUNK_NAME.match(name) and name not in names:
                path.unlink(missing_ok=True)

    def _again(self, chunk: Chunk) -> None:
        try:
            self.keep(chunk)
        except FileNotFoundError:
            raise ClickstreamError(
                f"the chunk {chunk.name} is gone from {self.directory}, and no agent has taken it",
                "put it back; or clickstream ingest ledger rebuild, and replay its log again",
            ) from None

    def _draft(self, log: str, start: int, stop: int) -> Path:
        return self._staging / f"{log}-{start}-{stop}"

    def _completed(self, chunk: Chunk) -> Path:
        return self.directory / (chunk.name + COMPLETED)


def _sync(directory: Path) -> None:
    """Make the names in a directory outlive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
