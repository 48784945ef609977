"""The peaks that are kept beside the buckets are those of all buckets, whatever happened."""

import itertools
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config
from clickstream.days import DAY_SECONDS
from clickstream.views.realtime import counts, peaks, rebuild, writer
from clickstream.views.realtime.reader import RealTime, day_of, day_start
from clickstream.views.realtime.rebuild import Recount
from clickstream.views.realtime.store import part_of
from clickstream.views.realtime.writer import Batch, Writer

MIDNIGHT = day_start("2015-05-18")
DAYS = (day_of(MIDNIGHT - 1), day_of(MIDNIGHT))

SECOND = st.integers(MIDNIGHT - 1500, MIDNIGHT + 1500)
LINE = st.tuples(st.sampled_from("ab"), SECOND, st.sampled_from(["200", "404", "500"]))
LINES = st.lists(LINE, max_size=12)
BATCH = st.tuples(st.just("batch"), LINES, st.just(0))
KILLED = st.tuples(st.just("killed"), LINES, st.integers(0, 20))
RESTART = st.tuples(st.just("restart"), st.just([]), st.just(0))
REBUILD = st.tuples(st.just("rebuild"), LINES, st.integers(0, 1))
STEPS = st.lists(BATCH | BATCH | KILLED | RESTART | REBUILD, max_size=12)


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
    """The counts of lines as a batch has them."""
    minutes = {}
    for server, second, status in lines:
        for metric in (counts.IP, *([counts.NON_200] if status != "200" else [])):
            minute = minutes.setdefault((metric, counts.minute_of(second)), {})
            counts.add(minute, [(server, second, status, 1)])
    return minutes


class Stream:
    """A speed layer over tables in memory, which can be killed, restarted and rebuilt."""

    def __init__(self, settings):
        self.settings, self.tables = settings, Tables()
        self.next = 0
        self.restart()

    def restart(self):
        self.writer = over(Writer, self.tables, self.settings)
        self.writer.resume("query", self.next)

    def write(self, lines):
        each = {server: {"counted": 1} for server, *_ in lines}
        self.writer.write(self.next, Batch(minutes_of(lines), {}, each))
        self.next += 1

    def killed(self, lines, after):
        self.tables.left = after
        try:
            self.write(lines)
        except Killed:
            self.restart()
            return True
        finally:
            self.tables.left = None
        return False

    def rebuild(self, day, lines):
        """Replace a day's counts by those of other lines, as the stream that is resumed finds."""
        first = day_start(day)
        lines = [each for each in lines if first <= each[1] < first + DAY_SECONDS]
        with Recount(over(Writer, self.tables, self.settings)) as recount:
            recount.begin()
            recount.replace_day(day, minutes_of(lines).items())
        self.restart()

    def check(self):
        """The reader's peaks are those of a sum over all buckets."""
        sums = {}
        for (_, metric, *_), text in self.tables.buckets.items():
            counts.add(sums, counts.unpack(text) if metric == counts.NON_200 else ())
        reader = over(RealTime, self.tables, self.settings)
        for day in (None, *DAYS):
            assert reader.non_200_peaks(day) == peaks_of(
                sums, day, self.settings.speed.window_seconds
            )


def peaks_of(sums, day, window_s):
    """The peaks from every count there is."""
    first = day_start(day) if day else 0
    found = {}
    for server in sums:
        seconds = counts.per_second(sums, server)
        within = {s: n for s, n in seconds.items() if not day or s < first + DAY_SECONDS}
        if peak := counts.peak(within, window_s, first):
            found[server] = peak
    return found


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that goes on by a second each time that it is read, and instants as numbers."""
    ticks = itertools.count(1000)
    monkeypatch.setattr(writer.time, "time", lambda: next(ticks))
    monkeypatch.setattr("clickstream.views.realtime.reader.epoch", lambda each: each // 1000)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@given(STEPS, st.sampled_from([1, 60, 300, 700, 1300]))
def test_the_peaks_are_those_of_all_buckets(home, steps, window_s):
    stream = Stream(config.load(home=home, flags={"speed.window_seconds": str(window_s)}))
    again = None
    for step, lines, n in [*steps, ("batch", [], 0)]:
        if step == "rebuild" and stream.next:
            stream.rebuild(DAYS[n], lines)
        elif step == "restart":
            stream.restart()
        elif step in ("batch", "killed"):
            lines = lines if again is None else again
            killed = step == "killed" and stream.killed(lines, n)
            again = lines if killed else None
            if step == "batch":
                stream.write(lines)
        if again is None:
            stream.check()
