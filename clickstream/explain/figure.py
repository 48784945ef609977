"""A figure of a report, explained: which layer counted what, up to where, and the lines behind it.

The parts add up to the figure. The lines come from the closed files of the master dataset, by a
Spark job, and so may be fewer than the speed layer has counted, or more than the batch layer has.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from clickstream import master
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.console.escape import excerpt, show_bytes
from clickstream.days import DAY_SECONDS
from clickstream.errors import NoData, UsageError
from clickstream.explain import lines_job
from clickstream.rows import ALL, Row, Rows
from clickstream.serve import reports, traffic
from clickstream.serve.layers import Layers, connected
from clickstream.serve.question import Answer, Question
from clickstream.serve.when import second
from clickstream.spark import submit
from clickstream.spark.submit import Watch
from clickstream.views.batch import BatchViews
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.reader import day_of

NAME = "explain"
MODULE = lines_job.__name__
REPORTS = ("hourly", "responses", "categories", "popularity", "visitors")
OF_CATEGORIES = ("categories", "popularity")
COUNTS = ("success", "failure", "other", "requests")
PARTS = ("server", "from", "to", "layer", "batch", "speed", "requests")
LINES = ("id", "line")


class Asked(NamedTuple):
    """What figure is meant. `hour` is for hourly, `category` (as a report shows it) for categories
    and popularity, `at` (the window's end, ISO) for popularity alone; None: each there is."""

    report: str
    date: str | None = None
    server: str = ALL
    hour: int | None = None
    category: str | None = None
    at: str | None = None


class Lines(NamedTuple):
    """Distinct lines in closed files of the master dataset, their visitors, the first as LINES."""

    found: int
    visitors: int
    rows: Rows


class Figure(NamedTuple):
    """An explained figure: the report's own rows of it, which layer answered, and its parts.

    A row of PARTS has what each layer counted of a stretch of minutes, or of a window (None: it was
    not looked at), and `requests`, what went into the figure; `sum` adds these up.
    """

    asked: Asked
    answer: Answer
    parts: Rows
    lines: Lines | None = None

    @property
    def sum(self) -> int:
        """The requests of all parts."""
        return sum(part["requests"] for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        lines = self.lines and self.lines._asdict()
        told = {"question": self.asked._asdict(), "answer": self.answer.rows}
        told |= {"layer": self.answer.layer, "notes": list(self.answer.notes)}
        return told | {"parts": self.parts, "sum": self.sum, "lines": lines}


def explain(
    settings: Settings, asked: Asked, lines: int = 0, watch: Watch = lambda _: None
) -> Figure:
    """Explain a figure; with `lines`, that many of the lines behind it, by a Spark job.

    Raises UsageError for a question that the report has not, NoData where it has no row, and as
    `reports.ask`.
    """
    question = _question(settings, asked)
    if asked.report in traffic.REPORTS:
        with connected(settings) as connections:
            layers = Layers(*connections)
            answer = traffic.answer(layers, asked.report, question)
            parts = list(_of_traffic(layers, asked, question))
    else:
        answer = reports.ask(settings, asked.report, question)
        parts = list(_by_server(settings, asked, question))
    chosen = [row for row in answer.rows if _matches(asked, row)]
    if not chosen:
        raise NoData("the report has no such row", f"clickstream report {asked.report}")
    figure = Figure(asked, answer._replace(rows=chosen), parts)
    return figure._replace(lines=_lines(settings, figure, lines, watch)) if lines else figure


def _question(settings: Settings, asked: Asked) -> Question:
    if asked.report not in REPORTS:
        raise UsageError(f"no {asked.report} is explained", f"reports: {', '.join(REPORTS)}")
    if asked.report != "popularity" and (asked.at or not asked.date):
        raise UsageError(f"which day of {asked.report}? Say --date", "--at is for popularity")
    if asked.hour is not None and asked.report != "hourly":
        raise UsageError("--hour is for hourly")
    if asked.category is not None and asked.report not in OF_CATEGORIES:
        raise UsageError(f"--category is for {' and '.join(OF_CATEGORIES)}")
    return Question.parse(settings, date=asked.date, at=asked.at, server=asked.server, top=None)


def _matches(asked: Asked, row: Row) -> bool:
    return asked.hour in (None, row.get("hour")) and asked.category in (None, row.get("category"))


def _of_traffic(layers: Layers, asked: Asked, question: Question) -> Iterator[Row]:
    """Stretches of minutes of a server that come from one layer, with what each has counted."""
    day = str(asked.date)
    days = traffic.days_of(layers, question)
    batch = layers.batch.traffic([day], None, "minute") if layers.batch else []
    speed, _ = layers.speed_minutes([day])
    counted: dict[str, dict[tuple[str, Any], int]] = {
        "batch": {(row.server, row.slot): row.requests for row in batch},
        "speed": {(row.server, row.slot): row.requests for row in speed},
    }
    parts = traffic.parts_of(layers, days, [day], None, "minute")
    hour = None if asked.hour is None else f"{asked.hour:02}:"
    chosen = [
        part
        for part in parts
        if part.server != ALL and asked.server in (ALL, part.server)
        if hour is None or str(part.slot).startswith(hour)
    ]
    chosen.sort(key=lambda part: (part.server, str(part.slot)))
    for (server, origin), group in groupby(chosen, lambda part: (part.server, part.origin)):
        members = list(group)
        row = {"server": server, "from": members[0].slot, "to": members[-1].slot, "layer": origin}
        for layer, counts in counted.items():
            row[layer] = sum(counts.get((server, part.slot), 0) for part in members)
        yield row | {key: sum(getattr(part, key) for part in members) for key in COUNTS}


def _by_server(settings: Settings, asked: Asked, question: Question) -> Iterator[Row]:
    """What each server has of a figure that one layer counts by itself."""
    for server in settings.servers if asked.server == ALL else (asked.server,):
        answer = reports.ask(settings, asked.report, replace(question, server=server))
        rows = [row for row in answer.rows if _matches(asked, row)]
        layer = "speed" if asked.report == "popularity" else "batch"
        requests = sum(row["requests"] for row in rows)
        span = {"from": "00:00", "to": "23:59"}
        if layer == "speed" and answer.rows:
            span = {"from": answer.rows[0]["window_start"], "to": answer.rows[0]["window_end"]}
        counted = {"batch": None, "speed": None} | {layer: requests}
        yield {"server": server} | span | {"layer": layer} | counted | {"requests": requests}


def _lines(settings: Settings, figure: Figure, number: int, watch: Watch) -> Lines:
    values = _values(settings, figure)
    files = _files(settings, figure.asked, values)
    if not files.closed:
        return Lines(0, 0, [])
    plan = master.plan(settings, *files) | {"values": values, "lines": number}
    job = submit.Job(NAME, MODULE, plan, java_options=submit.options_for(plan["bytes"]))
    found = submit.submit(settings, job, watch)
    rows = [
        {"id": row["id"], "line": excerpt(row["text"].encode("iso-8859-1"))}
        for row in found["rows"]
    ]
    return Lines(found["lines"], found["visitors"], rows)


def _values(settings: Settings, figure: Figure) -> dict[str, Any]:
    """The filters of the lines' job."""
    asked = figure.asked
    server = None if asked.server == ALL else asked.server
    values = {"server": server, "hour": asked.hour}
    if asked.category is not None:
        values["category"] = _as_stored(settings, figure)
    if asked.report != "popularity":
        return values | {"day": asked.date}
    first, last = (figure.answer.rows[0][f"window_{end}"] for end in ("start", "end"))
    return values | {"first": second("--at", first) + 1, "last": second("--at", last)}


def _as_stored(settings: Settings, figure: Figure) -> str:
    """The bytes of a category that a report shows."""
    asked = figure.asked
    if asked.report == "popularity":
        window = figure.answer.rows[0]
        first, last = (second("--at", window[f"window_{end}"]) for end in ("start", "end"))
        with RealTime.connect(settings, reader=True) as views:
            found = list(views.categories(asked.server, first, last))
    else:
        with BatchViews.connect(settings, reader=True) as batch:
            rows = batch.categories([str(asked.date)], asked.server, None)
            found = [row["category"] for row in rows]
    return next(name for name in found if show_bytes(name) == asked.category)


def _files(settings: Settings, asked: Asked, values: dict[str, Any]) -> master.Listing:
    """The closed files in which the lines may stand: a window's in any day a zone may print."""
    hdfs, root = Hdfs.connect(settings), settings.hdfs.master
    first = last = str(asked.date)
    if "first" in values:
        first, last = day_of(values["first"] - DAY_SECONDS), day_of(values["last"] + DAY_SECONDS)
    days = [day for day in master.days(hdfs, root) if first <= day <= last]
    return master.listing(hdfs, root, days, "" if asked.server == ALL else asked.server)
