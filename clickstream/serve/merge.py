"""One answer from two layers, by server and printed minute. Pure.

Either layer can only miss lines, never invent one: of a minute of a server the layer that counted
more distinct lines has the better row, and the whole row is taken from it. Days that are final are
the batch layer's, whole.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from clickstream.rows import ALL, Traffic
from clickstream.serve.question import MERGED, SPEED, Grain

FINAL, PROVISIONAL = "final", "provisional"
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"

Slot = str | int | None
Key = tuple[str, str, Slot]
"""Date, server and slot."""
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


def of(rows: Iterable[Traffic], origin: str) -> list[Part]:
    """These counts, as they are."""
    return [Part(*row, origin) for row in rows]


def better(
    batch: Iterable[Traffic], speed: Iterable[Traffic]
) -> tuple[list[Traffic], list[Traffic]]:
    """Of each server and minute the row with more requests, the batch layer's on a tie.

    Those of the batch layer, and those of the speed layer.
    """
    mine = {row[:3]: row for row in batch}
    its = []
    for row in speed:
        other = mine.get(row[:3])
        if other is None:
            its.append(row)
        elif row.requests > other.requests:
            del mine[row[:3]]
            its.append(row)
    return [*mine.values()], its


def summed(rows: Iterable[Traffic], origin: str, server: str | None, grain: Grain) -> list[Part]:
    """The sums of minutes over the stretches that they lie in.

    Of one server, of ALL, or (None) of each server and ALL.
    """
    sums: dict[Key, list[int]] = {}
    for row in rows:
        if server in (None, ALL, row.server):
            date, name, slot, *counts = row
            if grain != "minute":
                slot = int(str(slot)[:2]) if grain == "hour" else None
            _add(sums, (date, name, slot), counts)
    if server in (None, ALL):
        each = [*sums.items()]
        if server == ALL:
            sums.clear()
        for (date, _, slot), counts in each:
            _add(sums, (date, ALL, slot), counts)
    return [
        Part(date, name, slot, success, failure, other, requests, origin)
        for (date, name, slot), (success, failure, other, requests) in sums.items()
    ]


def _add(sums: dict[Key, list[int]], key: Key, counts: Sequence[int]) -> None:
    before = sums.get(key)
    if before is None:
        sums[key] = [*counts]
    else:
        for at, n in enumerate(counts):
            before[at] += n


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
