"""A day of the real-time views, counted again: its minutes replace the stream's partials.

A minute is replaced in one mutation (unless it is very big), so a reader finds the old figure or
the new one. It is stored under the number of the last whole batch, which never runs again; partials
of a later batch, begun before a crash, stay, since that batch will write them once more.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from clickstream.days import DAY_SECONDS
from clickstream.errors import NoData
from clickstream.views.realtime import counts
from clickstream.views.realtime.counts import Counts
from clickstream.views.realtime.reader import day_of, day_start
from clickstream.views.realtime.recent import MinuteKey
from clickstream.views.realtime.store import PART_S, part_of
from clickstream.views.realtime.writer import DDOS, PRESENT, Row, Writer

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


class Recount(Writer):
    """Writes days again while no stream runs. `highest`: how far the stream has read each file."""

    def begin(self) -> int:
        """Load the state after the last whole batch, and return its number; raises NoData."""
        row = self.run("SELECT query, batch_id FROM state WHERE name = 'speed'").one()
        if row is None:
            raise NoData("the speed layer has counted nothing yet", "clickstream speed run")
        self.resume(row.query, row.batch_id + 1)
        return int(row.batch_id)

    def replace_day(self, day: str, minutes: Iterable[tuple[MinuteKey, Counts]]) -> int:
        """Replace all that is stored of a day by these minutes (of METRICS, each once).

        Returns how many minutes they were. Minutes that are stored and not among them go.
        """
        stored, newest = self._stored_minutes(day_start(day))
        written = max(time.time_ns() // 1000, newest + 2)  # A clock may have been set back.
        offences: list[Row] = []
        replaced, todo = 0, iter(minutes)
        while chunk := dict(islice(todo, AT_ONCE)):
            self._send(row for key, n in chunk.items() for row in self._minute(key, n, written))
            offences += (row for key, sums in chunk.items() for row in self._over(key, sums))
            stored -= chunk.keys()
            replaced += len(chunk)
        self._send(row for key in stored for row in self._minute(key, {}, written))
        forget = Row(FORGET_DDOS, ("ddos", day), (self._stamp - 1, day))
        self._send([forget, *offences, *self._latest_rows()])
        return replaced

    @property
    def _stamp(self) -> int:
        """Between the last whole batch's and that of the next."""
        return super()._stamp - 1

    def _stored_minutes(self, first: int) -> tuple[set[MinuteKey], int]:
        """The minutes of a day that have a partial, and when the newest was written (us)."""
        query = self.prepared(WRITTEN)
        keys, newest = set(), 0
        for rows in self.run_many(
            [(query, (part,)) for part in range(first, first + DAY_SECONDS, PART_S)]
        ):
            for row in rows:
                keys.add((row.metric, row.slot))
                newest = max(newest, row.written)
        return keys, newest

    def _minute(self, key: MinuteKey, sums: Counts, written: int) -> Iterator[Row]:
        (metric, minute), batch = key, self._batch - 1
        part = part_of(minute)
        yield Row(FORGET, key, (written - 1, part, metric, minute, batch))
        for piece, text in enumerate(counts.pack(sums) if sums else []):
            values = (part, metric, minute, batch, piece, text, self._ttl_s, written)
            yield Row(BUCKET, key, values)
        if sums:
            yield Row(PRESENT, ("present", metric), (metric, part, self._ttl_s))

    def _over(self, key: MinuteKey, sums: Counts) -> Iterator[Row]:
        """The minute's clients above the threshold."""
        limit = self.settings.speed.ddos_requests_per_second
        seconds = {second for each in sums.values() for second in each}
        for second in seconds if key[0] == counts.IP else ():
            hosts = {host for each in sums.values() for host in each.get(second, ())}
            for host, n in counts.over_threshold(sums, second, hosts, limit).items():
                day = day_of(second)
                values = (day, second * 1000, counts.named(host), n, self._ttl_s, self._stamp)
                yield Row(DDOS, ("ddos", day), values)

    def _latest_rows(self) -> Iterator[Row]:
        latest = max((each["latest"] for each in self.servers.values()), default=0)
        if latest:
            yield from self._popularity(latest)
            yield from self._health()
