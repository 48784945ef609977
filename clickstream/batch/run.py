"""One Spark job for all selected days, and the state of each day."""

import datetime
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from clickstream import clocks, master, pruned
from clickstream.batch import view_rows
from clickstream.clients.hdfs import Hdfs
from clickstream.clocks import DayVolume
from clickstream.config import Settings
from clickstream.days import DaySelection, utc_today
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.home import exclusive
from clickstream.master import File
from clickstream.rows import ALL, Rows
from clickstream.spark import submit
from clickstream.views.batch import BatchViews, DayInputs, publish
from clickstream.weblog import formats

MODULE = "clickstream.batch.job"

WHY = {
    "visitor": "a visitor was one {}",
    "categories": "categories were mapped otherwise",
}
CAME_SINCE = "lines of it are there, which the next prune removes"

Manifests = dict[str, list[File]]
Volumes = Callable[[], Mapping[str, DayVolume]]


def run(
    settings: Settings,
    selection: DaySelection = DaySelection(),
    watch: Callable[[str], None] = lambda _: None,
) -> Rows:
    """Compute the selected days; returns their rows of `summary`, [] when there is nothing to do.

    An empty selection means the missing and dirty days. `watch` gets each stage. Raises NoData,
    NotRunning, ServiceFailed; the previous rows of a day then stand. One run at a time in a home.
    """
    formats.check_home(settings)
    with alone(settings), BatchViews.connect(settings) as views:
        publish(settings, views)
        watch("listing the master dataset")
        files = _selected(settings, selection)
        inputs = views.inputs(None if selection.is_empty else list(files))
        plan = _stale(settings, files, inputs) if selection.is_empty else files
        if not plan:
            return []
        submit.submit(settings, _job(plan, inputs), watch)
        return summary(views, sorted(plan))


def select(
    selection: DaySelection, present: list[str], today: datetime.date, volumes: Volumes
) -> list[str]:
    """The selected ones of the days present (sorted); raises NoData where a single one is not.

    `volumes` is asked where the newest day matters.
    """
    newest = clocks.newest_day(volumes()) if selection.needs_newest else None
    selection = selection.resolved(newest, today)
    if selection.only and selection.only not in present:
        raise _no_data(selection.only, present)
    return selection.within(present)


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
    """A row for each day of the master dataset or of the views: date, state, final, why, lines, …

    `state`: `fresh`; `dirty`: its closed files are not those that were read, or it was made with
    other settings, as `why` says; `missing`: not computed; `gone`: computed, but the master dataset
    has no closed file of it any more; `pruned`: removed by `clickstream prune`. `rejects` are those
    of the line counts.
    """
    with BatchViews.connect(settings) as views:
        runs = {row["date"]: row for row in views.runs()}
        inputs, rejects = views.inputs(), views.rejects()
    present, removed = _listed(settings, lambda days: days), _pruned(settings)
    return [
        {"date": day, **_standing(settings, present.get(day), inputs.get(day), day in removed)}
        | {"final": runs[day]["final"] if day in runs else False}
        | {key: runs[day][key] if day in runs else None for key in ("lines", "copies", "finished")}
        | {"rejects": rejects.get(day, 0)}
        for day in sorted(present.keys() | inputs.keys() | removed)
    ]


def resolved(settings: Settings, selection: DaySelection) -> tuple[DaySelection, list[str]]:
    """The selection without NAMED_DAYS, as far as there are such days, and what to know of it."""
    notes = [selection.yesterday_hint()] if selection.only == "yesterday" else []
    newest = None
    if selection.needs_newest:
        volumes = _volumes(settings)
        newest = clocks.newest_day(volumes)
        notes += clocks.notes(
            newest, [f"{day} ({volumes[day].lines:,} bytes)" for day in clocks.strays(volumes)]
        )
    return selection.resolved(newest, utc_today()), notes


def _selected(settings: Settings, selection: DaySelection) -> Manifests:
    removed = _pruned(settings)
    if (day := selection.resolved(None, utc_today()).only) in removed:
        raise pruned.no_data(str(day))

    def chosen(days: list[str]) -> list[str]:
        left = [day for day in days if day not in removed]
        return select(selection, left, utc_today(), lambda: _volumes(settings))

    files = _listed(settings, chosen)
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
    return master.closed_files(hdfs, root, choose(master.days(hdfs, root)))


def _volumes(settings: Settings) -> dict[str, DayVolume]:
    removed = _pruned(settings)
    left = _listed(settings, lambda days: [day for day in days if day not in removed])
    return {day: master.volume(files) for day, files in left.items()}


def _pruned(settings: Settings) -> frozenset[str]:
    return pruned.read(Hdfs.connect(settings), settings).days


def standing(
    settings: Settings, inputs: DayInputs | None, same: bool | None, removed: bool
) -> dict[str, str]:
    """The day's `state` (see `status`), and `why` it is dirty, or has lines though it is pruned.

    `same`: its closed files are those of the inputs; None where there are none. `removed`: it was
    pruned.
    """
    if removed:
        return {"state": "pruned", "why": "" if same is None else CAME_SINCE}
    if inputs is None:
        return {"state": "missing", "why": ""}
    if same is None:
        return {"state": "gone", "why": ""}
    reasons = ["its files have changed"] * (not same)
    for key, value in view_rows.made_with(settings).items():
        if inputs.made_with.get(key) != value:
            reasons.append(WHY[key].format(inputs.made_with.get(key)))
    return {"state": "dirty" if reasons else "fresh", "why": "; ".join(reasons)}


def _standing(
    settings: Settings, files: list[File] | None, inputs: DayInputs | None, removed: bool = False
) -> dict[str, str]:
    read = [File(*file) for file in inputs.files] if inputs else []
    return standing(settings, inputs, None if files is None else files == read, removed)


def _job(plan: Manifests, inputs: dict[str, DayInputs]) -> submit.Job:
    before = {day: each.run for day, each in inputs.items() if day in plan}
    size = sum(each.size for files in plan.values() for each in files)
    content = {"run": uuid.uuid4().hex, "before": before, "days": plan}
    return submit.Job("batch", MODULE, content, java_options=submit.options_for(size))


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Nothing else in this home counts or prunes days meanwhile; raises ClickstreamError."""
    busy = "a batch run or a prune is already running in this home"
    with exclusive(settings.files.batch_lock, busy, "wait for it"):
        yield


def _no_data(day: str, present: list[str]) -> NoData:
    span = f"its days are {present[0]} to {present[-1]}" if present else "it is empty"
    return NoData(f"the master dataset has no lines of {day}: {span}", "clickstream batch status")
