"""The writer of the speed layer: one batch, whole, under its number.

A batch that runs again after a crash finds the state as of the batch before it, so it makes the
same rows, which overwrite its first attempt. `state` is written last: where it names a batch,
everything of that batch is stored.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cassandra.query import PreparedStatement

from clickstream import faultpoints
from clickstream.alerts import Alert, Key
from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.errors import ClickstreamError
from clickstream.rows import ALL
from clickstream.views.realtime import counts, peaks, statements
from clickstream.views.realtime.counts import MINUTE_S, Counts, Leaf
from clickstream.views.realtime.lifecycle import Lifecycle, Offence
from clickstream.views.realtime.reader import EVER, NEVER, change_part, day_of
from clickstream.views.realtime.recent import MinuteKey, Recent
from clickstream.views.realtime.retry import RetryPolicy
from clickstream.views.realtime.statements import Row
from clickstream.views.realtime.store import Store, alert_of, alert_values, part_of

TOP = 10
STAMPS = 10**10  # of one batch: the first half for its attempts, the second for rebuilds after it
SERVER_COUNTS = ("rows", "copies", "set_aside", "skipped", "latest")
RESET = "clickstream speed reset recreates the real-time views from the topic"

BUCKET = (
    "INSERT INTO buckets (part, metric, slot, batch_id, piece, counts) VALUES (?,?,?,?,?,?)"
    " USING TTL ?"
)
PRESENT = "INSERT INTO present (metric, part) VALUES (?,?) USING TTL ?"
STORED = "SELECT counts FROM buckets WHERE part = ? AND metric = ? AND slot = ? AND batch_id < ?"
FILE = (
    "INSERT INTO files (server, file, batch_id, highest, before) VALUES (?,?,?,?,?)"
    " USING TIMESTAMP ?"
)
STATE = (
    "INSERT INTO state (name, query, batch_id, servers, before) VALUES ('speed',?,?,?,?)"
    " USING TIMESTAMP ?"
)
LAST = "SELECT query, batch_id, servers, before FROM state WHERE name = 'speed'"
DDOS = "INSERT INTO ddos (day, second, ip, requests) VALUES (?,?,?,?) USING TTL ? AND TIMESTAMP ?"
POPULARITY = (
    "INSERT INTO popularity (server, rank, as_of, category, requests) VALUES (?,?,?,?,?)"
    " USING TTL ? AND TIMESTAMP ?"
)
FORGET_POPULARITY = "DELETE FROM popularity USING TIMESTAMP ? WHERE server = ?"
HEALTH = (
    "INSERT INTO health (server, window_end, non_200, state) VALUES (?,?,?,?)"
    " USING TTL ? AND TIMESTAMP ?"
)
ALERT = (
    "INSERT INTO alerts (kind, key, first, last, until, peak, peak_second, servers, state,"
    " merged_into, seq, batch_id, before) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
    " USING TTL ? AND TIMESTAMP ?"
)
CHANGE = (
    "INSERT INTO alert_changes (part, batch_id, n, event, alert) VALUES (?,?,?,?,?) USING TTL ?"
)


class Batch(NamedTuple):
    """The counts of one batch.

    `minutes`: partial counts by (metric, minute). `files`: highest offset by (server, file).
    `lines`: by server, records by outcome (counted, copies, set_aside, skipped).
    """

    minutes: dict[MinuteKey, Counts]
    files: dict[tuple[str, str], int]
    lines: dict[str, dict[str, int]]


class Writer(Store):
    """Writes batches in order. `highest` is each (server, file)'s highest offset so far, `ttl_s`
    how long a row stays.

    While Cassandra is unavailable it retries, as `retry` says. Statements are idempotent: one that
    was applied without an answer changes nothing the second time.
    """

    def __init__(self, settings: Settings, cluster: Any) -> None:
        self.retry = RetryPolicy(settings.speed.store_timeout_seconds)
        super().__init__(settings, cluster)
        self.highest: dict[tuple[str, str], int] = {}
        self.servers: dict[str, dict[str, int]] = {}
        self._query = ""
        self._batch = 0
        self._stored: int | None = None
        self._present: set[tuple[str, int]] = set()
        self._recent = Recent(self._load)
        self._alerts = Lifecycle(settings.speed, self._stored_alerts, self._non_200)
        self.ttl_s = settings.cassandra.ttl_days * DAY_SECONDS

    def run(self, cql: str, *values: Any) -> Any:
        """As Store's, with retries."""
        return self.retry.call(lambda: Store.run(self, cql, *values))

    def run_many(self, work: Iterable[tuple[Any, Sequence[Any]]]) -> Iterator[Any]:
        """As Store's, with retries; the results are complete before the first is returned."""
        every = list(work)
        return iter(self.retry.call(lambda: list(Store.run_many(self, every))))

    def prepared(self, cql: str) -> PreparedStatement:
        """As Store's, with retries."""
        return self.retry.call(lambda: Store.prepared(self, cql))

    def resume(self, query: str, batch: int) -> None:
        """Load the state as of the batch before this one.

        Raises ClickstreamError where the views were made by another checkpoint, or miss a batch.
        """
        last = self.run(LAST).one()
        refuse_other_checkpoint(last and last.query, query)
        stored = None if last is None else last.batch_id
        _refuse_missing_batches(stored, batch)
        self._query, self._batch, self._stored = query, batch, stored
        if last is not None:
            self.servers = json.loads(last.before if stored == batch else last.servers)
        self.highest = self._highest(batch)
        self._recent = Recent(self._load)
        self._present = {
            (metric, part) for metric in counts.METRICS for part in self.parts(metric, NEVER, EVER)
        }
        self._alerts.resume(self._as_of(self.run("SELECT * FROM alerts")))

    def write(self, number: int, batch: Batch) -> None:
        """Store one batch; raises ClickstreamError where Cassandra has forgotten an earlier one."""
        self._batch = number
        before = self.servers
        self.servers = _totals(before, batch)
        touched = [key for key in batch.minutes if key[0] != counts.MINUTE]
        self._recent.touch(touched)
        for key in touched:
            self._recent.add(key, batch.minutes[key])
        faultpoints.reached("counted", driver=True)
        stamp = stamp_of(number)
        rows = [*self._buckets(batch), *self._overwritten(batch, stamp)]
        state = (self._query, number, json.dumps(self.servers), json.dumps(before), stamp)
        self._store(rows, Row(STATE, "state", state))
        self.highest |= batch.files
        self.trim()

    def trim(self) -> None:
        """Drop from memory what is above its limits; not while a batch is being counted."""
        self._recent.trim()
        self._alerts.trim()

    def open_alerts(self) -> int:
        """How many alerts are open after the last batch."""
        return self._alerts.open()

    def ddos_row(self, second: int, ip: str, requests: int, stamp: int) -> Row:
        """The row of a client above the threshold, with this write timestamp."""
        day = day_of(second)
        return Row(DDOS, ("ddos", day), (day, second * 1000, ip, requests, self.ttl_s, stamp))

    def peak_rows(self, touched: Mapping[str, Iterable[int]], stamp: int) -> Iterator[Row]:
        """The rows of `peaks` that change by these seconds, with this write timestamp."""
        window_s = self.settings.speed.window_seconds
        for server, part, peak in peaks.changed(touched, window_s, self._non_200):
            day = day_of(part)
            values = (day, server, part, peak.second * 1000, peak.non_200, self.ttl_s, stamp)
            yield Row(peaks.STORE, ("peaks", day), values)

    def latest_rows(self, stamp: int) -> Iterator[Row]:
        """The rows of `popularity` and `health`, with this write timestamp.

        They are of the windows up to the latest event second that is stored or, of the batch at
        hand, in memory.
        """
        if latest := self._latest():
            yield from self._popularity(latest, stamp)
            yield from self._health(stamp)

    def send(self, rows: Iterable[Row]) -> None:
        """Write rows: those of one partition together, many partitions side by side."""
        for _ in self.run_many((each, ()) for each in statements.of(rows, self.prepared)):
            pass

    def _store(self, rows: list[Row], state: Row) -> None:
        """The state last; all of it once more where Cassandra was away meanwhile.

        A node that was killed may have forgotten what it had acknowledged just before.
        """
        outages = None
        while outages != self.retry.outages:
            outages = self.retry.outages
            self._check_acknowledged()
            self.send(rows)
            faultpoints.reached("written", driver=True)
            self.send([state])
            faultpoints.reached("stored", driver=True)
        self._stored = self._batch

    def _check_acknowledged(self) -> None:
        """The last batch before this one must be there; of the one at hand all is written again.

        A node forgets the last of what it was sent, and `state` is sent last.
        """
        row = self.run(LAST).one()
        last = None if row is None else row.batch_id
        if last not in (self._stored, self._batch):
            raise ClickstreamError(
                f"Cassandra has forgotten batches that it had acknowledged: the last was"
                f" {self._stored}, it holds {'none' if last is None else last}",
                RESET,
            )

    def _buckets(self, batch: Batch) -> Iterator[Row]:
        for (metric, minute), partial in batch.minutes.items():
            part = part_of(minute)
            for piece, text in enumerate(counts.pack(partial)):
                values = (part, metric, minute, self._batch, piece, text, self.ttl_s)
                yield Row(BUCKET, ("buckets", part), values)
        for metric, part in sorted({(metric, part_of(minute)) for metric, minute in batch.minutes}):
            self._present.add((metric, part))
            yield Row(PRESENT, ("present", metric), (metric, part, self.ttl_s))

    def _overwritten(self, batch: Batch, stamp: int) -> Iterator[Row]:
        for (server, file), highest in batch.files.items():
            before = self.highest.get((server, file), -1)
            values = (server, file, self._batch, highest, before, stamp)
            yield Row(FILE, ("files", server), values)
        offences = list(self._offences(batch))
        for each in offences:
            yield self.ddos_row(each.second, each.ip, each.requests, stamp)
        yield from self.latest_rows(stamp)
        touched = counts.seconds_of(batch.minutes, counts.NON_200)
        yield from self.peak_rows(touched, stamp)
        yield from self._alert_rows(offences, touched, stamp)

    def _offences(self, batch: Batch) -> Iterator[Offence]:
        limit = self.settings.speed.ddos_requests_per_second
        partials = [each for each in batch.minutes.items() if each[0][0] == counts.IP]
        for minute, partial in partials:
            sums = self._sums_of(minute, partial)
            for second, hosts in counts.keys_of(partial).items():
                for host, n in counts.over_threshold(sums, second, hosts, limit).items():
                    servers = counts.servers_of(sums, second, host)
                    yield Offence(counts.named(host), second, n, servers)

    def _sums_of(self, key: MinuteKey, partial: Counts) -> Counts:
        """The sums of a minute; of a big one those of the partial's keys only, from the store."""
        if not self._recent.is_big(key):
            return self._recent.sums(key)
        wanted = {(second, name) for _, second, name, _ in counts.leaves(partial)}
        sums: Counts = {}
        counts.add(sums, counts.leaves(partial))
        for _, stored in self._load([key]):
            counts.add(sums, (leaf for leaf in stored if (leaf[1], leaf[2]) in wanted))
        return sums

    def _alert_rows(
        self, offences: list[Offence], touched: Mapping[str, Iterable[int]], stamp: int
    ) -> Iterator[Row]:
        clocks = {name: each["latest"] for name, each in self.servers.items()}
        changes = self._alerts.update(self._batch, clocks, offences, touched)
        for change in changes:
            alert, before = change.after, change.before.text() if change.before else None
            row = (*alert_values(alert), before, self.ttl_s, stamp)
            yield Row(ALERT, ("alerts", alert.kind, alert.key), row)
        part = change_part(self._batch)
        steps = (step for change in changes for step in change.steps())
        for n, (event, alert) in enumerate((step.event, step.after) for step in steps):
            values = (part, self._batch, n, event, alert.text(), self.ttl_s)
            yield Row(CHANGE, ("alert_changes", part), values)

    def _latest(self) -> int:
        return max((each["latest"] for each in self.servers.values()), default=0)

    def _popularity(self, end: int, stamp: int) -> Iterator[Row]:
        sums = self._trailing(counts.CATEGORY, end)
        if any(map(self._recent.is_big, self._window(counts.CATEGORY, end))):
            return  # The table stays as of an earlier second; a report sums the buckets.
        for server in (*self.servers, ALL):
            partition = ("popularity", server)
            yield Row(FORGET_POPULARITY, partition, (stamp - 1, server))
            for rank, (category, n) in enumerate(counts.top(counts.of(sums, server), TOP), 1):
                values = (server, rank, end * 1000, category, n, self.ttl_s, stamp)
                yield Row(POPULARITY, partition, values)

    def _health(self, stamp: int) -> Iterator[Row]:
        for server, each in self.servers.items():
            if each["latest"]:
                yield self._health_row(server, each["latest"], stamp)

    def _health_row(self, server: str, end: int, stamp: int) -> Row:
        n = counts.of(self._trailing(counts.NON_200, end), server).total()
        state = "alert" if n > self.settings.speed.health_non_200 else "ok"
        values = (server, end * 1000, n, state, self.ttl_s, stamp)
        return Row(HEALTH, ("health", server), values)

    def _window(self, metric: str, end: int) -> list[MinuteKey]:
        start = end - self.settings.speed.window_seconds
        return [
            (metric, minute) for minute in range(counts.minute_of(start + 1), end + 1, MINUTE_S)
        ]

    def _trailing(self, metric: str, end: int) -> dict[str, Counter[str]]:
        start, keys = end - self.settings.speed.window_seconds, self._window(metric, end)
        self._recent.touch(keys)
        return counts.by_server((self._recent.sums(key) for key in keys), start, end)

    def _non_200(self, server: str, start: int, end: int) -> Counter[int]:
        """A server's non-200 responses by second, of (start, end]."""
        first = counts.minute_of(start + 1)
        keys = [(counts.NON_200, minute) for minute in range(first, end + 1, MINUTE_S)]
        self._recent.touch(keys)
        return counts.by_second((self._recent.sums(key) for key in keys), server, start, end)

    def _stored_alerts(self, keys: list[Key]) -> Iterator[Alert]:
        stored = self.prepared("SELECT * FROM alerts WHERE kind = ? AND key = ?")
        for rows in self.run_many((stored, key) for key in keys):
            yield from self._as_of(rows)

    def _as_of(self, rows: Iterable[Any]) -> Iterator[Alert]:
        """The alerts of rows, as of the batch before the one at hand."""
        for row in rows:
            if row.batch_id < self._batch:
                yield alert_of(row)
            elif row.before:
                yield Alert.of(row.before)

    def _load(self, keys: list[MinuteKey]) -> Iterator[tuple[MinuteKey, Iterable[Leaf]]]:
        stored = self.prepared(STORED)
        present = [key for key in keys if (key[0], part_of(key[1])) in self._present]
        work = [(stored, (part_of(minute), name, minute, self._batch)) for name, minute in present]
        for key, rows in zip(present, self.run_many(work), strict=True):
            for row in rows:
                yield key, counts.unpack(row.counts)

    def _highest(self, batch: int) -> dict[tuple[str, str], int]:
        rows = self.run("SELECT server, file, batch_id, highest, before FROM files")
        return {
            (row.server, row.file): row.before if row.batch_id >= batch else row.highest
            for row in rows
        }


def stamp_of(batch: int, rebuild: bool = False) -> int:
    """The write timestamp of the rows that a batch overwrites, or a rebuild after it.

    A later batch always wins, then a rebuild, then the later attempt. The one before it is for what
    must go before these rows are written.
    """
    half = STAMPS // 2
    return (batch + 1) * STAMPS + rebuild * half + int(time.time()) % half


def refuse_other_checkpoint(stored: str | None, query: str | None) -> None:
    """Raise ClickstreamError where the views were made by another query than the checkpoint's."""
    if stored is not None and stored != query:
        raise ClickstreamError("the real-time views were made from another checkpoint", RESET)


def _refuse_missing_batches(stored: int | None, batch: int) -> None:
    """Before a batch the one before it must be stored, or the batch itself, which runs again."""
    first = stored is None and batch == 0
    if not first and stored not in (batch - 1, batch):
        at = "none" if stored is None else stored
        raise ClickstreamError(
            f"the checkpoint is at batch {batch}, the real-time views at {at}", RESET
        )


def _totals(before: dict[str, dict[str, int]], batch: Batch) -> dict[str, dict[str, int]]:
    """Each server's line counts after a batch: records by outcome, and its latest event second."""
    after = {server: dict(each) for server, each in before.items()}
    for server, outcomes in batch.lines.items():
        sums = after.setdefault(server, dict.fromkeys(SERVER_COUNTS, 0))
        sums["rows"] += sum(outcomes.values())
        for outcome in ("copies", "set_aside", "skipped"):
            sums[outcome] += outcomes.get(outcome, 0)
    for (metric, _), partial in batch.minutes.items():
        for server, seconds in partial.items() if metric == counts.IP else ():
            after[server]["latest"] = max(after[server]["latest"], *seconds)
    return after
