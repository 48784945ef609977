"""The two layers: how far the stream is in the topic, what the batch views have, which alerts."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from clickstream import alerts as alerting
from clickstream import master, pruned
from clickstream.alerts import OPEN
from clickstream.batch import run as batch
from clickstream.clients import kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.days import instant
from clickstream.errors import NoData
from clickstream.rows import Row, Rows
from clickstream.speed import control, driver_status
from clickstream.speed import position as positions
from clickstream.status.part import Part, Problem, counted, named
from clickstream.views.batch import BatchViews, DayInputs
from clickstream.views.realtime import RealTime

STATES = ("fresh", "dirty", "missing", "gone", "pruned")
EXPECTED = ("fresh", "pruned")
LEFT_OUT = {"set_aside": "set aside by the speed layer", "skipped": "skipped by the speed layer"}
BATCH_HINT = "clickstream batch run"
ALERT_HINT = "clickstream alert list --state open"
SPEED_HINT = "clickstream speed run --detach"
SPEED_STATUS = "clickstream speed status"
NOTHING = Part("")


def topic(settings: Settings) -> Part:
    """Each server's partition, and how far behind its end the stream is: records, seconds.

    Seconds are the age of the oldest record that the stream has not read. Both are None where the
    checkpoint is not on this machine.
    """
    ends = kafka.offsets(settings)
    position = positions.read(settings)
    rows = [
        _partition(settings, server, ends, position)
        for server in settings.servers
        if kafka.partition_of(settings, server) in ends
    ]
    unread = {row["partition"]: row["position"] for row in rows if row["behind"]}
    ages = kafka.written_at(settings, unread) if unread else {}
    now = time.time()
    for row in rows:
        written = ages.get(row["partition"])
        row["behind_seconds"] = round(max(0.0, now - written), 1) if written else None
    return Part(_topic_summary(rows, position), rows, _topic_problems(settings, rows))


def _partition(
    settings: Settings,
    server: str,
    ends: Mapping[int, tuple[int, int]],
    position: Mapping[int, int] | None,
) -> Row:
    partition = kafka.partition_of(settings, server)
    first, end = ends[partition]
    read = None if position is None else max(first, position.get(partition, first))
    return {
        "server": server,
        "partition": partition,
        "records": end - first,
        "end": end,
        "position": read,
        "behind": None if read is None else max(0, end - read),
        "behind_seconds": None,
    }


def _topic_summary(rows: Rows, position: Mapping[int, int] | None) -> str:
    records = counted(sum(row["records"] for row in rows), "record")
    if position is None:
        return f"{records}; how far the stream is stands in a checkpoint elsewhere"
    behind = [row for row in rows if row["behind"]]
    texts = [f"{row['server']} {row['behind']:,} ({_age(row)})" for row in behind]
    return f"{records}; the speed layer is " + (
        f"behind: {', '.join(texts)}" if texts else "at its end"
    )


def _age(row: Row) -> str:
    seconds = row["behind_seconds"]
    return "age unknown" if seconds is None else f"{seconds:,.1f} s"


def _topic_problems(settings: Settings, rows: Rows) -> list[Problem]:
    unread = sum(row["behind"] or 0 for row in rows)
    if not unread or control.child(settings).running():
        return []
    text = f"the speed layer does not run, and {counted(unread, 'record')} of the topic wait for it"
    return [Problem(text, SPEED_HINT)]


def speed(settings: Settings) -> Part:
    """The stream's driver, and what it did with the records of each server; a row per server."""
    report = control.report(settings)
    driver = {key: report[key] for key in ("running", "healthy", "complaint", "pid", "batch")}
    driver |= {key: report[key] for key in control.DRIVER}
    rows = [
        {"server": server, **counts, "latest": driver_status.moment(counts["latest"])}
        for server, counts in sorted(report["servers"].items())
    ]
    latest = max((each["latest"] for each in report["servers"].values()), default=0)
    as_of = f"as of {instant(latest)} (the latest event)" if latest else "nothing counted yet"
    problems = [Problem(note, SPEED_STATUS, wrong=False) for note in report["notes"]]
    if driver["complaint"]:
        problems.insert(0, Problem(f"the speed layer: {driver['complaint']}", SPEED_STATUS))
    return Part(
        f"{_driver_text(driver)}; {as_of}", [driver | row for row in rows] or [driver], problems
    )


def _driver_text(driver: Mapping[str, Any]) -> str:
    if not driver["running"]:
        return "does not run" + (f" ({driver['complaint']})" if driver["complaint"] else "")
    state = "is well" if driver["healthy"] else driver["complaint"]
    if driver["batch_ms"] is None:
        return f"runs, {state}"
    return f"runs, {state}, {driver['rows_per_s']:.0f} rows/s in batches of {driver['batch_ms']} ms"


def days(settings: Settings) -> Part:
    """The days as `batch status` has them, their files known by path and size alone.

    So HDFS is asked two questions, however many days there are.
    """
    runs, inputs = _computed(settings)
    root, hdfs = settings.hdfs.master, Hdfs.connect(settings)
    present = master.closed_by_day(root, hdfs.tree(root))
    removed = pruned.read(hdfs, settings).days
    rows = []
    for day in sorted(present.keys() | inputs.keys() | removed):
        made, run = inputs.get(day), runs.get(day, {})
        read = sorted((path, size) for path, size, _ in made.files) if made else []
        same = present[day] == read if day in present else None
        rows.append(
            {"date": day, **batch.standing(settings, made, same, day in removed)}
            | {"final": run.get("final", False)}
            | {key: run.get(key) for key in ("lines", "finished")}
        )
    return Part(_days_text(rows), rows, list(_days_problems(rows)))


def _computed(settings: Settings) -> tuple[dict[str, Row], dict[str, DayInputs]]:
    """The run and the inputs of each day in the batch views; none before the first run."""
    try:
        with BatchViews.connect(settings, reader=True) as views:
            return {row["date"]: row for row in views.runs()}, views.inputs()
    except NoData:
        return {}, {}


def _days_text(rows: Rows) -> str:
    states = {state: _of(rows, state) for state in STATES}
    texts = [
        f"{len(names):,} {state}" + (f" ({named(names)})" if state not in EXPECTED else "")
        for state, names in states.items()
        if names
    ]
    final = sum(row["final"] for row in rows)
    finished = max((row["finished"] or "" for row in rows), default="")
    return "; ".join([*texts, f"{final:,} final", f"last run {finished}" if finished else "no run"])


def _days_problems(rows: Rows) -> Iterator[Problem]:
    due = {state: _of(rows, state) for state in ("missing", "dirty")}
    texts = [f"{counted(len(days), f'{state} day')} ({named(days)})" for state, days in due.items()]
    texts = [text for text, days in zip(texts, due.values(), strict=True) if days]
    if texts:
        yield Problem(f"the batch views have {' and '.join(texts)}", BATCH_HINT, wrong=False)


def _of(rows: Rows, state: str) -> list[str]:
    return [row["date"] for row in rows if row["state"] == state]


def alerts(settings: Settings) -> Part:
    """The open alerts, the latest first."""
    try:
        with RealTime.connect(settings, reader=True) as views:
            found = [alert for alert in views.alerts() if alert.state == OPEN]
    except NoData:
        found = []
    rows = [alerting.flat(alert) for alert in reversed(found)]
    if not rows:
        return Part("none open")
    names = named(row["id"] for row in rows)
    due = Problem(f"{counted(len(rows), 'open alert')} ({names})", ALERT_HINT, wrong=False)
    return Part(f"{len(rows):,} open ({names})", rows, [due])


def not_counted(parts: Mapping[str, Part]) -> Part:
    """Lines that were read and that a layer does not count, from the parts that know of them."""
    rows = [
        {"server": row["server"], "layer": "speed", "why": why, "lines": row[key]}
        for row in parts.get("speed", NOTHING).rows
        for key, why in LEFT_OUT.items()
        if row.get(key)
    ]
    rows += [
        {"server": row["server"], "layer": "both", "why": "rejected", "lines": row["rejects"]}
        for row in parts.get("rejects", NOTHING).rows
        if row["rejects"]
    ]
    texts = [f"{row['server']} {row['lines']:,} {row['why']}" for row in rows]
    return Part(", ".join(texts) or "nothing", rows)
