"""A day of the real-time views, counted again: its minutes replace the stream's partials.

A minute is replaced in one mutation (unless it is very big), so a reader finds the old figure or
the new one. It is stored under the number of the last whole batch, which never runs again; partials
of a later batch, begun before a crash, stay, since that batch will write them once more.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Self

from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.errors import NoData
from clickstream.views.realtime import counts, peaks
from clickstream.views.realtime.counts import Counts
from clickstream.views.realtime.reader import day_start
from clickstream.views.realtime.recent import MinuteKey
from clickstream.views.realtime.statements import Row
from clickstream.views.realtime.store import PART_S, part_of
from clickstream.views.realtime.writer import LAST, PRESENT, Writer, stamp_of

AT_ONCE = 200

WRITTEN = "SELECT metric, slot, WRITETIME(counts) AS written FROM buckets WHERE part = ?"
FORGET = (
    "DELETE FROM buckets USING TIMESTAMP ? WHERE part = ? AND metric = ? AND slot = ?"
    " AND batch_id <= ?"
)
BUCKET = (
    "INSERT INTO buckets (part, metric, slot, batch_id, piece, counts) VALUES (?,?,?,?,?,?)"
    " USING TTL ? AND TIMESTAMP ?"
)
FORGET_DDOS = "DELETE FROM ddos USING TIMESTAMP ? WHERE day = ?"


class Recount:
    """Writes days again while no stream runs, by the stream's own writer. A context manager."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._batch = -1

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Connect; raises as `Store.connect`."""
        return cls(Writer.connect(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    @property
    def highest(self) -> Mapping[tuple[str, str], int]:
        """How far the stream has read: the highest offset of each (server, file)."""
        return self._writer.highest

    def begin(self) -> int:
        """Load the state after the last whole batch, and return its number; raises NoData."""
        last = self._writer.run(LAST).one()
        if last is None:
            raise NoData("the speed layer has counted nothing yet", "clickstream speed run")
        self._batch = int(last.batch_id)
        self._writer.resume(last.query, self._batch + 1)
        return self._batch

    def replace_day(self, day: str, minutes: Iterable[tuple[MinuteKey, Counts]]) -> int:
        """Replace all that is stored of a day by these minutes (of METRICS, each once).

        Returns how many minutes they were. Minutes that are stored and not among them go.
        """
        send, stamp = self._writer.send, stamp_of(self._batch, rebuild=True)
        stored, newest = self._stored_minutes(day_start(day))
        written = max(time.time_ns() // 1000, newest + 2)  # A clock may have been set back.
        offences, servers = list[Row](), {*self._writer.servers}
        replaced, todo = 0, iter(minutes)
        while chunk := dict(islice(todo, AT_ONCE)):
            send(row for key, sums in chunk.items() for row in self._minute(key, sums, written))
            for key, sums in chunk.items():
                servers |= sums.keys()
                offences += self._over(key, sums, stamp)
            stored -= chunk.keys()
            replaced += len(chunk)
        send(row for key in stored for row in self._minute(key, {}, written))
        self.begin()  # For the partitions that are new.
        forget = Row(FORGET_DDOS, ("ddos", day), (stamp - 1, day))
        send([forget, *offences, *self._writer.latest_rows(stamp)])
        send(self._peaks(day, servers, stamp))
        return replaced

    def _peaks(self, day: str, servers: Collection[str], stamp: int) -> Iterator[Row]:
        """The peaks of the day, and of the next one up to where the day's responses count."""
        yield Row(peaks.FORGET, ("peaks", day), (stamp - 1, day))
        first = day_start(day)
        for second in (*range(first, first + DAY_SECONDS, PART_S), first + DAY_SECONDS - 1):
            yield from self._writer.peak_rows({server: [second] for server in servers}, stamp)
            self._writer.trim()

    def _stored_minutes(self, first: int) -> tuple[set[MinuteKey], int]:
        """The minutes of a day that have a partial, and when the newest was written (us)."""
        query = self._writer.prepared(WRITTEN)
        parts = range(first, first + DAY_SECONDS, PART_S)
        keys, newest = set(), 0
        for rows in self._writer.run_many([(query, (part,)) for part in parts]):
            for row in rows:
                keys.add((row.metric, row.slot))
                newest = max(newest, row.written)
        return keys, newest

    def _minute(self, key: MinuteKey, sums: Counts, written: int) -> Iterator[Row]:
        (metric, minute), ttl_s = key, self._writer.ttl_s
        part = part_of(minute)
        yield Row(FORGET, key, (written - 1, part, metric, minute, self._batch))
        for piece, text in enumerate(counts.pack(sums) if sums else []):
            values = (part, metric, minute, self._batch, piece, text, ttl_s, written)
            yield Row(BUCKET, key, values)
        if sums:
            yield Row(PRESENT, ("present", metric), (metric, part, ttl_s))

    def _over(self, key: MinuteKey, sums: Counts, stamp: int) -> Iterator[Row]:
        """The minute's clients above the threshold."""
        limit = self._writer.settings.speed.ddos_requests_per_second
        seconds = {second for each in sums.values() for second in each}
        for second in seconds if key[0] == counts.IP else ():
            hosts = {host for each in sums.values() for host in each.get(second, ())}
            for host, n in counts.over_threshold(sums, second, hosts, limit).items():
                yield self._writer.ddos_row(second, counts.named(host), n, stamp)
