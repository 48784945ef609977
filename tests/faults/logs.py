"""The logs of a run: of known content, made from a seed alone.

Every line is planned as valid or not before it is written, and its offset is counted from the
bytes, so no reader of the product has a say in what must be found afterwards.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tests.stack.stores import offsets

LINES = 6000
MIDNIGHT = int(datetime(2015, 5, 19, tzinfo=UTC).timestamp())
SPAN_S = 600
TOO_LONG = 300_000
GOOD = b'10.%d.%d.%d - - [%s +0000] "GET /%s/%d HTTP/1.1" %d %d "-" "%s"'
ODD_AGENTS = (
    b"caf\xe9 \xff",
    b"\xe2\x80\xae \xc2\x85next",
    b"\x00\x0b\x0c\x1b]0;title\x07",
    rb"say \"hi\" \\",
    b"a" * 3000,
)


class Log(NamedTuple):
    """A log of a run; `lines` is offset -> raw line, `valid` the offsets of the valid ones."""

    server: str
    name: str
    content: bytes
    lines: dict[int, bytes]
    valid: frozenset[int]


def make(name: str, seed: int, servers: Sequence[str], parts: int = 1) -> list[Log]:
    """Each server's `parts` logs of LINES lines in all; they cross a midnight, the same for all.

    `name` stands in every line, so that no log is like one of another run.
    """
    rng = random.Random(f"{name}/{seed}")
    share = LINES // parts
    return [
        _log(rng, server, f"{name}-{seed}-{part}", part * share, share, parts)
        for server in servers
        for part in range(parts)
    ]


def _log(rng: random.Random, server: str, name: str, first: int, share: int, parts: int) -> Log:
    planned = list(_plan(rng, f"{server}-{name}".encode(), first, share, parts))
    ends = [b"\r\n" if rng.random() < 0.1 else b"\n" for _ in planned]
    content = b"".join(line + end for (line, _), end in zip(planned, ends, strict=True))
    lines = offsets(content)
    valid = (offset for offset, (_, good) in zip(lines, planned, strict=True) if good)
    return Log(server, f"{name}.log", content, lines, frozenset(valid))


def _plan(
    rng: random.Random, path: bytes, first: int, share: int, parts: int
) -> Iterator[tuple[bytes, bool]]:
    """(line, whether it is valid): mostly good ones, some twice in a row, some odd, some bad."""
    line = b""
    long_at = rng.randrange(share)
    for number in range(first, first + share):
        dice = rng.random()
        if number - first == long_at:
            yield b"y" * TOO_LONG, False
        elif dice < 0.02:
            yield rng.choice(_bad(line)), False
        else:
            if dice > 0.05 or not line:  # else the very same line again, which is legitimate
                line = _good(rng, path, number, SPAN_S * number // (share * parts))
            yield line, True


def _good(rng: random.Random, path: bytes, number: int, second: int) -> bytes:
    at = datetime.fromtimestamp(MIDNIGHT - SPAN_S // 2 + second, UTC)
    agent = rng.choice(ODD_AGENTS) if rng.random() < 0.02 else b"Mozilla/5.0 (X11; faults)"
    host = (rng.randrange(4), rng.randrange(256), rng.randrange(256))
    status = rng.choice((200, 200, 200, 304, 404, 500))
    time = at.strftime("%d/%b/%Y:%H:%M:%S").encode()
    return GOOD % (*host, time, path, number, status, rng.randrange(10_000), agent)


def _bad(good: bytes) -> list[bytes]:
    return [
        b"",
        b"\x00" * 50,
        b"not a log line\tat all",
        b"x" * 5000,
        b"lone\rcarriage",
        good[:-1],
        good.replace(b"/May/", b"/Feb/").replace(b"[18", b"[31").replace(b"[19", b"[30"),
    ]
