"""Cassandra for a unit: the tables of counts and peaks, and a reader or writer over them."""

from types import SimpleNamespace
from unittest import mock

from clickstream.views.realtime import counts, peaks, reader, rebuild, writer
from clickstream.views.realtime.store import part_of


class Killed(Exception):
    """The process ends here."""


class Tables:
    """The tables that these tests need, with Cassandra's write timestamps.

    Of cells with the same timestamp the larger value stays; a deletion takes what is as old as it.
    """

    def __init__(self):
        self.buckets, self.present, self.state = {}, set(), None
        self.peaks, self.forgotten = {}, {}
        self.left = None

    def insert(self, row):
        """Apply one row's statement; the process ends once no more are `left`."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        values = row.values
        if row.cql in (writer.BUCKET, rebuild.BUCKET):
            part, metric, slot, batch, piece, text = values[:6]
            self.buckets[part, metric, slot, batch, piece] = text
        elif row.cql == rebuild.FORGET:
            _, part, metric, slot, last = values
            for key in [k for k in self.buckets if k[:3] == (part, metric, slot) and k[3] <= last]:
                del self.buckets[key]
        elif row.cql == writer.PRESENT:
            self.present.add(values[:2])
        elif row.cql == writer.STATE:
            names = ("query", "batch_id", "servers", "before", "stamp")
            self.state = SimpleNamespace(**dict(zip(names, values, strict=True)))
        elif row.cql == peaks.STORE:
            day, server, part, second, n, _, stamp = values
            key = (day, server, part)
            if stamp > self.forgotten.get(day, -1):
                cells = [(stamp, second), (stamp, n)]
                self.peaks[key] = [*map(max, cells, self.peaks.get(key, cells))]
        elif row.cql == peaks.FORGET:
            stamp, day = values
            self.forgotten[day] = max(stamp, self.forgotten.get(day, -1))
            for key in [k for k, cells in self.peaks.items() if k[0] == day]:
                if self.peaks[key][0][0] <= stamp:
                    del self.peaks[key]

    def select(self, cql, values):
        """The rows that a query asks for."""
        if cql == writer.LAST:
            return [self.state] if self.state else []
        if cql == writer.STORED:
            part, metric, slot, before = values
            found = self.buckets.items()
            mine = [text for k, text in found if k[:3] == (part, metric, slot) and k[3] < before]
            return [SimpleNamespace(counts=text) for text in mine]
        if cql.startswith("SELECT counts FROM buckets") and cql != writer.STORED:
            parts, metric, first, last = values
            keys = [k for k in self.buckets if k[0] in parts and k[1] == metric]
            mine = [self.buckets[k] for k in keys if first <= k[2] <= last]
            return [SimpleNamespace(counts=text) for text in mine]
        if cql == reader.TRAFFIC:
            parts, metric = values
            return [
                SimpleNamespace(slot=key[2], counts=text, written=0)
                for key, text in self.buckets.items()
                if key[0] in parts and key[1] == metric
            ]
        if cql == rebuild.WRITTEN:
            return [
                SimpleNamespace(metric=metric, slot=slot, written=0)
                for part, metric, slot, *_ in self.buckets
                if part == values[0]
            ]
        if cql == peaks.READ:
            return [
                SimpleNamespace(server=server, second=second, non_200=n)
                for (day, server, _), [(_, second), (_, n)] in self.peaks.items()
                if day == values[0]
            ]
        return []


class Rows(list):
    """What a query returned."""

    def one(self):
        return self[0] if self else None


def over(role, tables, settings):
    """A reader or writer over these tables in place of Cassandra."""

    class InMemory(role):
        def run(self, cql, *values):
            return Rows(tables.select(cql, values))

        def run_many(self, work):
            return iter([Rows(tables.select(cql, values)) for cql, values in work])

        def prepared(self, cql):
            return cql

        def parts(self, metric, first, last):
            within = range(part_of(first), last + 1)
            return sorted(
                part for name, part in tables.present if name == metric and part in within
            )

        def send(self, rows):
            for row in rows:
                tables.insert(row)

    return InMemory(settings, mock.Mock())


def minutes_of(lines):
    """The counts of lines (server, second, status) as a batch has them; the status is the key."""
    minutes = {}
    for server, second, status in lines:
        failed = [counts.NON_200] if status != "200" else []
        for metric in (counts.IP, counts.CATEGORY, *failed):
            minute = minutes.setdefault((metric, counts.minute_of(second)), {})
            counts.add(minute, [(server, second, status, 1)])
    return minutes
