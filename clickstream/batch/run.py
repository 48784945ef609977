"""The selection of days, one Spark job for all of them, and the state of each day."""

import datetime
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from clickstream import master
from clickstream.batch import view_rows
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.days import one_day
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.home import exclusive
from clickstream.master import File
from clickstream.spark import submit
from clickstream.views.batch import ALL, BatchViews, DayInputs, Rows, publish
from clickstream.weblog import formats

MODULE = "clickstream.batch.job"
NEWEST_IS_AT_MOST = datetime.timedelta(days=1)

WHY = {
    "visitor": "a visitor was one {}",
    "categories": "categories were mapped otherwise",
}

Manifests = dict[str, list[File]]


@dataclass(frozen=True)
class DaySelection:
    """The days: one (a day, `yesterday`, `latest`), a range, all; else missing and dirty ones."""

    only: str | None = None
    first: str | None = None
    last: str | None = None
    every: bool = False

    @classmethod
    def parse(
        cls, only: str | None, first: str | None, last: str | None, every: bool
    ) -> "DaySelection":
        """From `--date`, `--from`, `--to`, `--all`; raises UsageError."""
        if sum((bool(only), bool(first or last), every)) > 1:
            raise UsageError("choose days by one of --date, --from/--to, --all")
        named = only if only in ("yesterday", "latest") else _day("--date", only)
        selection = cls(named, _day("--from", first), _day("--to", last), every)
        if selection.first and selection.last and selection.first > selection.last:
            raise UsageError(f"--from {first} is after --to {last}")
        return selection

    @property
    def stale_only(self) -> bool:
        """True where only missing and dirty days are meant."""
        return self == DaySelection()

    def days(self, present: list[str], today: datetime.date) -> list[str]:
        """The selected ones of the days present (sorted); raises NoData for a single one.

        `latest` leaves out what lies in the future: a line dated 9999 is not the latest day.
        """
        if self.only is None:
            first, last = self.first or "", self.last or "9999-12-31"
            return [day for day in present if first <= day <= last]
        wanted = self.only
        if wanted == "yesterday":
            wanted = _day_before(today)
        if wanted == "latest":
            wanted = max(_not_after(present, today + NEWEST_IS_AT_MOST), default="latest")
        if wanted not in present:
            raise _no_data(wanted, present)
        return [wanted]

    def yesterday_hint(self, today: datetime.date | None = None) -> str:
        """The day that `yesterday` means: by UTC, while a log may print another one; else empty."""
        if self.only != "yesterday":
            return ""
        day = _day_before(today or _today())
        return f"yesterday is {day}, by UTC; days are as printed in the logs"


def run(
    settings: Settings,
    selection: DaySelection = DaySelection(),
    watch: Callable[[str], None] = lambda _: None,
) -> Rows:
    """Compute the chosen days; returns their rows of `summary`, [] when there is nothing to do.

    `watch` gets each stage. Raises NoData, NotRunning, ServiceFailed; the previous rows of a day
    then stand. One run at a time in a home.
    """
    formats.check_home(settings)
    with _alone(settings), BatchViews.connect(settings) as views:
        publish(settings, views)
        watch("listing the master copy")
        files = _selected(settings, selection)
        inputs = views.inputs(None if selection.stale_only else list(files))
        plan = _stale(settings, files, inputs) if selection.stale_only else files
        if not plan:
            return []
        submit.submit(settings, _job(plan, inputs), watch)
        return summary(views, sorted(plan))


def repeat(
    turn: Callable[[], None], every_seconds: float, report: Callable[[ClickstreamError], object]
) -> NoReturn:
    """Take a turn, begin to begin, until interrupted. A failed turn is reported; the next comes.

    Raises UsageError: what is wrong then stays wrong.
    """
    while True:
        due = time.monotonic() + every_seconds
        try:
            turn()
        except UsageError:
            raise
        except ClickstreamError as error:
            report(error)
        time.sleep(max(0.0, due - time.monotonic()))


def summary(views: BatchViews, days: list[str]) -> Rows:
    """Rows of date, lines, copies, unique_visitors, files, seconds, final."""
    visitors = {row["date"]: row["unique_visitors"] for row in views.visitors(days, ALL)}
    return [
        {
            "date": row["date"],
            "lines": row["lines"],
            "copies": row["copies"],
            "unique_visitors": visitors[row["date"]],
            "files": row["files"],
            "seconds": row["seconds"],
            "final": row["final"],
        }
        for row in views.runs(days)
    ]


def status(settings: Settings) -> Rows:
    """A row for each day of the master copy or of the views: date, state, final, why, lines, …

    `state`: `fresh`; `dirty`: its closed files are not those that were read, or it was made with
    other settings, as `why` says; `missing`: not computed; `gone`: computed, but the master copy
    has no closed file of it any more. `rejects` are those of the line counts.
    """
    with BatchViews.connect(settings) as views:
        runs = {row["date"]: row for row in views.runs()}
        inputs, rejects = views.inputs(), views.rejects()
    present = _listed(settings, lambda days: days)
    return [
        {"date": day, **_standing(settings, present.get(day), inputs.get(day))}
        | {"final": runs[day]["final"] if day in runs else False}
        | {key: runs[day][key] if day in runs else None for key in ("lines", "copies", "finished")}
        | {"rejects": rejects.get(day, 0)}
        for day in sorted(present.keys() | inputs.keys())
    ]


def _selected(settings: Settings, selection: DaySelection) -> Manifests:
    today = _today()
    files = _listed(settings, lambda days: selection.days(days, today))
    if selection.only and not files:
        raise NoData(
            f"there is no closed file of {selection.only} yet", "is ingest still writing it?"
        )
    return files


def _stale(settings: Settings, manifests: Manifests, inputs: dict[str, DayInputs]) -> Manifests:
    """The missing and dirty ones."""
    return {
        day: files
        for day, files in manifests.items()
        if _standing(settings, files, inputs.get(day))["state"] != "fresh"
    }


def _listed(settings: Settings, choose: Callable[[list[str]], list[str]]) -> Manifests:
    """The closed files of the chosen days, without days that have none."""
    hdfs, root = Hdfs.connect(settings), settings.hdfs.master
    files = {day: master.closed_files(hdfs, root, day) for day in choose(master.days(hdfs, root))}
    return {day: closed for day, closed in files.items() if closed}


def _standing(
    settings: Settings, files: list[File] | None, inputs: DayInputs | None
) -> dict[str, str]:
    """The day's `state`, and `why` it is dirty."""
    if inputs is None:
        return {"state": "missing", "why": ""}
    if files is None:
        return {"state": "gone", "why": ""}
    reasons = ["its files have changed"] * (files != [File(*file) for file in inputs.files])
    for key, value in view_rows.made_with(settings).items():
        if inputs.made_with.get(key) != value:
            reasons.append(WHY[key].format(inputs.made_with.get(key)))
    return {"state": "dirty" if reasons else "fresh", "why": "; ".join(reasons)}


def _job(plan: Manifests, inputs: dict[str, DayInputs]) -> submit.Job:
    before = {day: each.run for day, each in inputs.items() if day in plan}
    size = sum(each.size for files in plan.values() for each in files)
    content = {"run": uuid.uuid4().hex, "before": before, "days": plan}
    return submit.Job("batch", MODULE, content, java_options=submit.options_for(size))


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    busy = "another batch run is already running in this home"
    with exclusive(settings.files.batch_lock, busy, "wait for it"):
        yield


def _day(option: str, text: str | None) -> str | None:
    return None if text is None else one_day(option, text)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _day_before(day: datetime.date) -> str:
    return (day - datetime.timedelta(days=1)).isoformat()


def _not_after(days: list[str], last: datetime.date) -> list[str]:
    return [day for day in days if day <= last.isoformat()]


def _no_data(day: str, present: list[str]) -> NoData:
    span = f"its days are {present[0]} to {present[-1]}" if present else "it is empty"
    return NoData(f"the master copy has no lines of {day}: {span}", "clickstream batch status")
