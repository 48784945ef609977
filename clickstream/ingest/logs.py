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
from clickstream.ledger import LogFile
from clickstream.weblog import MAX_LINE_BYTES

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20
HEAD_BYTES = 4096
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
    """What `lines` reads from."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, or as much of it as the limit allows."""


@contextmanager
def plain(opener: Opener, name: str) -> Iterator[BinaryIO]:
    """A log's uncompressed bytes; several gzip members follow one another. Raises BadInput."""
    with opener() as raw:
        stream = io.BufferedReader(cast(io.RawIOBase, raw), BLOCK_BYTES)
        packed = stream.peek(2)[:2] == GZIP_MAGIC
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadInput(f"{name} is a broken gzip file", "fetch it again") from error


def lines(stream: Readable, offset: int = 0) -> Iterator[Line]:
    """The lines from the stream's place on, which is `offset`; memory stays bounded.

    A line ends at LF; one CR before it belongs to the line end.
    """
    limit = MAX_LINE_BYTES + 2
    while piece := stream.readline(limit):
        raw = chomp(piece)
        if len(raw) <= MAX_LINE_BYTES:
            line = Line(offset, offset + len(piece), raw, piece.endswith(b"\n"))
        else:
            line = _long_line(stream, piece, offset)
        yield line
        offset = line.stop


class Hashed:
    """A stream whose every byte read has gone through a digest; made to be read by `lines`."""

    def __init__(self, stream: BinaryIO, digest: "hashlib._Hash") -> None:
        self._stream = stream
        self.digest = digest

    def readline(self, limit: int) -> bytes:
        """The next line, or as much of it as the limit allows."""
        piece = self._stream.readline(limit)
        self.digest.update(piece)
        return piece


def chomp(piece: bytes) -> bytes:
    """A line without its line end."""
    if piece.endswith(b"\r\n"):
        return piece[:-2]
    return piece[:-1] if piece.endswith(b"\n") else piece


class Place(NamedTuple):
    """Where a log stands: the known log it continues (or None), and what was read of it so far.

    `offset` is the next byte to spool; `digest` covers the bytes before it.
    """

    known: LogFile | None
    offset: int
    digest: "hashlib._Hash"


def place(
    known: list[LogFile], opener: Opener, name: str, source: Callable[[LogFile], Opener | None]
) -> Place:
    """Recognise a log by its content among the known ones of its server.

    The longest known log that this one begins with is continued. A log that is a beginning of a
    known one adds nothing; `source` opens a known log to compare with. Raises BadInput where
    they cannot be compared.
    """
    digest, at = hashlib.sha256(), 0
    best = Place(None, 0, hashlib.sha256())
    with plain(opener, name) as stream:
        for log in sorted(known, key=lambda each: each.bytes):
            at += feed(digest, stream, log.bytes - at)
            if at < log.bytes:
                break
            if digest.hexdigest() == log.digest:
                best = Place(log, log.bytes, digest.copy())
    if best.known is None:
        longer = [log for log in known if log.bytes > at]
        whole = next((log for log in longer if _begins(log, at, digest, name, source)), None)
        best = Place(whole, at, digest) if whole else best
    return best


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


def feed(digest: "hashlib._Hash", stream: BinaryIO, size: int) -> int:
    """Read up to that many bytes into the digest; returns how many there were."""
    done = 0
    for block in blocks(stream, size):
        digest.update(block)
        done += len(block)
    return done


def skip(stream: BinaryIO, size: int) -> None:
    """Read and forget that many bytes."""
    for _ in blocks(stream, size):
        pass


def _name(server: str, head: bytes, attempt: int) -> str:
    seed = b"%s\0%d\0%s" % (server.encode(), attempt, head[:HEAD_BYTES])
    return hashlib.sha256(seed).hexdigest()[:16]


def _begins(
    log: LogFile,
    size: int,
    digest: "hashlib._Hash",
    name: str,
    source: Callable[[LogFile], Opener | None],
) -> bool:
    """Whether the known log begins with those `size` bytes."""
    opener = source(log)
    if opener is None:
        raise BadInput(
            f"{name} is shorter than a log spooled before ({log.path}), which is gone, so it cannot"
            " be told whether it is a part of that one",
            f"put {log.path} back, or give the whole log",
        )
    earlier = hashlib.sha256()
    with plain(opener, log.path) as stream:
        feed(earlier, stream, size)
    return earlier.digest() == digest.digest()


def _long_line(stream: Readable, piece: bytes, offset: int) -> Line:
    """The rest of a line over the limit, kept in a temporary file where it is big."""
    big = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115
    size = 0
    while piece:
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
