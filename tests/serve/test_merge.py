"""Both layers as one answer: a batch run at any moment, a speed layer that lost any part.

A made history is a list of lines in the order in which they came. Each layer has seen some of
them; what both have seen together is added up here, by hand.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream import config
from clickstream.batch import view_rows
from clickstream.batch.view_rows import CATEGORIES, TRAFFIC, VISITORS
from clickstream.clocks import DayVolume
from clickstream.days import DaySelection
from clickstream.errors import NoData, NotRunning
from clickstream.rows import Traffic
from clickstream.serve import merge, reports, traffic
from clickstream.serve.layers import Layers
from clickstream.serve.question import Question
from clickstream.views.batch import BatchViews, LineCount
from tests.examples import examples

WITH = {"visitor": "host", "categories": ""}
ZONES = {"a": 0, "b": -7 * 3600}
MIDNIGHT = int(datetime(2015, 5, 18, tzinfo=UTC).timestamp())
DAYS = ["2015-05-16", "2015-05-17", "2015-05-18", "2015-05-19"]
CLASS = {"200": "success", "404": "failure", "101": "other"}
NAMES = ("success", "failure", "other", "requests")


class Line(NamedTuple):
    """A line as it came, the `n`-th; `second` is its instant."""

    n: int
    server: str
    second: int
    status: str

    @property
    def printed(self):
        return datetime.fromtimestamp(self.second + ZONES[self.server], UTC)

    @property
    def date(self):
        return f"{self.printed:%Y-%m-%d}"

    @property
    def minute(self):
        return f"{self.printed:%H:%M}"

    @property
    def key(self):
        return self.date, self.server, self.minute


def line(n, server, clock, status="200", day="2015-05-18"):
    """A line by its time as printed, HH:MM:SS."""
    wall = datetime.fromisoformat(f"{day}T{clock}+00:00")
    return Line(n, server, int(wall.timestamp()) - ZONES[server], status)


class Speed:
    """The reading side of the real-time views; remembers which days were read."""

    def __init__(self, lines):
        self.lines = lines
        self.read = []

    def latest(self):
        return max((each.second for each in self.lines), default=None)

    def status(self):
        return {"servers": {}}

    def printed_days(self, spans):
        return sorted({each.date for each in self.lines if within(each.date, spans)})

    def minutes(self, spans):
        self.read += spans
        minutes = [
            Traffic(date, server, minute, *(n[name] for name in NAMES[:3]), n.total())
            for (date, server, minute), n in summed(self.lines).items()
            if within(date, spans)
        ]
        return minutes, self.volumes(spans)

    def volumes(self, spans):
        lines = Counter(each.date for each in self.lines if within(each.date, spans))
        return {day: DayVolume(n, "2026-01-01") for day, n in lines.items()}


def within(day, spans):
    return any(first <= day <= last for first, last in spans)


def summed(lines):
    """Class counts by (date, server, minute)."""
    counts = {}
    for each in lines:
        counts.setdefault(each.key, Counter())[CLASS[each.status]] += 1
    return counts


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    home = tmp_path_factory.mktemp("merge")
    with BatchViews.connect(config.load(home=home, flags={"database.url": "sqlite://"})) as views:
        yield views


def counted(views, lines, days=DAYS, published=None, ledger=None):
    """The batch views after a run over these days that found these lines in closed files.

    `published` are the lines that the ledger knew of then, `ledger` those it knows by now.
    """
    for day in DAYS:
        own = [each for each in lines if each.date == day]
        rows = view_rows.rows(
            view_rows.Run(day, [], MIDNIGHT, 1, WITH, "r"), list(jobs_counts(own))
        )
        views.replace_day(day, rows if own and day in days else {})
    known = Counter((each.server, each.date) for each in published or lines)
    views.publish_line_counts(
        LineCount(server, "f" * 16, day, known[server, day]) for server in ZONES for day in DAYS
    )
    now = Counter((each.date, each.server) for each in ledger or published or lines)
    views._spooled = lambda: {d: {s: now[d, s] for s in ZONES} for d in DAYS}
    return views


def jobs_counts(lines):
    """What the batch job would collect of these lines."""
    for each in lines:
        one = {"server": each.server, "n": 1, "seen": 1}
        yield one | {"g": TRAFFIC, "minute": each.minute, "status": each.status}
        yield one | {"g": CATEGORIES, "category": "/"}
    for server in {each.server for each in lines}:
        yield {"g": VISITORS, "server": server, "digests": "", "n": 1}


def layers(batch, lines):
    speed = Speed(lines)
    return Layers(lambda: batch, lambda: speed), speed


def ask(batch, lines, report, **question):
    return traffic.answer(layers(batch, lines)[0], report, Question(**question))


def figures(rows, *keys):
    return {tuple(row[k] for k in keys): Counter({n: row.get(n, 0) for n in NAMES}) for row in rows}


def truth(best, *, grain, dates=True):
    """The same of the minutes' counts, for each server and for all."""
    sums = {}
    for (date, server, minute), counts in best.items():
        slot = {"minute": (minute,), "hour": (int(minute[:2]),), "day": ()}[grain]
        for name in (server, "all"):
            key = (*([date] if dates else []), *slot, name)
            sums.setdefault(key, Counter()).update(counts | Counter(requests=counts.total()))
    return sums


class History(NamedTuple):
    """All lines, and those that either layer has seen."""

    lines: list
    batch: list
    speed: list
    batch_days: list


@st.composite
def histories(draw):
    """Lines of two servers in two zones around a midnight, and what each layer has of them."""
    seconds = st.one_of(st.integers(-120, 120), st.integers(-90_000, 90_000))
    one = st.tuples(st.sampled_from("ab"), seconds, st.sampled_from(sorted(CLASS)))
    lines = [
        Line(n, server, MIDNIGHT + second, status)
        for n, (server, second, status) in enumerate(draw(st.lists(one, min_size=1, max_size=40)))
    ]
    if draw(st.booleans()):  # in the order of time, as a replay; else late lines come anywhere
        ordered = sorted(lines, key=lambda each: each.second)
        lines = [each._replace(n=n) for n, each in enumerate(ordered)]
    at = st.integers(0, len(lines))
    run = {server: draw(at) for server in ZONES}  # one server may be behind
    seen = {server: draw(at) for server in ZONES}
    lost = draw(st.one_of(st.just(0), at))  # by a reset, or by the time to live
    rejects = draw(st.sets(at, max_size=2))  # reprocessed: the stream takes them for copies
    batch_days = draw(st.sampled_from([DAYS, DAYS[:2], DAYS[2:], []]))
    batch = [e for e in lines if e.n < run[e.server] and e.date in batch_days]
    speed = [e for e in lines if lost <= e.n < seen[e.server] and e.n not in rejects]
    return History(lines, batch, speed, batch_days)


@settings(max_examples=examples(40))
@given(history=histories(), stale=st.booleans())
def test_merged_is_what_either_layer_has_seen(views, history, stale):
    batch = counted(
        views,
        history.batch,
        history.batch_days,
        published=history.batch if stale else history.lines,
        ledger=history.lines,
    )
    if not history.batch and not history.speed:
        with pytest.raises(NoData):
            ask(batch, history.speed, "traffic")
        return
    best = {}
    for key in {each.key for each in [*history.batch, *history.speed]}:
        mine, its = ({e for e in seen if e.key == key} for seen in (history.batch, history.speed))
        both = mine | its
        # Where each has a line that the other has not, one minute's row is short of them.
        best[key] = summed(both if both in (mine, its) else max(mine, its, key=len))[key]
    for grain in ("minute", "hour", "day"):
        rows = ask(batch, history.speed, "traffic", by=grain).rows
        keys = ("date", "server") if grain == "day" else ("date", grain, "server")
        assert figures(rows, *keys) == truth(best, grain=grain)
    rows = ask(batch, history.speed, "responses").rows
    assert figures(rows, "date", "server") == truth(best, grain="day")
    for server in (*ZONES, "all"):
        rows = ask(batch, history.speed, "hourly", server=server).rows
        hours = truth(best, grain="hour", dates=False)
        assert {(r["hour"], r["server"]): r["requests"] for r in rows} == {
            key: n["requests"] for key, n in hours.items() if key[-1] == server
        }


MORNING = [line(n, "a", f"09:0{n}:30", day="2015-05-17") for n in range(3)]
TODAY = [line(3 + n, "a", f"09:0{n}:30") for n in range(3)]


def states(answer, key="date"):
    return {row[key]: row["state"] for row in answer.rows if row["server"] == "a"}


def test_a_row_says_how_it_came_about(views):
    known = [*MORNING, *TODAY, line(9, "a", "09:02:59")]
    batch = counted(views, [*MORNING, *TODAY[:2]], published=known)
    assert states(ask(batch, [*MORNING, *TODAY], "responses")) == {
        "2015-05-17": "final",
        "2015-05-18": "merged",
    }
    assert states(ask(batch, TODAY, "traffic", by="minute"), "minute") == {
        "09:00": "provisional",
        "09:01": "provisional",
        "09:02": "speed",
    }
    assert states(ask(batch, TODAY[:1], "responses"))["2015-05-18"] == "provisional"
    assert states(ask(batch, [line(9, "a", "01:00:00", day="2015-05-19")], "responses")) == {
        "2015-05-17": "final",
        "2015-05-18": "provisional",
        "2015-05-19": "speed",
    }
    hours = ask(batch, TODAY, "hourly", server="a")
    assert hours.rows == [{"hour": 9, "server": "a", "requests": 6, "state": "merged"}]


def test_one_layer_is_asked_alone(views):
    batch = counted(views, TODAY[:1], published=TODAY)
    for layer, requests, state in (("batch", 1, "provisional"), ("speed", 2, "speed")):
        one = Layers(lambda: batch, lambda: Speed(TODAY[1:]), layer)
        (row,) = traffic.answer(one, "responses", Question(server="a", layer=layer)).rows
        assert (row["requests"], row["state"]) == (requests, state)


def test_the_minutes_of_final_days_are_not_read(views):
    batch = counted(views, [*MORNING, *TODAY[:2]], published=[*MORNING, *TODAY])
    both, speed = layers(batch, [*MORNING, *TODAY])
    traffic.answer(both, "hourly", Question())
    assert speed.read == [("2015-05-18", "2015-05-18")]

    def nobody():
        raise AssertionError("the speed layer was asked")

    final = Question(days=DaySelection(only="2015-05-17"))
    assert traffic.answer(Layers(lambda: batch, nobody), "traffic", final).rows


def away():
    raise NotRunning("it does not answer")


def test_a_layer_that_is_away_is_named_and_the_other_answers(views):
    batch = counted(views, TODAY[:2], published=TODAY)
    answer = traffic.answer(Layers(lambda: batch, away), "hourly", Question())
    assert [row["requests"] for row in answer.rows] == [2]
    assert answer.layer.endswith("without the speed layer: it does not answer")
    answer = traffic.answer(Layers(away, lambda: Speed(TODAY)), "hourly", Question())
    assert [row["requests"] for row in answer.rows] == [3]
    assert answer.layer.endswith("without the batch layer: it does not answer")
    empty = Layers(lambda: counted(views, []), lambda: Speed(TODAY))
    answer = traffic.answer(empty, "responses", Question(server="all"))
    assert "the batch layer has not run yet" in answer.layer
    with pytest.raises(NotRunning) as both:
        traffic.answer(Layers(away, away), "hourly", Question())
    assert isinstance(both.value.__cause__, NotRunning)
    day = Question(days=DaySelection(only="2015-05-19"))
    with pytest.raises(NoData, match="2015-05-19") as none:
        traffic.answer(Layers(away, lambda: Speed(TODAY)), "hourly", day)
    assert "batch layer is away" in none.value.hint


def test_the_line_below_says_how_far_each_layer_is(views):
    batch = counted(views, [*MORNING, *TODAY[:2]], published=[*MORNING, *TODAY])
    assert ask(batch, TODAY, "hourly").layer == (
        "batch layer, as of 2015-05-18T00:00:00Z, up to 2015-05-18 09:01, provisional: 2015-05-18;"
        " speed layer, as of 2015-05-18T09:02:30Z (the latest event): 1 requests of 2015-05-18"
    )


def test_visitors_say_how_many_requests_have_come_since(views):
    tomorrow = [line(9, "a", "01:00:00", day="2015-05-19")]
    batch = counted(views, [*MORNING, *TODAY[:1]], published=[*MORNING, *TODAY])
    both, _ = layers(batch, [*TODAY, *tomorrow])
    layer = reports.from_batch(both, "visitors", Question()).layer
    assert layer.endswith(
        "provisional: 2015-05-18; 2015-05-18: 2 requests since;"
        " 2015-05-19: 1 requests not counted yet"
    )


def test_a_day_that_only_the_speed_layer_has_is_compared(views):
    batch = counted(views, MORNING)
    answer = ask(
        batch, TODAY[:2], "responses", server="a", compare=True, days=DaySelection(count=1)
    )
    (row,) = answer.rows
    assert (row["date"], row["requests_change"]) == ("2015-05-18", -1)


def test_a_stray_day_of_the_speed_layer_is_not_the_newest(views):
    batch = counted(views, TODAY, published=TODAY)
    wrong = line(9, "b", "10:00:00", day="2036-02-07")
    answer = ask(batch, [*TODAY, wrong], "responses", days=DaySelection(count=1))
    assert {row["date"] for row in answer.rows} == {"2015-05-18"}
    assert "2036-02-07 (lines: 1)" in answer.notes[0]


ANY_DAYS = st.sets(st.integers(0, 30).map(lambda n: f"2015-05-{n + 1:02}"))


@given(ANY_DAYS, st.integers(1, 31), st.integers(1, 31))
def test_spans_leave_out_just_the_days_given(days, first, last):
    first, last = f"2015-05-{first:02}", f"2015-05-{last:02}"
    every = [f"2015-05-{n:02}" for n in range(1, 32)]
    inside = [day for day in every if first <= day <= last]
    spans = merge.spans_outside(days, first, last)
    assert [day for day in every if within(day, spans)] == [d for d in inside if d not in days]
    assert [day for day in every if within(day, merge.spans_of(sorted(days)))] == sorted(days)


def test_spans_end_with_the_calendar():
    spans = merge.spans_outside({"0001-01-01", "9999-12-31"}, merge.FIRST_DAY, merge.LAST_DAY)
    assert spans == [("0001-01-02", "9999-12-30")]
