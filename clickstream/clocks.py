"""Event clocks that are wrong: days that only such a clock has made, and servers that lag behind.

The newest day decides what `--last` and `latest` mean. One line of a wrong clock must not own it,
so it goes by what is stored of every day: how much there is of it, and when that was stored.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

from clickstream.days import instant

MOST_AHEAD = timedelta(days=1)
"""Zones are less than a day apart: a day may be so far ahead of the clock that stored it."""
QUIET = timedelta(days=3)
FEW = 10


class DayVolume(NamedTuple):
    """The lines of a day, or their bytes, and the UTC day on which the last of them was stored."""

    lines: int
    stored: str

    @classmethod
    def at(cls, lines: int, stored_ms: int) -> "DayVolume":
        """So much, the last of it stored at that moment, in epoch ms."""
        return cls(lines, instant(stored_ms // 1000)[:10])


def newest_day(days: Mapping[str, DayVolume]) -> str | None:
    """The newest day that is no stray one; None where every day is.

    A day is a stray one where it is more than MOST_AHEAD ahead of the clock that stored it. So are
    the newest days where they come more than QUIET after the day before, were not of the time at
    which they were stored, and hold together at most one in FEW of the lines of a usual day: the
    smallest of the largest days that hold half of all lines together.
    """
    possible = {day: each for day, each in days.items() if not _is_ahead(day, each)}
    few = _usual(possible) / FEW
    ordered = sorted(possible)
    while ordered:
        start = _last_stretch(ordered)
        stretch = {day: possible[day] for day in ordered[start:]}
        if start == 0 or sum(each.lines for each in stretch.values()) > few:
            break
        if any(_is_of_its_time(day, each) for day, each in stretch.items()):
            break
        ordered = ordered[:start]
    return ordered[-1] if ordered else None


def strays(days: Mapping[str, DayVolume]) -> list[str]:
    """The stray days behind the newest one, in order."""
    newest = newest_day(days) or ""
    return sorted(day for day in days if day > newest)


def notes(newest: str | None, strays: Sequence[str]) -> list[str]:
    """A sentence that names the stray days, each as it is to be shown; none where there are none.

    The newest day is then the latest.
    """
    if not strays:
        return []
    latest = f"the latest day is {newest}" if newest else "there is no latest day"
    return [f"{latest}: passed over as of a wrong clock: {', '.join(strays)}"]


def behind(latest: Mapping[str, int], more_than_s: int) -> dict[str, int]:
    """How many seconds a server's latest event is behind that of any, where it is more than that.

    `latest`: by server, in epoch seconds.
    """
    newest = max(latest.values(), default=0)
    lags = {server: newest - each for server, each in sorted(latest.items())}
    return {server: lag for server, lag in lags.items() if lag > more_than_s}


def _is_ahead(day: str, each: DayVolume) -> bool:
    return date.fromisoformat(day) - date.fromisoformat(each.stored) > MOST_AHEAD


def _is_of_its_time(day: str, each: DayVolume) -> bool:
    return date.fromisoformat(each.stored) - date.fromisoformat(day) <= MOST_AHEAD


def _usual(days: Mapping[str, DayVolume]) -> int:
    missing = sum(each.lines for each in days.values()) / 2
    for lines in sorted((each.lines for each in days.values()), reverse=True):
        missing -= lines
        if missing <= 0:
            return lines
    return 0


def _last_stretch(ordered: list[str]) -> int:
    """The index of the first day of the last stretch without a gap."""
    moments = [date.fromisoformat(day) for day in ordered]
    gaps = [n for n, (one, other) in enumerate(pairwise(moments), 1) if other - one > QUIET]
    return gaps[-1] if gaps else 0
