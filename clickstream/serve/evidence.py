"""The evidence of an alert: its lines, from the master dataset."""

from typing import Any, NamedTuple

from clickstream import alerts, master
from clickstream.alerts import DDOS, HEALTH, Alert
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.console.escape import show_bytes
from clickstream.days import DAY_SECONDS
from clickstream.errors import NoData
from clickstream.rows import Rows
from clickstream.spark import submit
from clickstream.spark.submit import Watch
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.reader import day_of

NAME = "evidence"
MODULE = "clickstream.serve.evidence_job"
COLUMNS = ("field", "value", "requests")
SHOWN = {DDOS: ("path", "user_agent", "status"), HEALTH: ("status", "path")}


class Evidence(NamedTuple):
    """Distinct lines in all, and rows of COLUMNS: the most frequent values of each field."""

    lines: int
    rows: Rows


def find(settings: Settings, name: str) -> Alert:
    """The alert of an id as it is shown; raises NoData."""
    with RealTime.connect(settings, reader=True) as views:
        for alert in views.alerts():
            if name in (alert.id, alerts.flat(alert)["id"]):
                return alert
    raise NoData(f"there is no alert {name}", "clickstream alert list")


def collect(settings: Settings, alert: Alert, top: int, watch: Watch = lambda _: None) -> Evidence:
    """Read the lines of an alert in the master dataset; `watch` gets each stage.

    ddos: those of the IP from the first to the last second; health: the server's non-200 lines
    that were counted, so from a window before the first second on. Raises NoData where the master
    dataset has none (yet), NotRunning, ServiceFailed.
    """
    first = alert.first
    if alert.kind == HEALTH:
        first -= settings.speed.window_seconds - 1
    files = _files(settings, alert, first)
    values = {
        "first": first,
        "last": alert.last,
        "host": alert.key if alert.kind == DDOS else None,
        "bad": alert.kind == HEALTH,
        "healthy": ",".join(settings.speed.healthy_statuses),
        "top": top,
    }
    rows = _submit(settings, files, values, watch) if files.closed else []
    lines = sum(row["n"] for row in rows if not row["field"])
    if not lines:
        raise NoData(f"the master dataset has no closed file with a line of {show_bytes(alert.id)}")
    return Evidence(lines, _shown(rows, SHOWN[alert.kind]))


def _shown(rows: Rows, fields: tuple[str, ...]) -> Rows:
    return [
        {"field": field, "value": show_bytes(row["value"]), "requests": row["n"]}
        for field in fields
        for row in rows
        if row["field"] == field
    ]


def _files(settings: Settings, alert: Alert, first: int) -> master.Listing:
    """The closed files in which a line of the alert may stand: days are as printed, in any zone."""
    hdfs, root = Hdfs.connect(settings), settings.hdfs.master
    server = alert.key if alert.kind == HEALTH else ""
    ends = {day_of(first - DAY_SECONDS), day_of(alert.last + DAY_SECONDS)}
    days = [day for day in master.days(hdfs, root) if min(ends) <= day <= max(ends)]
    return master.listing(hdfs, root, days, server)


def _submit(
    settings: Settings, files: master.Listing, values: dict[str, Any], watch: Watch
) -> Rows:
    plan = master.plan(settings, *files) | {"values": values}
    job = submit.Job(NAME, MODULE, plan, java_options=submit.options_for(plan["bytes"]))
    rows: Rows = submit.submit(settings, job, watch)["rows"]
    return rows
