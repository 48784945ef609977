"""What every report must answer, added up from the plan of the logs.

The rows have the keys, the shapes and the order of `report NAME --format json`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from clickstream.console.escape import show_bytes
from clickstream.rows import ALL, Row
from clickstream.scenario.plan import Log, Request, wall

TOP = 10
WINDOW_S = 300
DDOS_REQUESTS = 100
HEALTH_NON_200 = 10
OUTCOMES = {
    "success": ("200", "204", "206", "301", "302", "304"),
    "failure": ("400", "403", "404", "500", "502", "503"),
    "other": ("100", "101"),
}
OUTCOME_OF = {status: outcome for outcome, known in OUTCOMES.items() for status in known}


class Event(NamedTuple):
    """A planned request as one server, or "all", counts it; day and hour as printed."""

    server: str
    date: str
    hour: int
    request: Request


def reports(logs: Sequence[Log]) -> dict[str, list[Row]]:
    """The rows of the eight reports, each with its default options."""
    events = list(_events(logs))
    return {
        "visitors": _visitors(events),
        "responses": _responses(events),
        "distribution": _distribution(events),
        "hourly": _hourly(events),
        "categories": _categories(events),
        "popularity": _popularity(events),
        "ddos": _ddos(events),
        "health": _health(logs),
    }


def _events(logs: Sequence[Log]) -> Iterator[Event]:
    for log in logs:
        for request in _requests(log):
            clock = wall(request.instant, log.zone)
            for server in (log.server, ALL):
                yield Event(server, f"{clock:%Y-%m-%d}", clock.hour, request)


def _requests(log: Log) -> Iterator[Request]:
    return (line for line in log.lines if isinstance(line, Request))


def _of_all(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.server == ALL]


def _visitors(events: Iterable[Event]) -> list[Row]:
    hosts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in events:
        hosts[event.date, event.server].append(event.request.host)
    return [
        {
            "date": date,
            "server": server,
            "unique_visitors": len(set(seen)),
            "requests": len(seen),
        }
        for (date, server), seen in sorted(hosts.items())
    ]


def _responses(events: Iterable[Event]) -> list[Row]:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for event in events:
        counts[event.date, event.server][OUTCOME_OF[event.request.status]] += 1
    return [
        {"date": date, "server": server}
        | {outcome: seen[outcome] for outcome in OUTCOMES}
        | {"requests": seen.total()}
        for (date, server), seen in sorted(counts.items())
    ]


def _distribution(events: Iterable[Event]) -> list[Row]:
    days = _visitors(_of_all(events))
    before = [None, *(day["unique_visitors"] for day in days)]
    return [
        {
            "date": day["date"],
            "unique_visitors": day["unique_visitors"],
            "requests": day["requests"],
            "change": None if last is None else day["unique_visitors"] - last,
        }
        for day, last in zip(days, before, strict=False)
    ]


def _hourly(events: Iterable[Event]) -> list[Row]:
    counts = Counter(event.hour for event in _of_all(events))
    return [{"hour": hour, "server": ALL, "requests": counts[hour]} for hour in sorted(counts)]


def _categories(events: Iterable[Event]) -> list[Row]:
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for event in events:
        counts[event.date, event.server][event.request.page.category] += 1
    return [
        {"date": date, "server": server, "category": show_bytes(category), "requests": requests}
        for (date, server), seen in sorted(counts.items())
        for category, requests in _top(seen)
    ]


def _popularity(events: Iterable[Event]) -> list[Row]:
    requests = [event.request for event in _of_all(events)]
    end = max(request.instant for request in requests)
    recent = (request for request in requests if request.instant > end - WINDOW_S)
    window = {"window_start": _iso(end - WINDOW_S), "window_end": _iso(end)}
    return [
        {"rank": rank, "category": show_bytes(category), "requests": count, "server": ALL} | window
        for rank, (category, count) in enumerate(
            _top(Counter(request.page.category for request in recent)), 1
        )
    ]


def _ddos(events: Iterable[Event]) -> list[Row]:
    counts = Counter((event.request.instant, event.request.host) for event in _of_all(events))
    return [
        {"ip": host, "second": _iso(second), "requests": counts[second, host]}
        for second, host in sorted(counts)
        if counts[second, host] > DDOS_REQUESTS
    ]


def _health(logs: Iterable[Log]) -> list[Row]:
    return [_state(log) for log in sorted(logs, key=lambda log: log.server)]


def _state(log: Log) -> Row:
    end = max(request.instant for request in _requests(log))
    non_200 = sum(
        request.status != "200" and request.instant > end - WINDOW_S for request in _requests(log)
    )
    state = "alert" if non_200 > HEALTH_NON_200 else "ok"
    return {"server": log.server, "window_end": _iso(end), "non_200": non_200, "state": state}


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
