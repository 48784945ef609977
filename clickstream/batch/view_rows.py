"""A day's counts, as the job collects them, to the rows of the day's tables. Pure.

A count is a dict with `g` (what is counted), `n` lines, `seen` (those that were read for it),
`server`, and by `g` the `digests` of its visitors (base64), each once, `minute` and `status`, or
`category`. A field without value may be absent. Where the job has read copies, another count of the
same takes them away: its `n` is below 0, and its `seen` is 0. Other values of `g` are no matter.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from clickstream.config import Settings
from clickstream.master import File
from clickstream.rows import ALL, Rows
from clickstream.views.batch_tables import DIGEST_BYTES, PART_VISITORS
from clickstream.weblog import status_class

VISITORS, TRAFFIC, CATEGORIES = "visitor", "traffic", "category"

Count = dict[str, Any]


class Run(NamedTuple):
    """One computation of a day: from which files, when (epoch s), how long it took (s), made with
    what (see `made_with`), and the run's own name.
    """

    date: str
    manifest: list[File]
    finished: float
    seconds: float
    made_with: dict[str, str]
    run: str


class Traffic(NamedTuple):
    """Requests of one server, printed minute and status."""

    server: str
    minute: str
    status: str
    requests: int


def made_with(settings: Settings) -> dict[str, str]:
    """The configuration that the rows depend on: a day made with anything else is dirty."""
    return {"visitor": settings.batch.visitor, "categories": settings.categories.fingerprint}


def rows(run: Run, counts: list[Count]) -> dict[str, Rows]:
    """The rows of a day, by table."""
    traffic = [
        Traffic(server, count["minute"], count["status"], count["n"])
        for count in counts
        if count["g"] == TRAFFIC
        for server in (count["server"], ALL)
    ]
    sets = {count["server"]: _digests(count) for count in counts if count["g"] == VISITORS}
    tables = {
        "daily_visitors": _visitors(sets, traffic),
        "visitor_sets": _visitor_sets(sets),
        "daily_responses": _responses(traffic, lambda row: (row.server,), ("server",)),
        "status_counts": _statuses(traffic),
        "hourly_traffic": _responses(
            traffic, lambda row: (row.server, int(row.minute[:2])), ("server", "hour")
        ),
        "minute_traffic": _responses(
            [row for row in traffic if row.server != ALL],
            lambda row: (row.server, row.minute),
            ("server", "minute"),
        ),
        "daily_categories": _categories(counts),
        "batch_runs": [_run(run, counts)],
    }
    return {name: [{"date": run.date} | row for row in table] for name, table in tables.items()}


def unparsed(counts: Iterable[Count]) -> int:
    """How many lines have no fields."""
    return sum(count["n"] for count in counts if count["g"] == TRAFFIC and "status" not in count)


def _digests(count: Count) -> list[bytes]:
    text = base64.b64decode(count["digests"])
    return sorted(text[at : at + DIGEST_BYTES] for at in range(0, len(text), DIGEST_BYTES))


def _visitors(sets: dict[str, list[bytes]], traffic: list[Traffic]) -> Rows:
    unique = {server: len(digests) for server, digests in sets.items()}
    unique[ALL] = len(set().union(*sets.values()))
    requests = _summed((row.server, row.requests) for row in traffic)
    return [
        {"server": server, "unique_visitors": unique[server], "requests": requests[server]}
        for server in sorted(unique)
    ]


def _visitor_sets(sets: dict[str, list[bytes]]) -> Rows:
    return [
        {"server": server, "part": number, "digests": b"".join(part)}
        for server, digests in sets.items()
        for number, part in enumerate(_parts(digests, PART_VISITORS))
    ]


def _parts(digests: list[bytes], size: int) -> Iterable[list[bytes]]:
    return (digests[at : at + size] for at in range(0, len(digests), size))


def _responses(
    traffic: list[Traffic], key: Callable[[Traffic], tuple[Any, ...]], names: tuple[str, ...]
) -> Rows:
    sums = _summed(((key(row), status_class(row.status)), row.requests) for row in traffic)
    table: dict[tuple[Any, ...], Count] = {}
    for (keys, kind), requests in sums.items():
        row = table.setdefault(keys, {"success": 0, "failure": 0, "other": 0, "requests": 0})
        row[kind] += requests
        row["requests"] += requests
    return [dict(zip(names, keys, strict=True)) | row for keys, row in table.items()]


def _statuses(traffic: list[Traffic]) -> Rows:
    sums = _summed(((row.server, row.status), row.requests) for row in traffic)
    return [
        {"server": server, "status": status, "requests": n} for (server, status), n in sums.items()
    ]


def _categories(counts: list[Count]) -> Rows:
    """Ranked by requests, ties by bytes: text of ISO-8859-1 sorts as its bytes do."""
    sums = _summed(
        ((server, count["category"]), count["n"])
        for count in counts
        if count["g"] == CATEGORIES
        for server in (count["server"], ALL)
    )
    ranked = sorted(sums.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    ranks: Counter[str] = Counter()
    rows = []
    for (server, category), requests in ranked:
        ranks[server] += 1
        row = {"server": server, "rank": ranks[server], "category": category}
        rows.append(row | {"requests": requests})
    return rows


def _run(run: Run, counts: list[Count]) -> Count:
    lines = sum(count["n"] for count in counts if count["g"] == TRAFFIC)
    seen = sum(count["seen"] for count in counts if count["g"] == TRAFFIC)
    return {
        "finished": datetime.fromtimestamp(int(run.finished), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(run.seconds, 1),
        "files": len(run.manifest),
        "bytes": sum(file.size for file in run.manifest),
        "closed_ms": max((file.modified_ms for file in run.manifest), default=0),
        "distinct_lines": lines,
        "copies": seen - lines,
        "manifest": json.dumps(run.manifest),
        "made_with": json.dumps(run.made_with),
        "run": run.run,
    }


def _summed(pairs: Iterable[tuple[Any, int]]) -> Counter[Any]:
    sums: Counter[Any] = Counter()
    for key, number in pairs:
        sums[key] += number
    return sums
