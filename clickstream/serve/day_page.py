"""A day on one page: its reports together, each from the layer that has it.

One that cannot be answered says why, and takes no other with it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from clickstream.errors import ClickstreamError, NoData
from clickstream.rows import ALL, Rows
from clickstream.serve import reports
from clickstream.serve.layers import Connections, connected
from clickstream.serve.reports import COLUMNS, Question

if TYPE_CHECKING:
    from clickstream.config import Settings

TOP = 10
COMPARED = ("visitors", "responses", "hourly", "categories")
REPORTS = (*COMPARED, "alerts", "health")


class Part(NamedTuple):
    """One report of the day: its rows, the columns of a table, and below it which layer answered.

    `error` says why there are none.
    """

    rows: Rows
    columns: tuple[str, ...]
    layer: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Page:
    """The reports of a day by name, as REPORTS orders them. Alerts and health are of the UTC day.

    `compared`: with the changes against the day before.
    """

    date: str
    compared: bool
    parts: dict[str, Part]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: each report's rows by its name, and beside them what is to be said."""
        errors = {name: part.error for name, part in self.parts.items() if part.error}
        layers = {name: part.layer for name, part in self.parts.items() if part.layer}
        notes = list(dict.fromkeys(note for part in self.parts.values() for note in part.notes))
        rows = {
            name: [{key: row[key] for key in part.columns} for row in part.rows]
            for name, part in self.parts.items()
        }
        return {"date": self.date, **rows, "layers": layers, "notes": notes, "errors": errors}


def page(settings: "Settings", date: str | None = None, compare: bool = False) -> Page:
    """The reports of a day, by default of the newest one.

    Raises the first failure where no report has an answer, as for a day without data.
    """
    parts: dict[str, Part] = {}
    failures: list[ClickstreamError] = []
    with connected(settings) as connections:
        day = date or newest(settings, connections)
        for name in REPORTS:
            try:
                parts[name] = _part(settings, connections, name, day, compare)
            except ClickstreamError as error:
                parts[name] = Part([], (), error=error.message)
                failures.append(error)
    if len(failures) == len(REPORTS):
        raise failures[0]
    return Page(day, compare, parts)


def newest(settings: "Settings", connections: Connections) -> str:
    """The newest day of either layer; raises as `reports.ask` where neither has one."""
    rows = reports.answer(connections, "responses", Question.parse(settings, span="1d")).rows
    if not rows:
        raise NoData("there is no day with data yet", "clickstream batch run")
    return str(max(row["date"] for row in rows))


def _part(
    settings: "Settings", connections: Connections, name: str, day: str, compare: bool
) -> Part:
    options: dict[str, Any] = {"date": day, "compare": compare and name in COMPARED}
    if name == "categories":
        options |= {"server": ALL, "top": TOP}
    if name == "health":
        options |= {"peak": True}
    # Traffic has the hours of each server at once.
    report = "traffic" if name == "hourly" else name
    answer = reports.answer(connections, report, Question.parse(settings, **options))
    changes = [column for column in answer.columns if column.startswith("requests_")]
    columns = (*COLUMNS[name], *changes) if name == "hourly" else answer.columns
    return Part(answer.rows, columns, answer.layer, answer.notes)
