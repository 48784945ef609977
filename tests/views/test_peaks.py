"""The peaks that are kept beside the buckets are those of all buckets, whatever happened."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config
from clickstream.days import DAY_SECONDS
from clickstream.views.realtime import counts, writer
from clickstream.views.realtime.reader import RealTime, day_of, day_start
from clickstream.views.realtime.rebuild import Recount
from clickstream.views.realtime.writer import Batch, Writer
from tests.views.tables_in_memory import Killed, Tables, minutes_of, over

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
