"""One answer from two layers, by server and printed minute. Pure.

Either layer can only miss lines, never invent one: of a minute of a server the layer that counted
more distinct lines has the better row, and the whole row is taken from it. Days that are final are
the batch layer's, whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from clickstream.rows import ALL
from clickstream.serve.question import MERGED, SPEED, Grain

if TYPE_CHECKING:
    from clickstream.views.batch import Traffic
    from clickstream.views.realtime.reader import Minute

FINAL, PROVISIONAL = "final", "provisional"
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"

Slot = str | int | None
Span = tuple[str, str]
"""Days, from first to last."""


class Part(NamedTuple):
    """Requests of one server, or of all, in a stretch of printed time, and whose count it is.

    `slot` is a minute (HH:MM) or an hour (0 to 23) of the day, None for all of it; `origin` is
    FINAL or PROVISIONAL of the batch layer, or SPEED.
    """

    date: str
    server: str
    slot: Slot
    success: int
    failure: int
    other: int
    requests: int
    origin: str


def of_batch(rows: Iterable["Traffic"], origin: str) -> Iterator[Part]:
    """The batch layer's rows."""
    return (Part(*row, origin) for row in rows)


def of_speed(rows: Iterable["Minute"]) -> Iterator[Part]:
    """The speed layer's minutes."""
    for row in rows:
        counts = (row.success, row.failure, row.other, row.requests)
        yield Part(row.date, row.server, row.minute, *counts, SPEED)


def better(batch: Iterable[Part], speed: Iterable[Part]) -> list[Part]:
    """Of each server and minute the row with more requests, the batch layer's on a tie."""
    best = {part[:3]: part for part in batch}
    for part in speed:
        other = best.get(part[:3])
        if other is None or part.requests > other.requests:
            best[part[:3]] = part
    return list(best.values())


def summed(parts: Iterable[Part], server: str | None, grain: Grain) -> list[Part]:
    """The sums of minutes over the stretches that they lie in, each origin apart.

    Of one server, of ALL, or (None) of each server and ALL.
    """
    sums: dict[tuple[str, str, Slot, str], list[int]] = {}
    for part in parts:
        name, slot = part.server, part.slot
        if grain != "minute":
            slot = int(str(slot)[:2]) if grain == "hour" else None
        for each in (name, ALL) if server is None else (server,) * (server in (name, ALL)):
            key = (part.date, each, slot, part.origin)
            before = sums.get(key)
            if before is None:
                sums[key] = [*part[3:7]]
            else:
                for at, n in enumerate(part[3:7]):
                    before[at] += n
    return [
        Part(date, name, slot, success, failure, other, requests, origin)
        for (date, name, slot, origin), (success, failure, other, requests) in sums.items()
    ]


def state(origins: Iterable[str]) -> str:
    """The state of a figure that is the sum of parts of these origins."""
    found = set(origins)
    if SPEED in found:
        return SPEED if found == {SPEED} else MERGED
    return PROVISIONAL if PROVISIONAL in found else FINAL


def spans_outside(days: Iterable[str], first: str, last: str) -> list[Span]:
    """The spans from first to last that hold none of these days."""
    spans, start = [], first
    for day in sorted(each for each in days if first <= each <= last):
        if start < day:
            spans.append((start, _shifted(day, -1)))
        if day == LAST_DAY:
            return spans
        start = _shifted(day, 1)
    return [*spans, (start, last)] if start <= last else spans


def spans_of(days: Sequence[str]) -> list[Span]:
    """The spans that are just these days (in order)."""
    spans: list[Span] = []
    for day in days:
        if spans and _shifted(day, -1) == spans[-1][1]:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans


def _shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
