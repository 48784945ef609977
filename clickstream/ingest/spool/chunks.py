"""Spooling: lines are stamped, cut into chunks, and appear in a spooling directory by rename."""

import hashlib
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar, cast

from clickstream.clients.hdfs import Hdfs
from clickstream.errors import ClickstreamError
from clickstream.home import staged
from clickstream.ingest.spool.logs import BLOCK_BYTES, PIECE_BYTES, Readable, chomp, long_line
from clickstream.ledger import CHECKSUM_BYTES, UNDATED, VALID, Chunk, line_end_checksum
from clickstream.weblog import (
    BACKSLASH,
    MAX_LINE_BYTES,
    NO_TIME,
    Format,
    Verdict,
    judge,
    line_id,
    valid_at,
)

COMPLETED = ".COMPLETED"
_RUN_LINES, _SHORT_RUN_LINES = 128, 8
"""The number of lines tried at once; the smaller number where the run before was cut short."""
_CR = ord("\r")
_PRINTED = itemgetter(1)
_Result = TypeVar("_Result")
_DAY, _INSTANT, _STAMP = (
    itemgetter(Verdict._fields.index(name)) for name in ("day", "instant", "stamp")
)
CHUNK_NAME = re.compile(r"[A-Za-z0-9._-]+-[0-9a-f]{16}-[0-9]+-[0-9]+-[0-9]+\.log\Z")


class Limits(NamedTuple):
    """The limits of a chunk: lines, stamped bytes, and seconds of event time (0 = any)."""

    lines: int
    bytes: int
    span_s: int = 0

    def reached(self, lines: int, size: int, span_s: int) -> bool:
        """Tell whether so many lines, stamped bytes and seconds of event time fill a chunk."""
        return lines >= self.lines or size >= self.bytes or span_s >= self.span_s > 0


@dataclass
class PendingChunk:
    """A piece of a log that is to become a chunk: `[start, stop)` in bytes of the log.

    `body` holds the stamped lines; `big` the lines that are too long for an agent, by offset.
    `counts` is (day, reason) -> lines. `first` and `last` are event seconds, never going back.
    `digest` is the SHA-256 of the log up to `stop`, `checksums` those that the ledger keeps
    of it, one for each line end.
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
    checksums: bytearray = field(default_factory=bytearray)

    def full(self, limits: Limits) -> bool:
        """Tell whether no further line should be added."""
        return limits.reached(self.counts.total(), len(self.body), self.last - self.first)

    def fitting(self, lines: list[bytes], verdicts: list[Verdict], limits: Limits) -> int:
        """The number of these stamped lines that fill it, or of all where they do not."""
        total, size, first, last = self.counts.total(), len(self.body), self.first, self.last
        whole = size + sum(map(len, lines))
        if not limits.span_s and not limits.reached(total + len(lines), whole, 0):
            return len(lines)
        for count, (line, verdict) in enumerate(zip(lines, verdicts, strict=True), 1):
            size += len(line)
            last = max(last, verdict.instant)
            first = first or last
            if limits.reached(total + count, size, last - first):
                return count
        return len(lines)

    def reach(self, instants: list[int]) -> None:
        """Note the event seconds of valid lines, one after the other."""
        self.first = self.first or next((each for each in instants if each > 0), 0)
        self.last = max(self.last, *instants)

    @property
    def carried(self) -> int:
        """The number of its lines that go into the chunk."""
        return self.counts.total() - len(self.big)

    @property
    def valid(self) -> int:
        """The number of its valid lines."""
        return sum(n for (_, reason), n in self.counts.items() if reason == VALID)


class Chunker:
    """Cuts one log into chunks of stamped lines; it knows the running SHA-256 of the log."""

    def __init__(self, server: str, file: str, form: Format, digest: "hashlib._Hash") -> None:
        identity = line_id(server, file, 0)[:-1]
        self._stamped = identity.encode() + b"%d\t%b\t%b"
        self._form = form
        self._digest = digest
        self._checksums = bytearray()

    def end_tail(self, end: bytes) -> None:
        """The line end of a last line that was counted without one."""
        self._digest.update(end)
        self._checksums += line_end_checksum(self._digest)

    def chunks(
        self,
        stream: Readable,
        offset: int,
        limits: Limits,
        last: int = 0,
        accept_partial_line: bool = True,
    ) -> Iterator[PendingChunk]:
        """The chunks of a stream that stands at an offset of the log.

        None is empty, but for one that notes no more than the late end of a counted last line.
        More of the stream may have been read than a chunk holds. Without `accept_partial_line`,
        a last line that has no end is left out; `last` is the event second reached before.
        """
        lookahead = _Lookahead(stream)
        chunk = PendingChunk(offset, offset, last, last, checksums=self._checksums)
        self._checksums = bytearray()
        while self._fill(chunk, lookahead, limits, accept_partial_line):
            yield self._sealed(chunk)
            chunk = PendingChunk(chunk.stop, chunk.stop, chunk.last, chunk.last)
        if chunk.counts or chunk.checksums:
            yield self._sealed(chunk)

    def _fill(
        self,
        chunk: PendingChunk,
        lookahead: "_Lookahead",
        limits: Limits,
        accept_partial_line: bool,
    ) -> bool:
        """Add lines until the chunk is full (True) or the stream has no more (False)."""
        most = _RUN_LINES
        while not chunk.full(limits):
            pieces = lookahead.take(most)
            taken = self._append_common_lines(chunk, pieces, limits)
            most = _RUN_LINES if taken == len(pieces) else _SHORT_RUN_LINES
            lookahead.give_back(pieces[taken:])
            if taken == 0 and not self._append_single_lines(
                chunk, lookahead, limits, accept_partial_line
            ):
                return False
        return True

    def _append_common_lines(self, chunk: PendingChunk, pieces: list[bytes], limits: Limits) -> int:
        """Add the common lines that these pieces begin with, up to a full chunk; how many.

        The hot path: what can be done for all of them at once needs no step of ours for each
        (bench/README.md).
        """
        text = b"".join(pieces)
        if BACKSLASH in text:
            pieces = [*takewhile(_is_common, pieces)]
        matches = _leading([*map(self._form.simple.match, pieces)])
        verdicts = _leading([*map(valid_at, map(_PRINTED, matches))])
        if not verdicts or (len(text) > MAX_LINE_BYTES < max(map(len, pieces))):
            return 0
        stops = [*accumulate(map(len, pieces), initial=chunk.stop)]
        ended = [chomp(each) + b"\n" for each in pieces] if _CR in text else pieces
        stamps = zip(stops, map(_STAMP, verdicts), ended, strict=False)
        lines = [*map(self._stamped.__mod__, stamps)]
        taken = chunk.fitting(lines, verdicts, limits)
        chunk.body += b"".join(lines[:taken])
        chunk.stop = stops[taken]
        days = [*map(_DAY, verdicts[:taken])]
        for day in dict.fromkeys(days):
            chunk.counts[day, VALID] += days.count(day)
        chunk.reach([*map(_INSTANT, verdicts[:taken])])
        update, digest = self._digest.update, self._digest.digest
        digests = b"".join([digest() for piece in pieces[:taken] if update(piece) is None])
        checksums = memoryview(digests).cast("Q")[:: self._digest.digest_size // CHECKSUM_BYTES]
        chunk.checksums += checksums.tobytes()
        return taken

    def _append_single_lines(
        self,
        chunk: PendingChunk,
        lookahead: "_Lookahead",
        limits: Limits,
        accept_partial_line: bool,
    ) -> bool:
        """Add lines one by one, up to a full chunk or a valid line; False at the stream's end."""
        while piece := lookahead.readline(PIECE_BYTES):
            ended = piece.endswith(b"\n")
            if not (ended or accept_partial_line or len(piece) == PIECE_BYTES):
                break
            raw = chomp(piece)
            verdict = judge(raw, self._form)
            if len(raw) > MAX_LINE_BYTES:
                ended = self._append_long_line(chunk, piece, lookahead)
            else:
                self._digest.update(piece)
                chunk.body += self._stamped % (chunk.stop, verdict.stamp, raw + b"\n")
                chunk.stop += len(piece)
                chunk.counts[verdict.day or UNDATED, verdict.reason or VALID] += 1
                if verdict.reason is None:
                    chunk.reach([verdict.instant])
            if ended:
                chunk.checksums += line_end_checksum(self._digest)
            chunk.open_tail = not ended
            if (verdict.reason is None and _is_common(piece)) or chunk.full(limits):
                return True
        return False

    def _append_long_line(self, chunk: PendingChunk, piece: bytes, lookahead: "_Lookahead") -> bool:
        """Set a line aside that begins with a piece; whether it has an end."""
        line = long_line(lookahead, piece, chunk.stop, self._digest.update)
        assert line.big
        chunk.counts[UNDATED, "too-long"] += 1
        chunk.big.append((line.offset, line.big))
        chunk.stop = line.stop
        return line.terminated

    def _sealed(self, chunk: PendingChunk) -> PendingChunk:
        chunk.digest = self._digest.hexdigest()
        return chunk


class _Lookahead:
    """A stream of lines of which some are read ahead; what is given back comes again."""

    def __init__(self, stream: Readable) -> None:
        self._read = partial(stream.readline, PIECE_BYTES)
        self._stream = stream
        self._rest: list[bytes] = []

    def take(self, most: int) -> list[bytes]:
        """The next pieces, at most so many; none at the stream's end."""
        pieces = self._rest or [*islice(iter(self._read, b""), most)]
        self._rest = pieces[most:]
        return pieces[:most]

    def give_back(self, pieces: list[bytes]) -> None:
        """These were taken last."""
        self._rest[:0] = pieces

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as the limit allows."""
        return self._rest.pop(0) if self._rest else self._stream.readline(limit)


def _leading(results: list[_Result | None]) -> list[_Result]:
    """Those before the first None; a common run has none, and is looked at in one call."""
    found = results if all(results) else [*takewhile(bool, results)]
    return cast(list[_Result], found)


def _is_common(piece: bytes) -> bool:
    """Tell whether a format's `simple` expression tells if this is a valid line."""
    return BACKSLASH not in piece


class Spool:
    """A server's spooling directory, and the directory beside it where chunks are staged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._staging = staged(directory)

    def make(self) -> None:
        """Create both directories."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)

    def stage(self, log: str, start: int, stop: int, body: bytes | bytearray) -> None:
        """Write the stamped lines of the next chunk beside the spooling directory, for good.

        They lie there before the ledger plans the chunk, so a planned chunk needs no log again.
        """
        with self._staged_file(log, start, stop).open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        _sync(self._staging)

    def keep(self, chunk: Chunk) -> None:
        """Let what was staged appear, whole, with the time that puts it behind its predecessors.

        Flume's spooling source takes the oldest file first and dies on one that changes.
        """
        file = self._staged_file(chunk.file, chunk.start, chunk.stop)
        os.utime(file, (chunk.seq, chunk.seq))
        file.rename(self.directory / chunk.name)

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
        for file in self._staging.iterdir():
            file.unlink()
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
                f"the chunk {chunk.name} was removed from {self.directory}, but no agent took it",
                "put it back; or clickstream ingest ledger rebuild, and replay its log again",
            ) from None

    def _staged_file(self, log: str, start: int, stop: int) -> Path:
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


def quarantine_big(hdfs: Hdfs, directory: str, server: str, file: str, chunk: PendingChunk) -> None:
    """Keep lines that no agent may see, stamped, in the quarantine; may be repeated."""
    for offset, big in chunk.big:
        name = f"too-long.{file}.{offset}"
        path = posixpath.join(directory, f"server={server}", name)
        hdfs.write(path, _big_stamped(line_id(server, file, offset), big))


def _big_stamped(identity: str, big: BinaryIO) -> Iterator[bytes]:
    big.seek(0)
    yield b"%s\t%s\t%s\t" % (identity.encode(), NO_TIME, NO_TIME)
    while block := big.read(BLOCK_BYTES):
        yield block
    yield b"\n"
