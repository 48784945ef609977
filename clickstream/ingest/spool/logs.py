"""A log's bytes: gunzipped where need be, cut into lines, and known again by its content."""

import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, NamedTuple, Protocol, cast

from clickstream.errors import BadInput
from clickstream.ingest.spool import kinds
from clickstream.ledger import Ledger, LogFile, line_end_checksum
from clickstream.weblog import MAX_LINE_BYTES

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20
HEAD_BYTES = 4096
PIECE_BYTES = MAX_LINE_BYTES + 2
"""The longest line that is not too long, with its line end: what `readline` is asked for."""
_IN_MEMORY_BYTES = 8 << 20

Opener = Callable[[], AbstractContextManager[BinaryIO]]


class Line(NamedTuple):
    """A line, `[offset, stop)` with its line end; `raw` is without.

    The bytes of a line that is too long lie in `big`, and `raw` is empty.
    """

    offset: int
    stop: int
    raw: bytes
    terminated: bool
    big: BinaryIO | None = None


class Readable(Protocol):
    """The stream that `lines` reads from."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as the limit allows."""


@contextmanager
def plain(opener: Opener, name: str) -> Iterator[BinaryIO]:
    """A log's uncompressed bytes; several gzip members follow one another.

    Raises BadInput for a gzip file that is damaged, and for every other kind that is no text.
    """
    with opener() as raw:
        stream = io.BufferedReader(cast(io.RawIOBase, raw), BLOCK_BYTES)
        head = stream.peek(kinds.HEAD_BYTES)[: kinds.HEAD_BYTES]
        if not head.startswith(GZIP_MAGIC):
            _refuse_kind(head, name)
            yield cast(BinaryIO, stream)
            return
        try:
            unpacked = gzip.GzipFile(fileobj=stream)
            _refuse_kind(unpacked.peek(kinds.HEAD_BYTES)[: kinds.HEAD_BYTES], name, " inside gzip")
            yield cast(BinaryIO, unpacked)
        except EOFError as error:
            raise BadInput(f"{name} is a gzip file that is cut off", "fetch it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise _damaged(name, str(error)) from error


def _refuse_kind(head: bytes, name: str, inside: str = "") -> None:
    twice = inside and head.startswith(GZIP_MAGIC)
    kind = kinds.Kind("gzip", "gzip -dc FILE | gzip -dc") if twice else kinds.of(head)
    if kind:
        raise BadInput(
            f"{name} is {kind.name}{inside}",
            f"give the plain log: {kind.command} | clickstream weblog put - --server NAME"
            " --as NAME",
        )


def _damaged(name: str, reason: str) -> BadInput:
    if reason.startswith("Not a gzipped file"):  # of what should be the next member
        return BadInput(
            f"{name} is a gzip file with something else behind its end",
            "give what is in it: gzip -dc FILE | clickstream weblog put - --server NAME --as NAME",
        )
    return BadInput(f"{name} is a damaged gzip file: {reason}", "fetch it again")


def lines(stream: Readable, offset: int = 0) -> Iterator[Line]:
    """The lines from the stream's present `offset` on; memory stays bounded.

    A line ends at LF; one CR before it belongs to the line end.
    """
    while piece := stream.readline(PIECE_BYTES):
        raw = chomp(piece)
        if len(raw) <= MAX_LINE_BYTES:
            line = Line(offset, offset + len(piece), raw, piece.endswith(b"\n"))
        else:
            line = long_line(stream, piece, offset)
        yield line
        offset = line.stop


def chomp(piece: bytes) -> bytes:
    """A line without its line end."""
    if piece.endswith(b"\r\n"):
        return piece[:-2]
    return piece[:-1] if piece.endswith(b"\n") else piece


class Recognition(NamedTuple):
    """The known log that a log continues (or None), and up to where it was spooled.

    `offset` is the next byte to spool; `digest` covers the bytes before it. `nothing_new`: the log
    is a beginning of the known one, or, where a partial line is not accepted, has no whole line
    yet. `last` is the byte before `offset`.
    """

    known: LogFile | None
    offset: int
    digest: "hashlib._Hash"
    nothing_new: bool = False
    last: bytes = b""


def recognise(
    ledger: Ledger,
    server: str,
    opener: Opener,
    name: str,
    source: Callable[[LogFile], Opener | None],
    accept_partial_line: bool = True,
) -> Recognition:
    """Recognise a log by its content among those that the ledger knows of its server.

    The longest known log that this one begins with is continued. A log that is a beginning of a
    known one adds nothing: its last line end must have the known log's checksum. What stands behind
    that line end is no line yet without `accept_partial_line`; else `source` opens the known log to
    compare with. Raises BadInput where that one was removed.
    """
    known = sorted(ledger.files(server), key=lambda log: log.bytes)
    with plain(opener, name) as stream:
        reading = _DigestReader(stream)
        best = _longest_continued(known, reading)
    longer = [log for log in known if log.bytes > reading.at]
    if best.known or not longer:
        return best
    if not accept_partial_line and reading.line_end == 0:
        return best._replace(nothing_new=True)
    for log in longer:
        if _begins(ledger, log, reading, source, accept_partial_line):
            return Recognition(log, reading.at, reading.digest, nothing_new=True)
    return best


def _longest_continued(known: list[LogFile], reading: "_DigestReader") -> Recognition:
    """The longest of the known logs (given shortest first) that the log begins with."""
    best = Recognition(None, 0, hashlib.sha256())
    for log in known:
        if not reading.reach(log.bytes):
            break
        if reading.digest.hexdigest() == log.digest:
            best = Recognition(log, log.bytes, reading.digest.copy(), last=reading.last)
    return best


class _DigestReader:
    """A log read up to `at`; its SHA-256 there and at the last line end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.at = self.line_end = 0
        self.last = b""
        self.digest, self.line_digest = hashlib.sha256(), hashlib.sha256()

    def reach(self, size: int) -> bool:
        """Read on up to that many bytes in all; False where the log has fewer."""
        for block in blocks(self._stream, size - self.at):
            end = block.rfind(b"\n") + 1
            if end:
                self.digest.update(block[:end])
                self.line_end, self.line_digest = self.at + end, self.digest.copy()
            self.digest.update(block[end:])
            self.at += len(block)
            self.last = block[-1:]
        return self.at == size


def _begins(
    ledger: Ledger,
    log: LogFile,
    reading: _DigestReader,
    source: Callable[[LogFile], Opener | None],
    accept_partial_line: bool,
) -> bool:
    """Tell whether the known log begins with all that was read."""
    end = reading.line_end
    if end and not ledger.has_checksum(log, end, line_end_checksum(reading.line_digest)):
        return False
    if end == reading.at or not accept_partial_line:
        return end > 0
    same = _same_start(log, reading, source(log))
    if same is None:
        raise BadInput(
            f"the last line, at byte {end}, is cut off, and it is unknown whether the rest of"
            f" it stands in a log spooled before ({log.path}), which was removed",
            "give the whole log, or end it with a whole line",
        )
    return same


def _same_start(log: LogFile, reading: _DigestReader, opener: Opener | None) -> bool | None:
    """Tell whether they begin alike; None where the known log cannot be read any more."""
    if opener is None:
        return None
    with plain(opener, log.path) as stream:
        known = _DigestReader(stream)
        known.reach(reading.at)
        same = known.digest.digest() == reading.digest.digest()
        unchanged = known.reach(log.bytes) and known.digest.hexdigest() == log.digest
    return same if unchanged else None


def file_id(server: str, head: bytes, taken: set[str]) -> str:
    """16 hex digits for a log not seen before, made from its first HEAD_BYTES bytes.

    A log that begins like another one but differs later gets the next free name.
    """
    names = (_name(server, head, attempt) for attempt in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def blocks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes, or as many as there are, in blocks of BLOCK_BYTES at the most."""
    while size > 0 and (block := stream.read(min(size, BLOCK_BYTES))):
        yield block
        size -= len(block)


def skip(stream: BinaryIO, size: int) -> None:
    """Read and forget that many bytes."""
    for _ in blocks(stream, size):
        pass


def _name(server: str, head: bytes, attempt: int) -> str:
    seed = b"%s\0%d\0%s" % (server.encode(), attempt, head[:HEAD_BYTES])
    return hashlib.sha256(seed).hexdigest()[:16]


def long_line(
    stream: Readable, piece: bytes, offset: int, read: Callable[[bytes], object] = lambda _: None
) -> Line:
    """A line over the limit that begins with a piece, kept in a temporary file where it is big.

    `read` is called with each piece.
    """
    big = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115
    size = 0
    while piece:
        read(piece)
        big.write(piece)
        size += len(piece)
        if piece.endswith(b"\n"):
            break
        piece = stream.readline(BLOCK_BYTES)
    end = _end_length(big)
    big.seek(0, io.SEEK_END)
    big.truncate(size - end)
    big.seek(0)
    return Line(offset, offset + size, b"", end > 0, big)


def _end_length(big: BinaryIO) -> int:
    big.seek(-2, io.SEEK_END)
    tail = big.read()
    return len(tail) - len(chomp(tail))
