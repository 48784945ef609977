"""Question -> rows. Reads the two views and nothing else; `ask` opens what answers.

Every report is a function of a view and a `Question`. Its rows hold the keys in `COLUMNS`, text
from logs made printable. Days of the batch reports are as printed in the log; the real-time
reports (`popularity`, `ddos`, `health`) go by UTC.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from clickstream.console.escape import show_bytes
from clickstream.days import DaySelection, instant
from clickstream.errors import ClickstreamError, no_line_yet
from clickstream.rows import ALL, Row, Rows
from clickstream.serve import compare, notes, traffic
from clickstream.serve.layers import Connections, Layers, connected
from clickstream.serve.merge import FINAL, PROVISIONAL
from clickstream.serve.question import (
    BARS,
    COLUMNS,
    KEYS,
    OTHER,
    TABLES,
    Answer,
    Question,
    columns,
    no_data,
)
from clickstream.serve.question import BATCH as BATCH_LAYER
from clickstream.serve.when import utc_day

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.batch import BatchViews
    from clickstream.views.realtime import RealTime


__all__ = ["COLUMNS", "TABLES", "Answer", "Question", "ask", "from_batch", "from_realtime"]

OF_A_MOMENT = ("visitors", "distribution")
"""Their two figures belong to one moment, so they stay the batch layer's."""


def ask(
    settings: "Settings", report: str, question: Question, shared: Connections | None = None
) -> Answer:
    """Answer from the layer that holds it, or from both; over `shared` connections, or its own.

    Raises NotRunning or ClickstreamError when the layer's database cannot be reached, NoData
    when the layer, or the one day asked for, is empty.
    """
    with nullcontext(shared) if shared else connected(settings) as connections:
        found = answer(connections, report, question)
    if report == "alerts":
        from clickstream.serve import alerting

        found = found._replace(notes=(*found.notes, *alerting.notes(settings)))
    return found


def answer(connections: Connections, report: str, question: Question) -> Answer:
    """As `ask`, over connections that stay open."""
    if report in REALTIME:
        return from_realtime(connections.realtime(), report, question)
    layers = Layers(*connections, question.layer)
    if report in traffic.REPORTS:
        return traffic.answer(layers, report, question)
    return from_batch(layers, report, question)


def from_batch(layers: Layers, report: str, question: Question) -> Answer:
    """One of the batch reports; raises NoData, NotRunning."""
    if layers.batch is None:
        raise layers.away[BATCH_LAYER]
    present = [run["date"] for run in layers.runs]
    remarks: notes.Notes = ()
    if question.days.needs_newest:
        present, remarks = notes.without_strays(present, notes.volumes(layers.runs))
    days = _chosen(present, question.days)
    names = columns(report, question)
    rows = BATCH[report](layers.batch, days, question) if days else []
    if "state" in names:
        rows = _with_state(rows, layers.runs)
    layer = _batch_layer(layers.runs, days)
    if report in OF_A_MOMENT and (since := traffic.come_since(layers, question, days)):
        layer = f"{layer}; {since}"
    if question.compare and days:
        rows, against = _compared(layers.batch, report, rows, present, question)
        names, layer = names + compare.columns(report), f"{layer}; {against}"
    bar = "requests" if report in BARS else ""
    contract = [{key: row[key] for key in names} for row in rows]
    return Answer(contract, names, bar, layer, remarks)


def from_realtime(views: "RealTime", report: str, question: Question) -> Answer:
    """One of the real-time reports; raises NoData."""
    latest = views.latest()
    if latest is None:
        raise no_line_yet()
    layer = f"speed layer, as of {instant(latest)} (the latest event){notes.left_out(views)}"
    bar = "requests" if report in BARS else ""
    remarks: notes.Notes = ()
    if question.days.needs_newest:
        latest, remarks = notes.latest_without_strays(views, latest)
    if report == "popularity":
        question = replace(question, at=_window_end(views, latest, question))
        remarks = notes.silent_servers(views, question)
    rows = REALTIME[report](views, latest, question)
    return Answer(rows, COLUMNS[report], bar, layer, remarks)


def visitors(views: "BatchViews", days: list[str], question: Question) -> Rows:
    """Unique visitors per day, or of all the days together: each server, and all."""
    if not question.total:
        return views.visitors(days, question.server)
    _check_visitors(views, days)
    span = {"from": days[0], "to": days[-1], "days": len(days)}
    return [
        span | row
        for row in views.visitors_of_range(days)
        if question.server in (None, row["server"])
    ]


def distribution(views: "BatchViews", days: list[str], _: Question) -> Rows:
    """Visitors of each day over all servers, and the change against the previous day present."""
    rows: Rows = []
    before: int | None = None
    for row in views.visitors(None, ALL):
        change = None if before is None else row["unique_visitors"] - before
        before = row["unique_visitors"]
        rows.append(row | {"change": change})
    return [row for row in rows if row["date"] in set(days)]


def categories(views: "BatchViews", days: list[str], question: Question) -> Rows:
    """The most requested categories per day and server."""
    rows = views.categories(days, question.server, question.top)
    rows = [row | {"category": show_bytes(row["category"])} for row in rows]
    if question.other and question.top:
        rest = views.other_categories(days, question.server, question.top)
        rows += [row | {"category": OTHER} for row in rest]
    return sorted(rows, key=lambda row: (row["date"], row["server"]))


def popularity(views: "RealTime", latest: int, question: Question) -> Rows:
    """The most requested categories of a window (start, end] of the event clock."""
    end = latest if question.at is None else question.at
    start = end - question.window
    server = question.server or ALL
    return ranked(
        views.categories(server, start, end), question.top, server, (start, end), question.other
    )


def ranked(
    counts: Mapping[str, int],
    top: int | None,
    server: str,
    window: tuple[int, int],
    other: bool = False,
) -> Rows:
    """Rows of `popularity` from the requests by category of a window (start, end], epoch s."""
    start, end = window
    same = {"server": server, "window_start": instant(start), "window_end": instant(end)}
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rows: Rows = [
        {"rank": rank, "category": show_bytes(category), "requests": requests} | same
        for rank, (category, requests) in enumerate(ordered[:top], 1)
    ]
    rest = sum(requests for _, requests in ordered[top:]) if top else 0
    if other and rest:
        rows.append({"rank": None, "category": OTHER, "requests": rest} | same)
    return rows


def ddos(views: "RealTime", latest: int, question: Question) -> Rows:
    """One row per IP and second above the threshold, over all servers."""
    only = question.days.only
    if only and not views.last_seconds(only):
        raise no_data(only)
    offenders = views.offenders(only)
    days = set(
        question.days.within(sorted({utc_day(each.second) for each in offenders}), utc_day(latest))
    )
    return [
        {"ip": show_bytes(each.ip), "second": instant(each.second), "requests": each.requests}
        for each in offenders
        if utc_day(each.second) in days
    ]


def health(views: "RealTime", _: int, question: Question) -> Rows:
    """Trailing non-200 responses of each server, as of its latest second or at its peak."""
    day, one = question.days.only, question.server if question.server != ALL else None
    servers = [one] if one else views.servers()
    last = views.last_seconds(day, servers) if day else views.latest_by_server()
    if day and not last:
        raise no_data(day)
    ends = {server: last[server] for server in servers if server in last}
    peaks = views.non_200_peaks(day) if question.peak else {}
    now = {} if question.peak else views.non_200(ends)
    return [
        _health_row(server, *peaks.get(server, (end, now.get(server, 0))), question.non_200_limit)
        for server, end in ends.items()
    ]


def alert_rows(views: "RealTime", latest: int, question: Question) -> Rows:
    """The alerts of which a second lies in the days asked for, earliest first."""
    only = question.days.only
    if only and not views.last_seconds(only):
        raise no_data(only)
    from clickstream.serve import alerting

    return alerting.rows(views.alerts(), latest, question)


BATCH: dict[str, Callable[["BatchViews", list[str], Question], Rows]] = {
    "visitors": visitors,
    "distribution": distribution,
    "categories": categories,
}
REALTIME: dict[str, Callable[["RealTime", int, Question], Rows]] = {
    "popularity": popularity,
    "ddos": ddos,
    "health": health,
    "alerts": alert_rows,
}


def _check_visitors(views: "BatchViews", days: list[str]) -> None:
    """Visitors of one kind cannot be counted together with, or held against, those of another."""
    kinds = {each.made_with["visitor"] for each in views.inputs(days).values()}
    if len(kinds) > 1:
        raise ClickstreamError(
            f"in some of these days a visitor is one {', in others one '.join(sorted(kinds))}",
            "count the days in one way: clickstream batch run",
        )


def _with_state(rows: Rows, runs: Rows) -> Rows:
    """The rows of days, each with the state of its day."""
    final = {run["date"] for run in runs if run["final"]}
    return [row | {"state": FINAL if row["date"] in final else PROVISIONAL} for row in rows]


def _compared(
    views: "BatchViews", report: str, rows: Rows, present: list[str], question: Question
) -> tuple[Rows, str]:
    """The rows beside those of the period before, and which period that is."""
    period = question.days.before(present)
    days = period.within(present)
    if report == "visitors":
        _check_visitors(views, question.days.within(present) + days)
    every = replace(question, days=period, top=None)
    before = BATCH[report](views, days, every) if days else []
    keys = [key for key in KEYS if any(key in row for row in rows)]
    shifted = compare.shifted(before, period.length)
    counted = compare.counted_on(days, period.length)
    compared = compare.beside(report, rows, shifted, keys, counted)
    return compared, compare.description(period, days)


def _chosen(present: list[str], days: DaySelection) -> list[str]:
    if days.only and days.only not in present:
        raise no_data(days.only, "if its log is ingested: clickstream batch run")
    return days.within(present)


def _batch_layer(runs: Rows, days: list[str]) -> str:
    chosen = [run for run in runs if run["date"] in set(days)]
    if not chosen:
        return "batch layer"
    provisional = [run["date"] for run in chosen if not run["final"]]
    state = f"provisional: {', '.join(provisional)}" if provisional else "final"
    return f"batch layer, as of {max(run['finished'] for run in chosen)}, {state}"


def _window_end(views: "RealTime", latest: int, question: Question) -> int:
    if question.at is not None:
        return question.at
    if not question.days.only:
        return latest
    last = views.last_seconds(question.days.only)
    if not last:
        raise no_data(question.days.only)
    return max(last.values())


def _health_row(server: str, end: int, count: int, limit: int) -> Row:
    state = "alert" if count > limit else "ok"
    return {"server": server, "window_end": instant(end), "non_200": count, "state": state}
