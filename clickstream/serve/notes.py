"""What should be known of the rows of a report: what wrong clocks did, and what is not counted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clickstream import clocks
from clickstream.clocks import DayVolume
from clickstream.days import duration, instant
from clickstream.rows import ALL, Rows
from clickstream.serve.when import later, utc_start

if TYPE_CHECKING:
    from clickstream.serve.reports import Question
    from clickstream.views.realtime import RealTime

LEFT_OUT = ("set_aside", "skipped")
Notes = tuple[str, ...]


def volumes(runs: Rows) -> dict[str, DayVolume]:
    """The lines of each computed day, and when the last of its files was closed."""
    stored = (run for run in runs if run["closed_ms"])
    return {run["date"]: DayVolume.at(run["lines"], run["closed_ms"]) for run in stored}


def without_strays(present: list[str], volumes: Mapping[str, DayVolume]) -> tuple[list[str], Notes]:
    """The days present without the stray ones behind the newest day, and a note that names them."""
    strays = clocks.strays(volumes)
    return [day for day in present if day not in strays], _notes(volumes)


def latest_without_strays(views: "RealTime", latest: int) -> tuple[int, Notes]:
    """A second of the newest UTC day with a line: the latest one, or one before the stray days."""
    volumes = views.volumes()
    strays, newest = clocks.strays(volumes), clocks.newest_day(volumes)
    if not strays or newest is None:
        return latest, _notes(volumes)
    # Days are as printed; in UTC a line may be of the next one. A stray day is further away.
    days = [day for day in views.days() if day <= later(newest, 1)]
    return utc_start(max(days, default=newest)), _notes(volumes)


def silent_servers(views: "RealTime", question: "Question") -> Notes:
    """A note for each server that has no line in the window of popularity, which `at` ends."""
    end = question.at or 0
    start, latest = end - question.window, views.latest_by_server()
    newest = max(latest.values(), default=0)
    asked = latest if question.server in (None, ALL) else {}
    silent = [each for each in sorted(asked) if not views.categories(each, start, end)]
    return tuple(
        f"{server} has no line in the window; {_clock(latest[server], start, newest)}"
        for server in silent
    )


def _clock(latest: int, start: int, newest: int) -> str:
    if latest > start:
        return f"its latest event is of {instant(latest)}"
    return (
        f"its clock, at {instant(latest)}, is {duration(newest - latest)} behind the latest event"
    )


def _notes(volumes: Mapping[str, DayVolume]) -> Notes:
    named = [f"{day} (lines: {volumes[day].lines:,})" for day in clocks.strays(volumes)]
    return tuple(clocks.notes(clocks.newest_day(volumes), named))


def left_out(views: "RealTime") -> str:
    """The lines that were read and not counted, per server; "" where there is nothing."""
    texts = []
    for server, each in sorted(views.status()["servers"].items()):
        parts = [f"{each[key]} {key.replace('_', ' ')}" for key in LEFT_OUT if each[key]]
        texts += [f"{server} {', '.join(parts)}"] * bool(parts)
    return f"; not counted: {'; '.join(texts)}" if texts else ""
