"""The time that a line shows, and whether there was such a second."""

import datetime
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_JUNES = (1972, 1981, 1982, 1983, 1985, 1992, 1993, 1994, 1997, 2012, 2015)
_DECEMBERS = (*range(1972, 1980), 1987, 1989, 1990, 1995, 1998, 2005, 2008, 2016)
LEAP_DAYS = frozenset(
    [datetime.date(year, 6, 30) for year in _JUNES]
    + [datetime.date(year, 12, 31) for year in _DECEMBERS]
)
"""The days of UTC that had a second 23:59:60: the list that the IERS publishes (Bulletin C)."""
# POSIX counts no leap second: it has the number of the second behind it.
_LEAP_INSTANTS = {(day.toordinal() + 1 - _EPOCH_DAY) * 86_400 for day in LEAP_DAYS}


class Verdict(NamedTuple):
    """The spooler's judgement of a line.

    `reason` is None for a valid one. Where the line has no possible time, `day` is None and
    `instant` 0. `stamp` (epoch ms, TAB, day) goes between the id and the raw line.
    """

    reason: str | None
    day: str | None
    instant: int
    stamp: bytes


@lru_cache(maxsize=65_536)
def valid_at(printed: bytes) -> Verdict | None:
    """The verdict of a valid line that shows `dd/Mon/yyyy:HH:MM:SS +zzzz`.

    None where no such time exists. A leap second has the day, hour and minute that it shows, and
    the instant of the second that follows it.
    """
    date, hour, minute, rest = printed.split(b":")
    second, zone = rest.split(b" ")
    day, month, year = date.split(b"/")
    offset_minutes = int(zone[1:3]) * 60 + int(zone[3:])
    clock = (int(hour), int(minute), int(second), int(zone[1:3]), int(zone[3:]))
    if any(value > limit for value, limit in zip(clock, (23, 59, 60, 23, 59), strict=True)):
        return None
    try:
        printed_day = datetime.date(int(year), _MONTHS[month], int(day))
    except (ValueError, KeyError):
        return None
    wall = (printed_day.toordinal() - _EPOCH_DAY) * 86_400 + clock[0] * 3600 + clock[1] * 60
    sign = -1 if zone[:1] == b"-" else 1
    instant = wall + clock[2] - sign * offset_minutes * 60
    if clock[2] == 60 and instant not in _LEAP_INSTANTS:
        return None
    iso = printed_day.isoformat()
    return Verdict(None, iso, instant, b"%d\t%s" % (instant * 1000, iso.encode()))
