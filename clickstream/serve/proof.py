"""`prove`: what both layers have of the same days, read and held against each other."""

from collections import Counter, defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from clickstream import pruned
from clickstream.days import DAY_SECONDS, DaySelection
from clickstream.errors import ClickstreamError, NoData
from clickstream.rows import ALL, Rows, Traffic
from clickstream.serve import causes, prove
from clickstream.serve.layers import opened
from clickstream.serve.prove import Categories, Key
from clickstream.serve.question import BATCH, SPEED, no_data
from clickstream.serve.when import utc_start

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.batch import BatchViews
    from clickstream.views.realtime import RealTime

MOST_ZONE_S = 14 * 3600


class Proof(NamedTuple):
    """Rows of `prove.COLUMNS`, one for each difference, and sentences on what was compared."""

    rows: Rows
    summary: list[str]

    @property
    def unexplained(self) -> int:
        """The differing lines, and lines of categories, without a known cause."""
        return sum(row["unexplained"] for row in self.rows)

    def without(self, removed: list[str]) -> "Proof":
        """The same; it says that these days were pruned."""
        span = f"{removed[0]} to {removed[-1]}" if removed else ""
        note = f"{len(removed)} pruned days of {span} are not compared"
        return self._replace(summary=[*self.summary, *([note] if removed else [])])

    def check(self) -> None:
        """Raise ClickstreamError where a difference has no known cause."""
        if self.unexplained:
            raise ClickstreamError(
                f"{self.unexplained} differences between the layers have no known cause",
                "is every line in every store? clickstream audit",
            )


def of(settings: "Settings", selection: DaySelection) -> Proof:
    """Both layers over the selected days that the batch layer has counted.

    Raises NotRunning where one of them does not answer, NoData for a single day without data.
    """
    with opened(settings) as layers:
        if layers.batch is None or layers.realtime is None:
            return _of_one(layers.away)
        removed = causes.pruned_days(settings)
        days = selection.within([run["date"] for run in layers.runs if run["date"] not in removed])
        if selection.only and not days:
            raise _no_data(selection.only, removed)
        known = causes.collect(settings, layers.batch, layers.realtime, days)
        done = _compared(layers.batch, layers.realtime, days, known)
        return done.without(selection.within(sorted(removed)))


def _no_data(day: str, removed: Collection[str]) -> NoData:
    return pruned.no_data(day) if day in removed else no_data(day, "clickstream batch run")


def _of_one(away: dict[str, ClickstreamError]) -> Proof:
    for layer in (BATCH, SPEED):
        reason = away.get(layer)
        if reason is not None and not isinstance(reason, NoData):
            raise reason
    reasons = (reason.message for reason in away.values())
    return Proof([], [f"nothing to compare: {'; '.join(reasons)}"])


def _compared(
    batch: "BatchViews", realtime: "RealTime", days: list[str], known: causes.Causes
) -> Proof:
    rows: Rows = []
    minutes = categories = 0
    for day in days:
        seen, _ = realtime.minutes([(day, day)])
        done = prove.compared(batch.traffic([day], None, "minute"), seen, known)
        mine, its = _categories_of(batch, day), _window_categories(realtime, day, seen)
        both = mine.keys() & its.keys() if _same_mapping(batch, realtime, day) else set()
        different = prove.compared_categories(
            {key: mine[key] for key in both}, {key: its[key] for key in both}, done.rows
        )
        rows += [*done.rows, *different]
        minutes += done.minutes
        categories += sum(len(mine[key].keys() | its[key].keys()) for key in both)
    lines = sum(abs(row["batch"] - row["speed"]) for row in rows if row["minute"])
    return Proof(
        rows,
        [
            f"compared {minutes} minutes and {categories} categories of {len(days)} days:"
            f" {lines} requests differ, {sum(row['unexplained'] for row in rows)} without a cause",
            *known.notes,
        ],
    )


def _same_mapping(batch: "BatchViews", realtime: "RealTime", day: str) -> bool:
    """True where both layers have counted by the same categories."""
    made_with = batch.inputs([day])[day].made_with
    return made_with.get("categories") == (realtime.compatibility() or {}).get("categories")


def _categories_of(batch: "BatchViews", day: str) -> dict[Key, Categories]:
    found: dict[Key, dict[str, int]] = defaultdict(dict)
    for row in batch.categories([day], None, None):
        if row["server"] != ALL:
            found[day, row["server"]][row["category"]] = row["requests"]
    return dict(found)


def _window_categories(
    realtime: "RealTime", day: str, minutes: list[Traffic]
) -> dict[Key, Categories]:
    """The speed layer's categories of a printed day; they are by UTC second.

    Of the servers whose clock printed one zone all day: the zone by which the requests of the
    printed minutes are those of the UTC minutes.
    """
    start, end = utc_start(day), utc_start(day) + DAY_SECONDS
    found: dict[Key, Categories] = {}
    counts = realtime.category_counts(start - MOST_ZONE_S - 1, end + MOST_ZONE_S)
    for server, seconds in counts.items():
        printed = {
            start + _after_midnight(str(each.slot)): each.requests
            for each in minutes
            if each.server == server
        }
        per_minute: Counter[int] = Counter()
        for second, keys in seconds.items():
            per_minute[second // 60 * 60] += sum(keys.values())
        for zone in prove.shifts(printed, per_minute) if printed else ():
            sums: Counter[str] = Counter()
            for second, keys in seconds.items():
                if start - zone <= second < end - zone:
                    sums.update(keys)
            if sums.total() == sum(printed.values()):
                found[day, server] = sums
                break
    return found


def _after_midnight(clock: str) -> int:
    """Seconds of HH:MM."""
    return 3600 * int(clock[:2]) + 60 * int(clock[3:])
