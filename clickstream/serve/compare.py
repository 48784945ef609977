"""A period beside the one before it: by how much each figure changed."""

from collections.abc import Callable, Sequence

from clickstream.days import DaySelection
from clickstream.rows import Row, Rows
from clickstream.serve.when import WEEKDAYS, later, weekday

MEASURES = {
    "visitors": ("unique_visitors", "requests"),
    "responses": ("success", "failure", "other", "requests"),
    "hourly": ("requests",),
    "traffic": ("requests",),
    "categories": ("requests",),
}


def columns(report: str) -> tuple[str, ...]:
    """The columns that a comparison adds to a report: two for each of its measures."""
    return tuple(f"{name}_{kind}" for name in MEASURES[report] for kind in ("change", "percent"))


def beside(
    report: str, rows: Rows, before: Rows, keys: Sequence[str], counted: Callable[[Row], bool]
) -> Rows:
    """The rows, each with how its measures changed against the row of `before` with its keys.

    Where there is none it was 0 if the period before was `counted` there; else the change is None:
    unknown. Per cent, to a tenth, is None where there was nothing.
    """
    previous = {tuple(row[key] for key in keys): row for row in before}
    nothing = dict.fromkeys(MEASURES[report], 0)
    return [
        row
        | _changes(row, previous.get(tuple(row[key] for key in keys), nothing), MEASURES[report])
        if counted(row)
        else row | dict.fromkeys(columns(report))
        for row in rows
    ]


def shifted(rows: Rows, days: int) -> Rows:
    """The rows with their dates, if they have any, so many days later."""
    return [row | {"date": later(row["date"], days)} if "date" in row else row for row in rows]


def counted_on(days: Sequence[str], length: int) -> Callable[[Row], bool]:
    """A function that is True for a row whose counterpart, `length` days before, has data.

    The counterpart of a date is a day, of a weekday any such day, else the whole period.
    """
    dates = {later(day, length) for day in days}
    weekdays = {WEEKDAYS[weekday(day)] for day in days}

    def counted(row: Row) -> bool:
        if "date" in row:
            return row["date"] in dates
        return row["weekday"] in weekdays if "weekday" in row else bool(days)

    return counted


def description(period: DaySelection, days: Sequence[str]) -> str:
    """The period before in words; `days` are those of it that have data."""
    missing = period.length - len(days)
    text = f"compared with {period.first} to {period.last}"
    return text + f" ({missing} of its {period.length} days have no data)" * bool(missing)


def _changes(row: Row, before: Row, measures: Sequence[str]) -> Row:
    changes: Row = {}
    for name in measures:
        old, change = before[name], row[name] - before[name]
        changes[f"{name}_change"] = change
        changes[f"{name}_percent"] = round(100 * change / old, 1) if old else None
    return changes
