"""The reader of the real-time views."""

import datetime
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from clickstream.alerts import Alert
from clickstream.clocks import DayVolume
from clickstream.days import DAY_SECONDS
from clickstream.rows import Traffic
from clickstream.views.realtime import counts, peaks
from clickstream.views.realtime.counts import Counts
from clickstream.views.realtime.peaks import Peak
from clickstream.views.realtime.store import PART_S, Store, alert_of, epoch

NEVER, EVER = 0, 2**62
PART = 10_000
PARTS = 24  # partitions of one request
MAX_CHANGES = 10_000_000  # of one batch
_EPOCH_DAY = datetime.date(1970, 1, 1)


Span = tuple[str, str]
"""Printed days, from first to last."""
ALWAYS = ("0001-01-01", "9999-12-31")
CLOCKS = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(DAY_SECONDS // 60)]


Volumes = dict[str, DayVolume]
"""By printed day."""
TRAFFIC = (
    "SELECT slot, counts, WRITETIME(counts) AS written FROM buckets WHERE part IN ? AND metric = ?"
)


class Offender(NamedTuple):
    """A client with more requests in one second than the threshold; `second` is epoch UTC."""

    ip: str
    second: int
    requests: int


class AlertChange(NamedTuple):
    """A change of an alert in the order of batches: the `n`-th of its batch."""

    batch: int
    n: int
    event: str
    alert: Alert

    @property
    def position(self) -> tuple[int, int]:
        """Its position among all changes."""
        return self.batch, self.n


class RealTime(Store):
    """The reader. Every count is of distinct lines; instants are epoch seconds UTC."""

    def latest(self) -> int | None:
        """The latest event second over all servers."""
        return max(self.latest_by_server().values(), default=None)

    def latest_by_server(self) -> dict[str, int]:
        """The latest event second of each server that has one."""
        servers = self.status()["servers"]
        return {name: each["latest"] for name, each in servers.items() if each.get("latest")}

    def servers(self) -> list[str]:
        """The servers of which a line was counted."""
        return sorted(self.latest_by_server())

    def last_seconds(self, day: str, servers: Collection[str] | None = None) -> dict[str, int]:
        """The latest event second on a UTC day of each of these servers that has one.

        Without `servers` of those with the last lines of the day. Reads backwards from its end.
        """
        parts = self.parts(counts.IP, day_start(day), day_start(day) + DAY_SECONDS - 1)
        last: dict[str, int] = {}
        size = 1
        while parts and not (last if servers is None else last.keys() >= set(servers)):
            parts, chunk = parts[:-size], parts[-size:]
            sums = self._counts(counts.CATEGORY, chunk[0], chunk[-1] + PART_S - 1)
            last = {server: max(seconds) for server, seconds in sums.items()} | last
            size *= 2
        return last if servers is None else {s: last[s] for s in servers if s in last}

    def categories(self, server: str, start: int, end: int) -> dict[str, int]:
        """Requests per category in (start, end], of a server or of `all`."""
        sums = self._counts(counts.CATEGORY, start + 1, end)
        return dict(counts.of(counts.by_server([sums], start, end), server))

    def category_counts(self, start: int, end: int) -> Counts:
        """Requests by server, second and category in (start, end]."""
        return self._counts(counts.CATEGORY, start + 1, end)

    def offenders(self, day: str | None) -> list[Offender]:
        """Clients above the threshold over all servers, on a UTC day or ever; by second, ip."""
        days = [day] if day else self.days()
        cql = self.prepared("SELECT second, ip, requests FROM ddos WHERE day = ?")
        results = self.run_many([(cql, (each,)) for each in days])
        rows = (row for result in results for row in result)
        offenders = [Offender(row.ip, epoch(row.second), row.requests) for row in rows]
        return sorted(offenders, key=lambda offender: (offender.second, offender.ip))

    def non_200(self, ends: Mapping[str, int]) -> dict[str, int]:
        """Each server's answers other than 200 in the window that ends at its second: (end -
        window, end].
        """
        window = self.settings.speed.window_seconds
        found: dict[str, int] = {}
        for group in _near(ends, window):
            sums = self._counts(
                counts.NON_200, min(group.values()) - window + 1, max(group.values())
            )
            for server, end in group.items():
                of_server = {server: sums.get(server, {})}
                found[server] = counts.by_server([of_server], end - window, end)[server].total()
        return found

    def non_200_peaks(self, day: str | None) -> dict[str, Peak]:
        """Each server's highest trailing count on a UTC day or ever, the earliest on a tie.

        A server whose answers were all 200 is not among them.
        """
        cql = self.prepared(peaks.READ)
        results = self.run_many([(cql, (each,)) for each in ([day] if day else self.days())])
        rows = (row for result in results for row in result)
        return peaks.highest((row.server, Peak(epoch(row.second), row.non_200)) for row in rows)

    def traffic(self, start: int, end: int) -> tuple[Counts, Counts]:
        """The requests by category and the responses counted by health, in (start, end].

        Whole minutes: seconds before `start` and behind `end` may be among them.
        """
        return self._counts(counts.CATEGORY, start + 1, end), self._counts(
            counts.NON_200, start + 1, end
        )

    def alerts(self) -> list[Alert]:
        """Every alert, merged ones too; by first second, kind, key."""
        stored = [alert_of(row) for row in self.run("SELECT * FROM alerts")]
        return sorted(stored, key=lambda alert: (alert.first, alert.kind, alert.key))

    def changes(self, after: tuple[int, int], size: int) -> list[AlertChange]:
        """The first changes of alerts after a position (batch, n), of complete batches."""
        last = self.status()["batch"]
        cql = (
            "SELECT batch_id, n, event, alert FROM alert_changes"
            " WHERE part = ? AND (batch_id, n) > (?, ?) AND (batch_id) <= (?) LIMIT ?"
        )
        changes: list[AlertChange] = []
        for part in range(change_part(max(after[0], 0)), -1 if last is None else last + 1, PART):
            rows = self.run(cql, part, *after, last, size - len(changes))
            changes += [
                AlertChange(row.batch_id, row.n, row.event, Alert.of(row.alert)) for row in rows
            ]
            if len(changes) == size:
                break
        return changes

    def delivered(self, sink: str) -> tuple[int, int] | None:
        """The position of the last change that a sink has taken."""
        row = self.run("SELECT batch_id, n FROM delivered WHERE sink = ?", sink).one()
        return (row.batch_id, row.n) if row else None

    def set_delivered(self, sink: str, position: tuple[int, int]) -> None:
        """Store that a sink has taken every change up to this position; it never goes back."""
        cql = "INSERT INTO delivered (sink, batch_id, n) VALUES (?,?,?) USING TIMESTAMP ?"
        self.run(cql, sink, *position, position[0] * MAX_CHANGES + position[1])

    def printed_days(self, spans: Iterable[Span]) -> list[str]:
        """The printed days of these spans that have traffic, in order."""
        return sorted({day_of(part) for part in self._traffic_parts(spans)})

    def minutes(self, spans: Iterable[Span] = (ALWAYS,)) -> tuple[list[Traffic], Volumes]:
        """Traffic per server and printed minute of these spans of printed days; their volumes.

        The minutes are in no order.
        """
        sums: Counts = {}
        stored: dict[str, int] = {}
        for text, day, written in self._traffic_texts(spans):
            counts.add_packed(sums, text)
            stored[day] = max(written, stored.get(day, 0))
        minutes = [*_minutes(sums)]
        lines: Counter[str] = Counter()
        for minute in minutes:
            lines[minute.date] += minute.requests
        return minutes, _volumes(lines, stored)

    def days(self) -> list[str]:
        """The UTC days of which a line was counted, in order."""
        return sorted({day_of(part) for part in self.parts(counts.IP, NEVER, EVER)})

    def volumes(self, spans: Iterable[Span] = (ALWAYS,)) -> Volumes:
        """The lines of each printed day of these spans, and when the last of them was counted."""
        lines: Counter[str] = Counter()
        stored: dict[str, int] = {}
        for text, day, written in self._traffic_texts(spans):
            lines[day] += sum(n for *_, n in counts.unpack(text))
            stored[day] = max(written, stored.get(day, 0))
        return _volumes(lines, stored)

    def highest(self, server: str, file: str) -> int | None:
        """The highest offset of a log that was counted; None where none was."""
        row = self.run(
            "SELECT highest FROM files WHERE server = ? AND file = ?", server, file
        ).one()
        return None if row is None else int(row.highest)

    def status(self) -> dict[str, Any]:
        """How far the stream came.

        `{"query": id or None, "batch": last batch or None, "servers": {name: {"rows", "copies",
        "set_aside", "skipped", "latest"}}}`; rows are Kafka records, the others are among them.
        """
        row = self.run("SELECT query, batch_id, servers FROM state WHERE name = 'speed'").one()
        if row is None:
            return {"query": None, "batch": None, "servers": {}}
        return {"query": row.query, "batch": row.batch_id, "servers": json.loads(row.servers)}

    def _traffic_parts(self, spans: Iterable[Span]) -> list[int]:
        bounds = [_bounds(span) for span in spans]
        return [part for each in bounds for part in self.parts(counts.MINUTE, *each)]

    def _traffic_texts(self, spans: Iterable[Span]) -> Iterator[tuple[str, str, int]]:
        """Each text of counts by class, its printed day, and when it was stored (epoch us)."""
        cql = self.prepared(TRAFFIC)
        groups = _groups(self._traffic_parts(spans))
        for rows in self.run_many([(cql, (group, counts.MINUTE)) for group in groups]):
            for row in rows:
                yield row.counts, day_of(row.slot), row.written

    def _counts(self, metric: str, first: int, last: int) -> Counts:
        """Sums over the partials of first..last, whole minutes."""
        sums: Counts = {}
        for text in self._texts(metric, first, last):
            counts.add_packed(sums, text)
        return sums

    def _texts(self, metric: str, first: int, last: int) -> Iterator[str]:
        cql = self.prepared(
            "SELECT counts FROM buckets WHERE part IN ? AND metric = ? AND slot >= ? AND slot <= ?"
        )
        bounds = (metric, counts.minute_of(first), last)
        groups = _groups(self.parts(metric, first, last))
        for rows in self.run_many((cql, (group, *bounds)) for group in groups):
            for row in rows:
                yield row.counts


def _groups(parts: list[int]) -> Iterator[list[int]]:
    """The partitions of one request each: it costs the driver as much as the rows of ten."""
    return (parts[at : at + PARTS] for at in range(0, len(parts), PARTS))


def _volumes(lines: Mapping[str, int], stored: Mapping[str, int]) -> Volumes:
    """By day; `stored` in epoch us."""
    return {day: DayVolume.at(lines[day], written // 1000) for day, written in stored.items()}


def _near(ends: Mapping[str, int], apart: int) -> list[dict[str, int]]:
    """The servers in groups, in which each second is near another: what lies so is read at once."""
    groups: list[dict[str, int]] = []
    for server, end in sorted(ends.items(), key=lambda each: each[1]):
        if groups and end - max(groups[-1].values()) <= apart:
            groups[-1][server] = end
        else:
            groups.append({server: end})
    return groups


def change_part(batch: int) -> int:
    """The partition of `alert_changes` a batch lies in, by its first batch."""
    return batch // PART * PART


def day_of(second: int) -> str:
    """The UTC day of an epoch second, yyyy-mm-dd."""
    return _day(second // DAY_SECONDS)


@lru_cache
def _day(number: int) -> str:
    return (_EPOCH_DAY + datetime.timedelta(days=number)).isoformat()


def day_start(day: str) -> int:
    """Epoch seconds of a UTC day's first second."""
    return (datetime.date.fromisoformat(day) - _EPOCH_DAY).days * DAY_SECONDS


def _minutes(sums: Counts) -> Iterator[Traffic]:
    for server, seconds in sums.items():
        for second, keys in seconds.items():
            success, failure = keys.get("success", 0), keys.get("failure", 0)
            other = keys.get("other", 0)
            day, clock = day_of(second), CLOCKS[second % DAY_SECONDS // 60]
            requests = success + failure + other
            yield Traffic(day, server, clock, success, failure, other, requests)


def _bounds(span: Span) -> tuple[int, int]:
    first, last = span
    return day_start(first), day_start(last) + DAY_SECONDS - 1
