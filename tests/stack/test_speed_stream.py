"""The stream by hand: where a batch is cut, what comes again and how it died change no figure."""

import random
from collections import Counter

import pytest

from clickstream import faultpoints
from clickstream.config import Settings
from clickstream.speed import job
from clickstream.speed.prepared_query import Prepared
from clickstream.views.realtime import RealTime
from tests.stack.streams import cut, stream
from tests.stack.test_speed_layer import (
    SET_ASIDE,
    answers,
    attacks,
    expected,
    filler,
    log_of,
    stamped,
)

POINTS = ("counted", "written", "stored")
SERVERS = ("weblog1", "weblog2")


class Died(BaseException):
    """As `kill -9`: nothing of the program sees it."""


def lines_of(count: int, seed: int) -> dict[str, list[bytes]]:
    """Shuffled lines of both servers, the attacks among them: every batch cuts through a burst."""
    lines = {}
    for server, own in attacks().items():
        lines[server] = own + filler(count, seed + len(lines))
        random.Random(seed).shuffle(lines[server])
    return lines


def records_of(lines: dict[str, list[bytes]]) -> dict[int, list[bytes]]:
    return {part: stamped(server, lines[server]) for part, server in enumerate(SERVERS)}


def line_counts(settings: Settings, server: str = "weblog1") -> tuple[int, int]:
    """The records of a server, and the copies among them."""
    with RealTime.connect(settings) as views:
        found = views.status()["servers"][server]
    return found["rows"], found["copies"]


@pytest.fixture
def points(monkeypatch):
    """Dies at a fault point's n-th passing: `points(name, n)`."""

    def at(name: str, nth: int) -> None:
        passings = Counter[str]()

        def reached(point: str, *, driver: bool = False) -> None:
            assert driver
            passings[point] += 1
            if point == name and passings[point] == nth:
                raise Died

        monkeypatch.setattr(faultpoints, "reached", reached)

    yield at
    monkeypatch.undo()


def test_a_driver_that_dies_at_any_point_changes_no_figure(fresh, points):
    lines = lines_of(600, 97)
    batches = list(cut(records_of(lines), 97))
    number, ends = 0, Counter[int]()
    for point in POINTS:
        points(point, 1)
        with stream(fresh, number, ends.copy()) as hand, pytest.raises(Died):
            hand.take(batches[number])
        points("", 0)
        with stream(fresh, number, ends) as hand:
            hand.take(batches[number])
            number = hand.number
    with stream(fresh, number, ends) as hand:
        for batch in batches[number:]:
            hand.take(batch)
    assert answers(fresh, list(lines)) == expected({s: log_of(own) for s, own in lines.items()})
    assert line_counts(fresh) == (len(lines["weblog1"]), 0)


def test_a_batch_of_nothing_but_copies_opens_no_door_for_more(fresh):
    """Lines that Flume sends again: the highest offset must not go back."""
    lines = stamped("weblog1", attacks()["weblog1"][:10])
    low = lines[:5]
    with stream(fresh) as hand:
        for each in (lines, [*low, *low], lines):
            hand.take({0: each})
    assert line_counts(fresh) == (30, 20)


def test_a_line_that_is_sent_to_another_partition_again_is_counted_once(fresh):
    """Partitions are counted each by itself only where no file is in two of them."""
    lines = stamped("weblog1", attacks()["weblog1"][:10])
    with stream(fresh) as hand:
        hand.take({0: lines, 1: lines})
        hand.take({0: lines[:3], 1: []})
    assert line_counts(fresh) == (23, 13)


def test_a_spark_that_runs_no_prepared_plan_slows_the_stream_and_does_not_stop_it(
    fresh, monkeypatch, capsys
):
    tried = []

    def broken(self, query):
        tried.append(query)
        raise AttributeError("withNewChildInternal is no more")

    monkeypatch.setattr(Prepared, "_plan", broken)
    lines = lines_of(300, 5)
    sent = records_of({server: own + SET_ASIDE for server, own in lines.items()})
    with stream(fresh) as hand:
        for batch in cut({part: [*own, *own[:50]] for part, own in sent.items()}, 250):
            hand.take(batch)
        assert hand.number > 2
        assert hand.stream.notice == f"{job.PLANNED_EACH_TIME}: withNewChildInternal is no more"
    assert len(tried) == 1
    assert capsys.readouterr().err.count("Traceback") == 1
    assert answers(fresh, list(lines)) == expected({s: log_of(own) for s, own in lines.items()})
    assert line_counts(fresh) == (len(sent[0]) + 50, 50)


def test_this_spark_runs_the_prepared_plan(fresh):
    with stream(fresh) as hand:
        hand.take({0: stamped("weblog1", filler(20, 1)), 1: stamped("weblog2", filler(20, 2))})
        assert hand.stream.notice == ""
