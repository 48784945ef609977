"""`prune`: the days before a day, removed from the stores that keep them until they are told to.

Every step may be repeated. A day is recorded as pruned before anything of it goes, so a prune that
is cut off leaves days that nobody counts or misses, and the next one removes the rest.
"""

from collections.abc import Callable, Sized
from contextlib import nullcontext
from typing import NamedTuple

from clickstream import master, pruned
from clickstream.batch import run as batch
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.days import days_before, utc_today
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.ledger import Ledger
from clickstream.prune import quarantine
from clickstream.prune.quarantine import Cut
from clickstream.rows import Row, Rows
from clickstream.views.batch import BatchViews
from clickstream.views.realtime import RealTime

COLUMNS = ("store", "days", "files", "lines", "bytes")
FIRST = "0001-01-01"

Watch = Callable[[str], None]


class Plan(NamedTuple):
    """What lies before a day: `master` by day, `cuts` of the quarantine, `runs` of the views."""

    before: str
    master: dict[str, list[Entry]]
    cuts: list[Cut]
    runs: Rows

    @property
    def days(self) -> list[str]:
        """The days that something is removed of, in order."""
        rejected = (cut.days for cut in self.cuts)
        return sorted({*self.master, *(run["date"] for run in self.runs)}.union(*rejected))

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to remove."""
        return not (self.master or self.cuts or self.runs)

    def rows(self) -> Rows:
        """A row for each store, as COLUMNS names it."""
        entries = [entry for files in self.master.values() for entry in files]
        rejected = frozenset[str]().union(*(cut.days for cut in self.cuts))
        lines, size = sum(cut.lines for cut in self.cuts), sum(cut.bytes for cut in self.cuts)
        counted = sum(run["lines"] for run in self.runs)
        return [
            _row("master dataset", self.master, len(entries), None, sum(e.size for e in entries)),
            _row("quarantine", rejected, len(self.cuts), lines, size),
            _row("batch views", self.runs, None, counted, None),
        ]


def plan(settings: Settings, before: str, watch: Watch = lambda _: None) -> Plan:
    """What a prune would remove; it changes nothing.

    Raises UsageError for a day that may still go on, ClickstreamError while files of these days are
    written, NotRunning without HDFS or the database of the batch views.
    """
    last = days_before(utc_today().isoformat(), 1)
    if before > last:
        raise UsageError(f"--before {before}: days from {last} on may still go on somewhere")
    hdfs = Hdfs.connect(settings)
    watch("listing the master dataset")
    stored = _stored(hdfs, settings, before)
    watch("reading the quarantine")
    cuts = list(quarantine.cuts(hdfs, settings, before))
    with BatchViews.connect(settings) as views:
        runs = [run for run in views.runs() if run["date"] < before]
    return Plan(before, stored, cuts, runs)


def remaining(settings: Settings, before: str) -> list[str]:
    """Sentences on where lines before a day may be, and a prune does not remove them."""
    return [
        *_real_time(settings, before),
        f"the topic {settings.kafka.topic} keeps lines by its own retention",
        f"the source logs below {settings.hdfs.source} stay: remove those that you need no more,"
        " the ledger knows them all the same",
    ]


def prune(settings: Settings, before: str, watch: Watch = lambda _: None) -> list[str]:
    """Remove what lies before a day; returns the days. Raises as `plan`, and while a batch run
    or another prune is running in this home.
    """
    with batch.alone(settings):
        todo = plan(settings, before, watch)
        hdfs = Hdfs.connect(settings)
        pruned.record_days(hdfs, settings, todo.days)
        watch("removing rows of the batch views")
        with BatchViews.connect(settings) as views:
            views.forget_before(before)
        for number, day in enumerate(todo.master, 1):
            watch(f"removing {day} ({number} of {len(todo.master)})")
            hdfs.delete(f"{settings.hdfs.master}/dt={day}", recursive=True)
        _prune_quarantine(hdfs, settings, todo, watch)
        return todo.days


def _prune_quarantine(hdfs: Hdfs, settings: Settings, todo: Plan, watch: Watch) -> None:
    quarantine.remove_drafts(hdfs, settings)
    path = settings.files.ledger
    with Ledger.open(path) if path.is_file() else nullcontext() as ledger:
        known = {*ledger.reprocessed()} if ledger else set()
        for number, cut in enumerate(todo.cuts, 1):
            watch(f"removing rejected lines (file {number} of {len(todo.cuts)})")
            pruned.record_undated(hdfs, settings, cut.undated)
            if ledger and known:
                # What is reprocessed must be in the quarantine, too: the audit looks for it there.
                going = quarantine.going(hdfs, settings, cut, todo.before)
                ledger.forget_reprocessed([each for each in going if each in known])
            quarantine.remove(hdfs, settings, cut, todo.before)


def _stored(hdfs: Hdfs, settings: Settings, before: str) -> dict[str, list[Entry]]:
    """The files of each day; raises ClickstreamError where one of them is being written."""
    root = settings.hdfs.master
    days = [day for day in master.days(hdfs, root) if day < before]
    stored = {day: list(hdfs.walk(f"{root}/dt={day}")) for day in days}
    entries = [entry for files in stored.values() for entry in files]
    if used := master.among(hdfs, settings, entries) if entries else []:
        raise ClickstreamError(
            f"{len(used)} files of days before {before} are being written ({used[0].path})",
            "let the agents finish first: clickstream ingest status; what a dead agent3 has left,"
            " clickstream ingest start closes",
        )
    return stored


def _row(store: str, days: Sized, files: int | None, lines: int | None, size: int | None) -> Row:
    return dict(zip(COLUMNS, (store, len(days), files, lines, size), strict=True))


def _real_time(settings: Settings, before: str) -> list[str]:
    try:
        with RealTime.connect(settings, reader=True) as views:
            days = views.printed_days([(FIRST, days_before(before, 1))])
    except NoData:
        return []
    except ClickstreamError as error:
        return [f"the real-time views were not asked: {error.message}"]
    if not days:
        return []
    return [
        f"the real-time views have {len(days)} of these days: each row goes by itself, as many days"
        f" after it was written as cassandra.ttl_days said then (now {settings.cassandra.ttl_days})"
    ]
