"""The two layers held against each other, minute by minute, and each difference with its cause.

Both layers count distinct lines, so where they differ one has missed some. How many it may have
missed, and why, is known from elsewhere (`causes`): a difference takes from those numbers, and what
they do not cover is unexplained.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from clickstream.console.escape import show_bytes
from clickstream.rows import Row, Rows, Traffic
from clickstream.serve.causes import Causes

COLUMNS = ("date", "minute", "server", "category", "batch", "speed", "cause", "unexplained")
CLASSES = ("success", "failure", "other")
LINES_ABOVE = "the lines of the minutes above"

Missed = tuple[int, int]
"""Lines that the batch layer, and that the speed layer has missed."""
Categories = Mapping[str, int]
Key = tuple[str, str]
"""Day and server."""


class Difference(NamedTuple):
    """A minute of a server in which the layers differ: requests of each, lines that each missed."""

    date: str
    server: str
    minute: str
    batch: int
    speed: int
    missed: Missed


class Compared(NamedTuple):
    """Rows of COLUMNS, one for each difference, and how many minutes were compared."""

    rows: Rows
    minutes: int

    @property
    def unexplained(self) -> int:
        """The lines without a cause."""
        return sum(row["unexplained"] for row in self.rows)


def compared(batch: Iterable[Traffic], speed: Iterable[Traffic], causes: Causes) -> Compared:
    """Both layers' minutes of the same days."""
    mine, its = ({row[:3]: row for row in rows} for rows in (batch, speed))
    keys = sorted(mine.keys() | its.keys(), key=str)
    found = [_difference(mine.get(key), its.get(key)) for key in keys]
    rows = [_row(each, causes) for each in found if any(each.missed)]
    return Compared(rows, len(keys))


def compared_categories(
    batch: Mapping[Key, Categories],
    speed: Mapping[Key, Categories],
    minutes: Rows,
) -> Rows:
    """Rows of the categories in which the layers differ, by (date, server).

    They are explained by as many lines as the layers differ by in the minutes of that day.
    """
    known: dict[Key, Counter[str]] = defaultdict(Counter)
    for row in minutes:
        known[row["date"], row["server"]] += Counter(
            batch=max(0, row["speed"] - row["batch"]), speed=max(0, row["batch"] - row["speed"])
        )
    return [
        _category_row(key, category, batch[key].get(category, 0), speed[key].get(category, 0), left)
        for key in sorted(batch.keys() & speed.keys())
        for left in (known[key],)
        for category in sorted(batch[key].keys() | speed[key].keys())
        if batch[key].get(category, 0) != speed[key].get(category, 0)
    ]


def shifts(printed: Mapping[int, int], seconds: Mapping[int, int]) -> Iterator[int]:
    """The zones (s east of UTC) by which the requests per UTC minute are those per printed minute.

    Both are by the epoch second of the minute; `printed` takes the wall clock as if it were UTC.
    """
    for quarter in range(-4 * 14, 4 * 14 + 1):
        zone = quarter * 900
        if all(seconds.get(minute - zone, 0) == n for minute, n in printed.items()):
            yield zone


def _difference(batch: Traffic | None, speed: Traffic | None) -> Difference:
    either = batch or speed
    assert either is not None
    counts = [[getattr(row, name, 0) for name in CLASSES] for row in (batch, speed)]
    pairs = list(zip(*counts, strict=True))
    missed = sum(max(0, b - a) for a, b in pairs), sum(max(0, a - b) for a, b in pairs)
    totals = (sum(counts[0]), sum(counts[1]))
    return Difference(either.date, either.server, str(either.slot), *totals, missed)


def _row(each: Difference, causes: Causes) -> Row:
    by_batch, by_speed = each.missed
    why, left = causes.of_batch(each.date, each.server, by_batch)
    more, rest = causes.of_speed(each.date, each.server, by_speed)
    row: Row = {"date": each.date, "minute": each.minute, "server": each.server, "category": None}
    row |= {"batch": each.batch, "speed": each.speed, "cause": "; ".join([*why, *more]) or None}
    return row | {"unexplained": left + rest}


def _category_row(key: Key, category: str, batch: int, speed: int, left: Counter[str]) -> Row:
    layer, missed = ("batch", speed - batch) if speed > batch else ("speed", batch - speed)
    explained = min(missed, left[layer])
    left[layer] -= explained
    row: Row = {"date": key[0], "minute": None, "server": key[1], "category": show_bytes(category)}
    row |= {"batch": batch, "speed": speed, "cause": LINES_ABOVE if explained else None}
    return row | {"unexplained": missed - explained}
