"""`speed rebuild`: a day of the real-time views, recounted from the master dataset.

The same transform as the stream's, over the lines that the stream has read: those at or below each
file's highest offset. Lines above it are left to the stream, which would count them a second time.
Rejects that were accepted later are in, though the stream has skipped them.
"""

import datetime
from typing import Any

from clickstream import master, pruned
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NoData
from clickstream.spark import submit
from clickstream.spark.submit import Watch
from clickstream.speed import compatibility, control
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.rebuild import Recount
from clickstream.weblog import formats

MODULE = "clickstream.speed.rebuild_job"
COLUMNS = ("date", "batch", "minutes", "lines", "seconds")


def rebuild(settings: Settings, day: str, watch: Watch = lambda _: None) -> dict[str, Any]:
    """Replace a day's buckets; a row as COLUMNS names it, `lines` being those of that UTC day.

    A day is that of the buckets: UTC for clients, categories and non-200, as printed for traffic.
    Raises ClickstreamError while the stream runs or the master dataset is written, or with other
    settings than the stream's; NoData where either has nothing.
    """
    control.refuse_while_writing(settings)
    formats.check_home(settings)
    with Recount.connect(settings) as counted, RealTime.connect(settings) as views:
        counted.begin()
        compatibility.check_lines(settings, views)
    watch("listing the master dataset")
    _refuse_pruned(settings, days_around(day))
    plan = {"day": day} | master.plan(settings, _closed(settings, days_around(day)))
    options = submit.options_for(plan["bytes"])
    job = submit.Job(control.REBUILD, MODULE, plan, java_options=options)
    return submit.submit(settings, job, watch)


def days_around(day: str) -> list[str]:
    """The printed days in which lines of a UTC day may lie: zones are less than a day apart."""
    middle = datetime.date.fromisoformat(day).toordinal()
    around = range(max(middle - 1, 1), min(middle + 2, datetime.date.max.toordinal() + 1))
    return [datetime.date.fromordinal(each).isoformat() for each in around]


def _refuse_pruned(settings: Settings, days: list[str]) -> None:
    """The figures that the views still have would be lost; raises ClickstreamError."""
    removed = sorted(pruned.read(Hdfs.connect(settings), settings).days & {*days})
    if removed:
        raise ClickstreamError(
            f"{', '.join(removed)} was pruned, so figures of its lines would be lost",
            "the real-time views forget them by themselves (cassandra.ttl_days)",
        )


def _closed(settings: Settings, days: list[str]) -> list[Entry]:
    hdfs, roots = Hdfs.connect(settings), [f"{settings.hdfs.master}/dt={day}" for day in days]
    entries = [entry for root in roots for entry in hdfs.walk(root)]
    if used := master.among(hdfs, settings, entries):
        raise ClickstreamError(
            f"{len(used)} files of {days[0]} to {days[-1]} are being written ({used[0].path})",
            "let the agents finish first: clickstream ingest stop",
        )
    if not (closed := master.closed(entries)):
        raise NoData(f"the master dataset has no lines of {days[0]} to {days[-1]}")
    return closed
