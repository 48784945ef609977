"""The plan of a log: requests whose answers are known, bad lines whose reason is known.

Text stands for bytes (ISO-8859-1) everywhere in a plan.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Zone(NamedTuple):
    """A zone as a server prints it, and what it is in seconds east of UTC."""

    printed: str
    offset_s: int


class Page(NamedTuple):
    """A request line as it stands between the quotes, and the category it belongs to."""

    category: str
    request: str


class Request(NamedTuple):
    """A valid line: `instant` in epoch seconds UTC; `tail` is what the Combined format adds."""

    instant: int
    host: str
    page: Page
    status: str = "200"
    size: str = "-"
    user: str = "-"
    tail: str = ""
    crlf: bool = False

    def text(self, zone: Zone) -> str:
        """The line without its LF."""
        head = f"{self.host} - {self.user} [{printed(self.instant, zone)}]"
        end = "\r" if self.crlf else ""
        return f'{head} "{self.page.request}" {self.status} {self.size}{self.tail}{end}'


class BadLine(NamedTuple):
    """A line that is not valid, and why; `raw` is the line without its LF."""

    reason: str
    raw: str

    def text(self, _: Zone) -> str:
        """The line without its LF."""
        return self.raw


class Log(NamedTuple):
    """The plan of one server's log; `closed` tells whether its last line ends with LF."""

    server: str
    zone: Zone
    lines: list[Request | BadLine]
    closed: bool

    def written(self) -> bytes:
        """The log."""
        text = "\n".join(line.text(self.zone) for line in self.lines)
        return (text + "\n" * self.closed).encode("iso-8859-1")


class Output(NamedTuple):
    """A scenario made: each server's log in pieces, its line counts, and the reports' rows."""

    chunks: dict[str, Iterable[bytes]]
    line_counts: dict[str, dict[str, Any]]
    reports: dict[str, list[dict[str, Any]]]


def output(logs: Sequence[Log], reports: dict[str, list[dict[str, Any]]]) -> Output:
    """Planned logs, written out."""
    chunks: dict[str, Iterable[bytes]] = {log.server: [log.written()] for log in logs}
    return Output(chunks, {log.server: _line_counts(log) for log in logs}, reports)


def wall(instant: int, zone: Zone) -> datetime:
    """The wall clock that a server of that zone prints."""
    return datetime.fromtimestamp(instant, UTC) + timedelta(seconds=zone.offset_s)


@lru_cache(maxsize=4096)
def printed(instant: int, zone: Zone) -> str:
    """`18/May/2015:09:05:59 +0000`"""
    clock = wall(instant, zone)
    return f"{clock:%d}/{MONTHS[clock.month - 1]}/{clock:%Y:%H:%M:%S} {zone.printed}"


def _line_counts(log: Log) -> dict[str, Any]:
    invalid = Counter(line.reason for line in log.lines if isinstance(line, BadLine))
    valid = len(log.lines) - invalid.total()
    return {"lines": len(log.lines), "valid": valid, "invalid": dict(sorted(invalid.items()))}
