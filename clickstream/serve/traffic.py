"""The reports that both layers answer together: responses, hourly and traffic."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from clickstream.clocks import DayVolume
from clickstream.days import DaySelection, instant
from clickstream.rows import ALL, Rows, Traffic
from clickstream.serve import compare, merge, notes
from clickstream.serve.layers import Layers
from clickstream.serve.merge import FINAL, FIRST_DAY, LAST_DAY, PROVISIONAL, Part
from clickstream.serve.question import (
    BARS,
    BATCH,
    KEYS,
    SPEED,
    Answer,
    Grain,
    Question,
    columns,
    no_data,
)
from clickstream.serve.when import WEEKDAYS, weekday

NAMED = 3
GRAINS: dict[str, Grain] = {"responses": "day", "hourly": "hour"}
REPORTS = (*GRAINS, "traffic")
COUNTS = ("success", "failure", "other", "requests")


class Days(NamedTuple):
    """The days that a layer has lines of, in order; of `final` ones only the batch layer's count.

    `counted` are those that the batch layer has counted.
    """

    present: list[str]
    counted: frozenset[str]
    final: frozenset[str]


def answer(layers: Layers, report: str, question: Question) -> Answer:
    """One of these reports; raises NoData, NotRunning where neither layer answers."""
    days = days_of(layers, question)
    layers.check()
    remarks: notes.Notes = ()
    if question.days.needs_newest:
        present, remarks = notes.without_strays(days.present, _volumes(layers, days, question))
        days = days._replace(present=present)
    chosen = _chosen(layers, days, question.days)
    rows, parts = _rows(layers, report, days, chosen, question)
    names, layer = columns(report, question), _said(layers, days, chosen, parts)
    if question.compare and chosen:
        rows, against = _compared(layers, report, rows, days, question)
        names, layer = names + compare.columns(report), f"{layer}; {against}"
    contract = [{key: row[key] for key in names} for row in rows]
    return Answer(contract, names, "requests" if report in BARS else "", layer, remarks)


def days_of(layers: Layers, question: Question) -> Days:
    """The days from which the selection can choose. Those of the speed layer that are final, or
    cannot be chosen, are not looked for.
    """
    runs = {run["date"]: run["final"] for run in layers.runs}
    final = {day for day, is_final in runs.items() if is_final}
    first, last = question.days.first or FIRST_DAY, question.days.last or LAST_DAY
    if question.days.only:
        first = last = question.days.only
    if question.compare:
        first, last = FIRST_DAY, LAST_DAY
    spans = merge.spans_outside(final, first, last)
    seen = layers.realtime.printed_days(spans) if spans and layers.realtime else []
    return Days(sorted({*runs, *seen}), frozenset(runs), frozenset(final))


def parts_of(
    layers: Layers,
    days: Days,
    chosen: list[str],
    server: str | None,
    grain: Grain,
    alike: Callable[[str], Any] | None = None,
) -> list[Part]:
    """The counts of the chosen days, of a server, of ALL, or (None) of each and ALL.

    Final days which `alike` gives the same value may come as one, dated as the first of them.
    """
    batch, speed = open_minutes(layers, days, chosen)
    parts = merge.summed(batch, PROVISIONAL, server, grain)
    parts += merge.summed(speed, SPEED, server, grain)
    final = [day for day in chosen if day in days.final]
    if not final or layers.batch is None:
        return parts
    if grain == "minute":
        rows = layers.batch.traffic(final, None if server == ALL else server, grain)
        return parts + merge.summed(rows, FINAL, server, grain)
    groups: dict[Any, list[str]] = defaultdict(list)
    for day in final:
        groups[alike and alike(day)].append(day)
    for group in groups.values():
        rows = layers.batch.traffic(group, server, grain, together=alike is not None)
        parts += merge.of(rows, FINAL)
    return parts


def open_minutes(
    layers: Layers, days: Days, chosen: list[str]
) -> tuple[list[Traffic], list[Traffic]]:
    """The better row of each server and minute of those chosen days that are not final.

    Those of the batch layer, and those of the speed layer.
    """
    undecided = [day for day in chosen if day not in days.final]
    counted = [day for day in undecided if day in days.counted]
    batch = layers.batch.traffic(counted, None, "minute") if counted and layers.batch else []
    speed, _ = layers.speed_minutes(undecided)
    return merge.better(batch, speed)


def come_since(layers: Layers, question: Question, counted: list[str]) -> str:
    """How many requests have come since these days were counted, and of days not counted yet."""
    days = days_of(layers, question)
    missing = [day for day in days.present if day not in days.counted]
    if question.days.count:
        missing = [day for day in missing if counted and day >= counted[0]]
    else:
        missing = question.days.within(missing)
    chosen = [day for day in sorted({*counted, *missing}) if day not in days.final]
    if chosen and layers.realtime is None:
        return f"how many requests have come since is not known: {layers.away[SPEED].message}"
    return "; ".join(
        f"{day}: {n} requests {'since' if day in days.counted else 'not counted yet'}"
        for day, n in _since(layers, days, chosen).items()
    )


def _since(layers: Layers, days: Days, chosen: list[str]) -> dict[str, int]:
    since = dict.fromkeys(chosen, 0)
    for row in chain(*open_minutes(layers, days, chosen)):
        since[row.date] += row.requests
    counted = [day for day in since if day in days.counted]
    rows = layers.batch.traffic(counted, ALL, "day") if counted and layers.batch else []
    for row in rows:
        since[row.date] -= row.requests
    return since


def _volumes(layers: Layers, days: Days, question: Question) -> dict[str, DayVolume]:
    """What is stored of each day; where both layers have it, by the one that has more."""
    volumes = notes.volumes(layers.runs)
    undecided = [day for day in days.present if day not in days.final]
    # Minutes of days that may be chosen are needed anyway, unless the newest day is a stray one.
    count = question.days.count or 1
    near, far = undecided[-count:], undecided[:-count]
    _, seen = layers.speed_minutes(near)
    if far and layers.realtime:
        seen = seen | layers.realtime.volumes(merge.spans_of(far))
    for day, volume in seen.items():
        if day not in volumes or volume.lines > volumes[day].lines:
            volumes[day] = volume
    return volumes


def _rows(
    layers: Layers, report: str, days: Days, chosen: list[str], question: Question
) -> tuple[Rows, list[Part]]:
    """The report's rows, and the parts that they were added up from."""
    server = question.server or (ALL if report == "hourly" else None)
    grain = GRAINS.get(report, question.by)
    keys: dict[str, Callable[[Part], Any]] = {"server": lambda part: part.server}
    if grain != "day":
        keys = {grain: lambda part: part.slot} | keys
    if report != "hourly" or question.by_day:
        keys = {"date": lambda part: part.date} | keys
    if question.by_weekday:
        keys = {"weekday": lambda part: weekday(part.date)} | keys
    alike = None if "date" in keys else weekday if question.by_weekday else _alike
    parts = parts_of(layers, days, chosen, server, grain, alike) if chosen else []
    return _summed(parts, keys), parts


def _alike(_: str) -> None:
    """Of all days the same."""


def _summed(parts: Iterable[Part], keys: dict[str, Callable[[Part], Any]]) -> Rows:
    groups: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for part in parts:
        groups[tuple(key(part) for key in keys.values())].append(part)
    rows = []
    for values, members in sorted(groups.items()):
        row = dict(zip(keys, values, strict=True))
        row |= {name: sum(getattr(part, name) for part in members) for name in COUNTS}
        rows.append(row | {"state": merge.state(part.origin for part in members)})
    for row in rows:
        if "weekday" in row:
            row["weekday"] = WEEKDAYS[row["weekday"]]
    return rows


def _compared(
    layers: Layers, report: str, rows: Rows, days: Days, question: Question
) -> tuple[Rows, str]:
    """The rows beside those of the period before, and which period that is."""
    period = question.days.before(days.present)
    chosen = period.within(days.present)
    before, _ = _rows(layers, report, days, chosen, replace(question, days=period))
    keys = [key for key in KEYS if any(key in row for row in rows)]
    shifted = compare.shifted(before, period.length)
    counted = compare.counted_on(chosen, period.length)
    return compare.beside(report, rows, shifted, keys, counted), compare.description(period, chosen)


def _chosen(layers: Layers, days: Days, selection: DaySelection) -> list[str]:
    if selection.only and selection.only not in days.present:
        away = "; ".join(f"the {layer} layer is away" for layer in layers.away)
        raise no_data(selection.only, away or "if its log is ingested: clickstream batch run")
    return selection.within(days.present)


def _said(layers: Layers, days: Days, chosen: list[str], parts: list[Part]) -> str:
    """Which layer answered, as of when, up to which printed minute, and what is from where."""
    texts = [_of_batch(layers, days, [day for day in chosen if day in days.counted])]
    texts.append(_of_speed(layers, parts))
    texts += [f"without the {layer} layer: {why.message}" for layer, why in layers.away.items()]
    return "; ".join(text for text in texts if text)


def _of_batch(layers: Layers, days: Days, chosen: list[str]) -> str:
    if not chosen or layers.batch is None:
        return "batch layer" if layers.chosen == BATCH else ""
    finished = max(run["finished"] for run in layers.runs if run["date"] in set(chosen))
    provisional = [day for day in chosen if day not in days.final]
    state = f"provisional: {', '.join(provisional)}" if provisional else FINAL
    last = layers.batch.last_minute(chosen[-1])
    return f"batch layer, as of {finished}, up to {chosen[-1]} {last}, {state}"


def _of_speed(layers: Layers, parts: list[Part]) -> str:
    """What is from the speed layer; nothing where it was not needed."""
    days = sorted({part.date for part in parts if part.origin == SPEED})
    if not days and layers.chosen != SPEED:
        return ""
    latest = f"speed layer, as of {instant(layers.latest or 0)} (the latest event)"
    if layers.chosen == SPEED:
        return latest
    sums = [part for part in parts if part.server == ALL] or parts
    requests = sum(part.requests for part in sums if part.origin == SPEED)
    return f"{latest}: {requests} requests of {_named(days)}"


def _named(days: list[str]) -> str:
    more = len(days) - NAMED
    return ", ".join(days[:NAMED]) + (f" and {more} more days" if more > 0 else "")
