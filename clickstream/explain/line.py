"""A log line, explained: its fields, the verdict, its two times, and which counts it enters. Pure.

It looks at nothing but the settings: what a line would do, whether it was ever spooled or not.
"""

import re
import time
from dataclasses import dataclass
from typing import Any

from clickstream import weblog
from clickstream.config import Settings
from clickstream.config.sections import HOST_AND_AGENT
from clickstream.console.escape import excerpt
from clickstream.days import instant
from clickstream.rows import ALL, Rows
from clickstream.weblog import FORMATS, Entry, categories, formats

_TIME = re.compile(rb" \[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{1,12} [+-][0-9]{4})\] ")
COUNTS = ("report", "server", "of", "adds")


@dataclass(frozen=True)
class Explanation:
    """A line as it would be read. Text is made printable.

    `reason` is empty for a valid line, else one of weblog.REASONS, and `why` says it in words;
    `valid_as` names the formats in which it is valid. `instant` (UTC), `epoch` (the same in s)
    and `day` are None where the time is impossible, `printed`, the wall clock with its zone, where
    the line shows none. `fields` are those of a valid line; `counts` are rows of COUNTS.
    """

    server: str | None
    format: str
    reason: str
    why: str
    valid_as: list[str]
    instant: str | None
    epoch: int | None
    printed: str | None
    day: str | None
    category: str | None
    visitor: str | None
    fields: dict[str, str]
    counts: Rows

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: `verdict` is valid or invalid."""
        return {"verdict": "invalid" if self.reason else "valid", **vars(self)}


def explain(
    settings: Settings, raw: bytes, server: str | None = None, now: float | None = None
) -> Explanation:
    """Explain a line without its line end; one that is stamped is read behind its stamp.

    `server` is the one whose format and name count; None: any server with the format combined.
    `now` is when the speed layer meets it (epoch s). Raises UsageError for an unknown server.
    """
    stamped, raw = _unstamped(raw)
    server = server or stamped
    if server is not None:
        settings.require_server(server)
    form = formats.of(settings, server) if server else weblog.COMBINED
    verdict = weblog.judge(raw, form)
    entry = None if verdict.reason else weblog.parse(raw, form)
    moment = time.time() if now is None else now
    return Explanation(
        server=server,
        format=form.name,
        reason=verdict.reason or "",
        why=weblog.explain(raw, form, verdict.reason) if verdict.reason else "",
        valid_as=[each.name for each in FORMATS.values() if not weblog.judge(raw, each).reason],
        instant=None if verdict.day is None else _utc(verdict.instant),
        epoch=None if verdict.day is None else verdict.instant,
        printed=_printed(raw),
        day=verdict.day,
        category=_shown(categories.of(entry.request, settings.categories)) if entry else None,
        visitor=_shown(_visitor(settings, entry)) if entry else None,
        fields=_fields(entry) if entry else {},
        counts=_counts(settings, entry, server or "its server", moment) if entry else [],
    )


def _unstamped(raw: bytes) -> tuple[str | None, bytes]:
    """The server of a stamped line and the line behind the stamp; a plain line as it is."""
    parts = raw.split(b"\t", 3)
    head = parts[0].split(b":")
    if len(parts) == 4 and len(head) == 4 and head[0] == weblog.STAMP_VERSION.encode():
        return head[1].decode("iso-8859-1"), parts[3]
    return None, raw


def _printed(raw: bytes) -> str | None:
    """The time as it stands in the line: the first one, for a user name cannot hold one."""
    found = _TIME.search(raw)
    return found[1].decode("ascii") if found else None


def _utc(second: int) -> str:
    """As ISO UTC; a wall clock of the year 1 or 9999 may be in another year, which has no name."""
    try:
        return instant(second)
    except OverflowError:
        return f"{second} s since 1970"


def _visitor(settings: Settings, entry: Entry) -> str:
    if settings.batch.visitor == HOST_AND_AGENT:
        return f"{entry.host} {entry.agent or ''}"
    return entry.host


def _fields(entry: Entry) -> dict[str, str]:
    fields = entry._asdict()
    return {key: _shown(str(fields[key])) for key in fields if fields[key] is not None}


def _shown(text: str) -> str:
    return excerpt(text.encode("iso-8859-1", "replace"))


def _counts(settings: Settings, entry: Entry, server: str, now: float) -> Rows:
    category = _shown(categories.of(entry.request, settings.categories))
    visitor = _shown(_visitor(settings, entry))
    kind, both = weblog.status_class(entry.status), f"{server} and {ALL}"
    day, hour = entry.day, f"{entry.hour:02}"
    batch = [
        ("visitors", both, f"{day}, visitor {visitor}", "1 request; 1 visitor, if the day's first"),
        ("distribution", ALL, f"{day}, visitor {visitor}", "1 request; 1 visitor, likewise"),
        ("responses", both, f"{day}, status {entry.status}", f"1 {kind}"),
        ("hourly", both, f"{day}, hour {hour}", "1 request"),
        ("categories", both, f"{day}, category {category}", "1 request"),
    ]
    rows = batch + _realtime(settings, entry, server, category, now)
    return [dict(zip(COUNTS, row, strict=True)) for row in rows]


def _realtime(
    settings: Settings, entry: Entry, server: str, category: str, now: float
) -> list[tuple[str, str, str, str]]:
    limits = settings.speed
    if aside := set_aside(entry.instant, now, limits.max_ahead_seconds):
        return [(name, "", aside, "nothing") for name in ("popularity", "ddos", "health")]
    second = instant(entry.instant)
    windows = (
        f"windows that end at {second} to {instant(entry.instant + limits.window_seconds - 1)}"
    )
    bad = entry.status not in limits.healthy_statuses
    of = f"{windows}, status {entry.status}" if bad else f"status {entry.status} is no failure"
    offender = f"1 request; more than {limits.ddos_requests_per_second} are an offence"
    return [
        ("popularity", f"{server} and {ALL}", f"{windows}, category {category}", "1 request"),
        ("ddos", ALL, f"second {second}, address {_shown(entry.host)}", offender),
        ("health", server if bad else "", of, "1 non-200 response" if bad else "nothing"),
    ]


def set_aside(second: int, now: float, max_ahead_s: int) -> str:
    """Why the speed layer would not count a line of this second; empty where it would."""
    if second <= 0:
        return "set aside by the speed layer: its instant is not after 1970"
    if second > now + max_ahead_s:
        return f"set aside by the speed layer: more than {max_ahead_s:,} s ahead of its arrival"
    return ""
