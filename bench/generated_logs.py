"""Generated logs: Combined lines as long as a browser's (about 230 bytes), time going on."""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from clickstream.scenario.plan import Zone, printed
from clickstream.scenario.story import START

PER_SECOND = 100
INVALID_EVERY = 10_000
_BLOCKS = 40
_UTC = Zone("+0000", 0)
_TIME = b"@time@"
_AGENTS = (
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko)"
    b" Chrome/32.0.1700.77 Safari/537.36",
    b"Mozilla/5.0 (Windows NT 6.1; WOW64; rv:27.0) Gecko/20100101 Firefox/27.0",
    b"Mozilla/5.0 (compatible; Examplebot/2.1; +http://bot.example/about.html)",
)


def blocks(
    seed: int, lines: int, start: int = START, per_second: int = PER_SECOND
) -> Iterator[bytes]:
    """A log of so many lines, second by second from `start` (epoch s), PER_SECOND lines a block;
    every INVALID_EVERY-th line is no valid one. `per_second` is a multiple of PER_SECOND.
    """
    templates = _templates(seed)
    for first in range(0, lines, PER_SECOND):
        time = printed(start + first // per_second, _UTC).encode()
        block = templates[first // PER_SECOND % _BLOCKS].replace(_TIME, time)
        if (first + PER_SECOND) % INVALID_EVERY == 0:
            block = block[: block.rindex(b'"', 0, -2)] + b"\n"
        left = lines - first
        yield block if left >= PER_SECOND else b"".join(block.splitlines(True)[:left])


def valid(lines: int) -> int:
    """How many lines of a log of `lines` are valid."""
    return lines - lines // INVALID_EVERY


@contextmanager
def stream(seed: int, lines: int) -> Iterator[BinaryIO]:
    """The log as an open file of which only one second is ever in memory."""
    yield cast(BinaryIO, io.BufferedReader(_LogStream(blocks(seed, lines)), 1 << 20))


def bytes_per_line(seed: int) -> float:
    """The mean length of a line."""
    return len(b"".join(blocks(seed, _BLOCKS * PER_SECOND))) / (_BLOCKS * PER_SECOND)


class _LogStream(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _templates(seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [b"".join(_line(rng) for _ in range(PER_SECOND)) for _ in range(_BLOCKS)]


def _line(rng: random.Random) -> bytes:
    return b'10.%d.%d.%d - - [%s] "GET %s HTTP/1.1" %d %d "%s" "%s"\n' % (
        *(rng.randrange(4), rng.randrange(256), rng.randrange(256), _TIME),
        b"/presentations/section%d/images/page%d.png" % (rng.randrange(40), rng.randrange(1000)),
        *(rng.choices((200, 304, 404, 500), (96, 2, 1.5, 0.5))[0], rng.randrange(200, 60_000)),
        b"http://www.shop.example/presentations/%d/" % rng.randrange(1000),
        rng.choices(_AGENTS, (6, 3, 1))[0],
    )
