"""Any number of plain valid lines, fast: what benchmarks and soak tests replay."""

import random
from collections.abc import Iterator, Sequence

from clickstream.scenario.plan import Output, Zone, printed
from clickstream.scenario.story import START

KINDS = 4000
PER_SECOND = 100
UTC = Zone("+0000", 0)

Kind = tuple[bytes, bytes]


def output(seed: int, servers: Sequence[str], lines: int) -> Output:
    """So many lines, spread evenly over the servers; the truth holds line counts and no report."""
    shares = {
        name: lines // len(servers) + (number < lines % len(servers))
        for number, name in enumerate(servers)
    }
    return Output(
        {name: _chunks(_kinds(f"load/{seed}/{name}"), share) for name, share in shares.items()},
        {name: {"lines": share, "valid": share, "invalid": {}} for name, share in shares.items()},
        {},
    )


def _kinds(seed: str) -> list[Kind]:
    """What stands before and behind the time of a line."""
    rng = random.Random(seed)  # noqa: S311
    return [(_visitor(rng), _request(rng)) for _ in range(KINDS)]


def _visitor(rng: random.Random) -> bytes:
    return b"10.%d.%d.%d - - [" % (rng.randrange(4), rng.randrange(256), rng.randrange(256))


def _request(rng: random.Random) -> bytes:
    page = (rng.randrange(40), rng.randrange(1000))
    status = rng.choices((200, 304, 404, 500), (96, 2, 1.5, 0.5))[0]
    return b'] "GET /section%d/page%d.html HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; load)"\n' % (
        *page,
        status,
        rng.randrange(200, 60_000),
    )


def _chunks(kinds: list[Kind], lines: int) -> Iterator[bytes]:
    """One chunk per second of the log; consecutive seconds use other kinds of lines."""
    for first in range(0, lines, PER_SECOND):
        time = printed(START + first // PER_SECOND, UTC).encode()
        start = first % KINDS
        some = kinds[start : start + min(PER_SECOND, lines - first)]
        yield b"".join([before + time + behind for before, behind in some])
