"""The plan of a generated log: days of quiet traffic, then half an hour of trouble.

The last stretch, counted back from the end: a flood of one address on the first server (1,200 s),
one of another over two servers at once (1,000 s), one at exactly the bound (950 s), an outage of
the first server (900 to 782 s) that is over well before the end, a shift from one favourite page
to another (300 s), and an outage of the last server that lasts (from 120 s).
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from clickstream.days import DAY_SECONDS
from clickstream.scenario import site
from clickstream.scenario.plan import BadLine, Log, Page, Request, Zone, printed
from clickstream.weblog import MAX_LINE_BYTES

START = int(datetime(2015, 5, 16, tzinfo=UTC).timestamp())
EVENING = int(datetime(2015, 5, 18, 18, 30, tzinfo=UTC).timestamp())
END = int(datetime(2015, 5, 18, 21, 30, tzinfo=UTC).timestamp())
STRETCH_S = 1800
SHIFT_S = 300
ZONES = (Zone("+0000", 0), Zone("+0200", 7200), Zone("-0330", -12_600))
TROUBLE_EVERY = 25
CYCLE_S = 600
FLOOD_AT_S = 20
OUTAGE_S = range(120, 180, 3)
LATE_SHARE = 0.03

Line = Request | BadLine


class Shape(NamedTuple):
    """How big a story is: `history` requests per server from `start` on, then one each `step_s`."""

    start: int
    history: int
    step_s: int
    visitors: int
    bad_lines: int
    long_lines: bool


SHAPES = {
    "demo": Shape(START, 10_000, 2, 2000, 100, long_lines=True),
    "small": Shape(EVENING, 100, 12, 60, 20, long_lines=False),
}


def plan(shape: Shape, seed: str, servers: Sequence[str]) -> list[Log]:
    """The plans of the servers' logs; the first log lacks its last LF."""
    rng = random.Random(seed)  # noqa: S311
    first, last = servers[0], servers[-1]
    requests: dict[str, list[Request]] = {}
    for number, server in enumerate(servers):
        requests[server] = [*_history(rng, shape, number), *_stretch(rng, shape, number)]
    requests[first] += _flood(site.FLOOD, END - 1200, 140) + _flood(site.FLOOD, END - 1199, 101)
    for server in servers[:2] if len(servers) > 1 else [first, first]:
        requests[server] += _flood(site.SPLIT_FLOOD, END - 1000, 60)
    requests[last] += _flood(site.BUSY_BUT_LEGAL, END - 950, 100)
    requests[first] += _outage(rng, shape, END - 900, 40)
    requests[last] += _outage(rng, shape, END - 120, 25)
    return [
        Log(server, zone, _arranged(rng, shape, zone, requests[server]), closed=server != first)
        for server, zone in zip(servers, _zones(len(servers)), strict=True)
    ]


def shifted(log: Log, by_s: int) -> Log:
    """The log with its requests so much later, and its last line closed."""
    lines = [
        line._replace(instant=line.instant + by_s) if isinstance(line, Request) else line
        for line in log.lines
    ]
    return log._replace(lines=lines, closed=True)


def going_on(shape: Shape, seed: str, servers: Sequence[str], start: int) -> Iterator[list[Log]]:
    """What each server logs in each second from `start` on, without end.

    Every ten minutes the first server is flooded, and the last one has an outage that is over by
    the next.
    """
    rng = random.Random(seed)  # noqa: S311
    zones = _zones(len(servers))
    for turn, instant in enumerate(itertools.count(start)):
        requests = [_second(rng, shape, number, instant) for number in range(len(servers))]
        if turn % CYCLE_S == FLOOD_AT_S:
            requests[0] += _flood(site.FLOOD, instant, 140)
        if turn % CYCLE_S in OUTAGE_S:
            requests[-1] += _outage(rng, shape, instant, 1)
        yield [
            Log(server, zone, [*lines], closed=True)
            for server, zone, lines in zip(servers, zones, requests, strict=True)
        ]


def _second(rng: random.Random, shape: Shape, number: int, instant: int) -> list[Request]:
    return [
        _request(rng, shape, number, instant, _page(rng), "200") for _ in range(rng.randrange(4))
    ]


def _zones(count: int) -> list[Zone]:
    return [ZONES[number % len(ZONES)] for number in range(count)]


def _history(rng: random.Random, shape: Shape, number: int) -> Iterator[Request]:
    """Quiet days; one line in a hundred stands twice, and both count."""
    span_s = END - STRETCH_S - shape.start
    for _ in range(shape.history):
        status = rng.choices(list(site.STATUSES), list(site.STATUSES.values()))[0]
        instant = shape.start + _time_of_traffic(rng, span_s)
        request = _request(rng, shape, number, instant, _page(rng), status)
        yield from [request] * (2 if rng.random() < 0.01 else 1)


def _time_of_traffic(rng: random.Random, span_s: int) -> int:
    """A second of the span: nights are quiet, and interest grows from day to day."""
    while True:
        second = int(rng.random() ** 0.8 * span_s)
        if rng.random() < 0.2 + 0.8 * math.sin(math.pi * second / DAY_SECONDS) ** 2:
            return second


def _stretch(rng: random.Random, shape: Shape, number: int) -> Iterator[Request]:
    """Steady traffic up to the end, every other request for the favourite of the moment.

    Its troubles come evenly, so that only an outage can open an alert.
    """
    for turn, instant in enumerate(range(END - STRETCH_S, END, shape.step_s)):
        favourite = "/sale" if instant >= END - SHIFT_S else "/images"
        page = _page(rng, favourite) if turn % 2 else _page(rng)
        status = "404" if turn % TROUBLE_EVERY == 0 else "200"
        yield _request(rng, shape, number, instant + number, page, status)


def _flood(host: str, instant: int, count: int) -> list[Request]:
    return [
        Request(instant, host, site.LOGIN, size=str(300 + turn), tail=site.TAILS[4])
        for turn in range(count)
    ]


def _outage(rng: random.Random, shape: Shape, start: int, count: int) -> list[Request]:
    return [
        _request(rng, shape, 0, start + 3 * turn, _page(rng), rng.choice(site.TROUBLE))
        for turn in range(count)
    ]


def _request(
    rng: random.Random, shape: Shape, number: int, instant: int, page: Page, status: str
) -> Request:
    size = "-" if status == "304" else str(rng.randrange(200, 60_000))
    tail = rng.choice(site.TAILS)
    host = _visitor(rng, shape, number)
    user = rng.choice(site.USERS)
    return Request(instant, host, page, status, size, user, tail, crlf=rng.random() < 0.02)


def _visitor(rng: random.Random, shape: Shape, number: int) -> str:
    """Few visitors come often; three in five know every server, the others only this one."""
    rank = int(rng.random() ** 3 * shape.visitors)
    home = 0 if rank % 5 < 3 else number + 1
    if rank % 20 == 0:
        return f"2001:db8:{home}::{rank:x}"
    if rank % 20 == 7:
        return f"client{rank}.net{home}.example"
    return f"10.{home}.{rank // 200}.{rank % 200 + 1}"


def _page(rng: random.Random, category: str = "") -> Page:
    """A page of that category; of any, the first ones most often."""
    names = list(site.PAGES)
    chosen = category or names[int(rng.random() ** 1.6 * len(names))]
    return Page(chosen, rng.choice(site.PAGES[chosen]))


def _arranged(
    rng: random.Random, shape: Shape, zone: Zone, requests: Sequence[Request]
) -> list[Line]:
    """In order of time but for some late lines, with bad lines between; the last is the latest."""
    in_time = sorted(requests, key=lambda request: request.instant)
    latest = in_time.pop()._replace(crlf=False)
    lines: list[Line] = [*_displaced(rng, in_time)]
    for bad in _bad_lines(rng, shape, zone):
        lines.insert(rng.randrange(len(lines)), bad)
    if shape.long_lines:
        lines.insert(rng.randrange(len(lines)), _longest(zone))
    return [*lines, latest]


def _displaced(rng: random.Random, requests: list[Request]) -> list[Request]:
    """Some are written late: most by a few lines, a few by a third of the log."""
    for _ in range(int(len(requests) * LATE_SHARE)):
        index = rng.randrange(len(requests))
        late = requests.pop(index)
        requests.insert(index + rng.choice((3, 10, 30, len(requests) // 3)), late)
    return requests


def _bad_lines(rng: random.Random, shape: Shape, zone: Zone) -> Iterator[BadLine]:
    time = printed(END - STRETCH_S, zone)
    for turn in range(shape.bad_lines):
        reason, text = site.BAD_LINES[turn % len(site.BAD_LINES)]
        host = f"10.0.9.{rng.randrange(256)}"
        yield BadLine(reason, text.format(host=host, time=time))
    if shape.long_lines:
        yield BadLine("too-long", _longest(zone).text(zone) + "x")


def _longest(zone: Zone) -> Request:
    """A valid line of just the length that is still allowed."""
    bare = Request(END - STRETCH_S, "10.0.9.9", Page("/long", "GET /long/ HTTP/1.1"), size="1")
    filler = "a" * (MAX_LINE_BYTES - len(bare.text(zone)))
    return bare._replace(page=Page("/long", f"GET /long/{filler} HTTP/1.1"))
