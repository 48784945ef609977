"""Which days to compute, one Spark job for all of them, and how each day stands."""

import datetime
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickstream import formats, spark
from clickstream.batch import master
from clickstream.batch.master import File
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.hdfs import Hdfs
from clickstream.views.batch import ALL, BatchViews, Rows, publish

JOB = Path(__file__).parent / "job.py"
SHORT_BYTES = 100 * 2**20
NEWEST_IS_AT_MOST = datetime.timedelta(days=1)

Manifests = dict[str, list[File]]


@dataclass(frozen=True)
class Choice:
    """Which days: one (a day, `yesterday`, `latest`), a range, all; else missing and dirty ones."""

    only: str | None = None
    first: str | None = None
    last: str | None = None
    every: bool = False

    @classmethod
    def parse(cls, only: str | None, first: str | None, last: str | None, every: bool) -> "Choice":
        """From `--date`, `--from`, `--to`, `--all`; raises UsageError."""
        if sum((bool(only), bool(first or last), every)) > 1:
            raise UsageError("choose days by one of --date, --from/--to, --all")
        named = only if only in ("yesterday", "latest") else _day("--date", only)
        choice = cls(named, _day("--from", first), _day("--to", last), every)
        if choice.first and choice.last and choice.first > choice.last:
            raise UsageError(f"--from {first} is after --to {last}")
        return choice

    @property
    def stale_only(self) -> bool:
        """Whether only missing and dirty days are meant."""
        return self == Choice()

    def days(self, present: list[str], today: datetime.date) -> list[str]:
        """Those of the days present (sorted) that are asked for; raises NoData for a single one.

        `latest` leaves out what lies in the future: a line dated 9999 is not the latest day.
        """
        if self.only is None:
            first, last = self.first or "", self.last or "9999-12-31"
            return [day for day in present if first <= day <= last]
        wanted = self.only
        if wanted == "yesterday":
            wanted = (today - datetime.timedelta(days=1)).isoformat()
        if wanted == "latest":
            wanted = max(_not_after(present, today + NEWEST_IS_AT_MOST), default="latest")
        if wanted not in present:
            raise _no_data(wanted, present)
        return [wanted]


def run(
    settings: Settings, choice: Choice = Choice(), watch: Callable[[str], None] = lambda _: None
) -> Rows:
    """Compute the chosen days; returns their rows of `summary`, [] when there is nothing to do.

    `watch` hears each stage. Raises NoData, NotRunning, ServiceFailed; the previous rows of a day
    then stand. One run at a time in a home.
    """
    formats.check_home(settings)
    with _alone(settings), BatchViews.connect(settings) as views:
        publish(settings, views)
        watch("listing the master copy")
        plan = _plan(settings, choice, views)
        if not plan:
            return []
        if not spark.class_archive().exists():
            watch("preparing Spark (once, half a minute)")
            spark.prepare(settings)
        spark.submit(settings, _job(settings, plan), watch)
        return summary(views, sorted(plan))


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
    """A row for each day of the master copy or of the views: date, state, final, lines, …

    `state`: `fresh`; `dirty`: its closed files are not those that were read, or its categories
    were mapped otherwise; `missing`: not
    computed; `gone`: computed, but the master copy has no closed file of it any more.
    """
    with BatchViews.connect(settings) as views:
        runs = {row["date"]: row for row in views.runs()}
        known = _known(settings, views)
    present = _listed(settings, lambda days: days)
    return [
        {
            "date": day,
            "state": _state(present.get(day), known.get(day)),
            "final": runs[day]["final"] if day in runs else False,
            "lines": runs[day]["lines"] if day in runs else None,
            "copies": runs[day]["copies"] if day in runs else None,
            "finished": runs[day]["finished"] if day in runs else None,
        }
        for day in sorted(present.keys() | known.keys())
    ]


def _plan(settings: Settings, choice: Choice, views: BatchViews) -> Manifests:
    today = datetime.datetime.now(datetime.UTC).date()
    found = _listed(settings, lambda days: choice.days(days, today))
    if choice.only and not found:
        raise NoData(f"there is no closed file of {choice.only} yet", "is ingest still writing it?")
    known = _known(settings, views) if choice.stale_only else {}
    return {day: files for day, files in found.items() if files != known.get(day)}


def _listed(settings: Settings, choose: Callable[[list[str]], list[str]]) -> Manifests:
    """The closed files of the chosen days, without days that have none."""
    hdfs, root = Hdfs.connect(settings), settings.hdfs.master
    found = {day: master.closed_files(hdfs, root, day) for day in choose(master.days(hdfs, root))}
    return {day: files for day, files in found.items() if files}


def _known(settings: Settings, views: BatchViews) -> Manifests:
    """What each day was computed from: nothing where categories were mapped in another way."""
    same = {day for day, m in views.mappings().items() if m == settings.categories.fingerprint}
    return {
        day: [File(*file) for file in files if day in same]
        for day, files in views.manifests().items()
    }


def _state(present: list[File] | None, known: list[File] | None) -> str:
    if known is None:
        return "missing"
    if present is None:
        return "gone"
    return "fresh" if present == known else "dirty"


def _job(settings: Settings, plan: Manifests) -> spark.Job:
    file = settings.path("run", "batch.plan")
    file.write_text(json.dumps(plan))
    short = sum(each.size for files in plan.values() for each in files) < SHORT_BYTES
    return spark.Job("batch", JOB, (str(file),), java_options=spark.SHORT_JOB if short else ())


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    place = settings.path("run", "batch.lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClickstreamError("another batch run is at work in this home") from None
        yield


def _day(option: str, text: str | None) -> str | None:
    try:
        if text is None or datetime.date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"{option} {text} is no day; write it as 2015-05-18")


def _not_after(days: list[str], last: datetime.date) -> list[str]:
    return [day for day in days if day <= last.isoformat()]


def _no_data(day: str, present: list[str]) -> NoData:
    span = f"its days are {present[0]} to {present[-1]}" if present else "it is empty"
    return NoData(f"the master copy has no lines of {day}: {span}", "clickstream batch status")
