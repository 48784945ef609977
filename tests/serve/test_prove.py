"""The layers held against each other: what differs, why, and what has no cause."""

from collections import Counter
from contextlib import nullcontext

import pytest
from hypothesis import given, settings

from clickstream import config
from clickstream.clients.hdfs import Hdfs
from clickstream.days import DaySelection
from clickstream.errors import ClickstreamError, NoData, NotRunning
from clickstream.serve import proof, prove
from clickstream.serve.causes import (
    CAME_LATER,
    FORGOTTEN,
    NOT_READ,
    SET_ASIDE,
    SKIPPED,
    Causes,
)
from clickstream.serve.layers import Layers
from tests.examples import examples
from tests.hdfs_in_memory import HdfsInMemory
from tests.serve.test_merge import (
    DAYS,
    MIDNIGHT,
    TODAY,
    ZONES,
    Speed,
    counted,
    histories,
    line,
    summed,
    views,  # noqa: F401 (a fixture)
)

DAY = "2015-05-18"


class Both(Speed):
    """The reading side of the real-time views, with categories by UTC second."""

    def __init__(self, lines, category="/"):
        super().__init__(lines)
        self.category = category

    def category_counts(self, start, end):
        found = {}
        for each in self.lines:
            if start < each.second <= end:
                seconds = found.setdefault(each.server, {})
                seconds.setdefault(each.second, Counter())[self.category] += 1
        return found

    def compatibility(self):
        return {"categories": ""}


def proven(views, lines, speed, causes=None, category="/"):  # noqa: F811
    days = sorted({each.date for each in lines})
    return proof._compared(
        counted(views, lines), Both(speed, category), days, causes or Causes({}, {})
    )


def test_equal_layers_have_no_difference(views):  # noqa: F811
    done = proven(views, TODAY, TODAY)
    assert done.rows == []
    assert done.summary[0].startswith("compared 3 minutes and 1 categories of 1 days")
    done.check()


def test_each_difference_takes_from_the_lines_that_a_cause_covers(views):  # noqa: F811
    late = [line(10 + n, "a", "09:02:59") for n in range(2)]
    causes = Causes(
        {(DAY, "a"): (CAME_LATER, 2)}, {"a": {SET_ASIDE: 1, SKIPPED: 9}}, notes=["by the way"]
    )
    done = proven(views, TODAY, [*TODAY[1:], *late], causes)
    assert [(row["minute"], row["batch"], row["speed"], row["cause"]) for row in done.rows] == [
        ("09:00", 1, 0, f"1 {SET_ASIDE}"),
        ("09:02", 1, 3, f"2 {CAME_LATER}"),
        (None, 3, 4, prove.LINES_ABOVE),
    ]
    assert done.unexplained == 0
    assert done.summary[1] == "by the way"


def test_what_no_cause_covers_is_left_and_fails(views):  # noqa: F811
    done = proven(views, TODAY, TODAY[2:], Causes({}, {"a": {NOT_READ: 1}, "b": {NOT_READ: 9}}))
    assert [row["unexplained"] for row in done.rows] == [0, 1, 0]
    with pytest.raises(ClickstreamError, match="1 differences"):
        done.check()


def test_a_line_of_another_class_is_a_difference_both_ways(views):  # noqa: F811
    other = TODAY[0]._replace(status="404")
    (row,) = proven(views, TODAY[:1], [other]).rows
    assert (row["batch"], row["speed"], row["unexplained"]) == (1, 1, 2)


def test_a_day_that_was_forgotten_covers_any_number(views):  # noqa: F811
    done = proven(views, TODAY, [], Causes({}, {}, [DAY]))
    assert {row["cause"] for row in done.rows} == {f"1 {FORGOTTEN}"}
    done.check()


def test_a_category_that_differs_without_a_line_is_unexplained(views):  # noqa: F811
    done = proven(views, TODAY, TODAY, category="/other")
    assert [(row["category"], row["unexplained"]) for row in done.rows] == [("/", 3), ("/other", 3)]


@settings(max_examples=examples(30))
@given(history=histories())
def test_as_many_lines_are_missed_as_the_layers_have_apart(views, history):  # noqa: F811
    """Every difference is covered by causes that know just how many lines each layer misses."""
    batch = counted(views, history.batch)
    missed = dict.fromkeys(((day, s) for day in DAYS for s in ZONES), (CAME_LATER, 0))
    lost = {server: Counter() for server in ZONES}
    mine, its = summed(history.batch), summed(history.speed)
    for key in {*mine, *its}:
        day, server, _ = key
        more, less = its.get(key, Counter()), mine.get(key, Counter())
        missed[day, server] = CAME_LATER, missed[day, server][1] + (more - less).total()
        lost[server][NOT_READ] += (less - more).total()
    done = proof._compared(batch, Both(history.speed), batch.days(), Causes(missed, lost))
    assert done.unexplained == 0


@pytest.mark.parametrize("server", sorted(ZONES))
def test_the_zone_of_a_day_is_that_by_which_its_minutes_match(server):
    lines = [line(n, server, f"{n:02}:17:00") for n in (0, 9, 23)]
    printed = {each.second + ZONES[server]: 1 for each in lines}
    assert list(prove.shifts(printed, {each.second: 1 for each in lines})) == [ZONES[server]]
    assert list(prove.shifts(printed, {MIDNIGHT + 1: 1})) == []


def away():
    raise NotRunning("it does not answer")


def opened(monkeypatch, *readers):
    monkeypatch.setattr(proof, "opened", lambda _: nullcontext(Layers(*readers)))


def test_a_layer_that_never_ran_leaves_nothing_to_compare(views, monkeypatch):  # noqa: F811
    opened(monkeypatch, lambda: counted(views, []), lambda: Speed(TODAY))
    done = proof.of(None, DaySelection())
    assert done.summary == ["nothing to compare: the batch layer has not run yet"]
    done.check()


def test_a_layer_that_does_not_answer_proves_nothing(views, monkeypatch, tmp_path):  # noqa: F811
    opened(monkeypatch, lambda: counted(views, TODAY), away)
    with pytest.raises(NotRunning):
        proof.of(None, DaySelection())
    opened(monkeypatch, lambda: counted(views, TODAY), lambda: Speed(TODAY))
    with pytest.raises(NoData, match="no data for 2015-05-19"):
        proof.of(config.load(home=tmp_path), DaySelection(only="2015-05-19"))


def test_a_pruned_day_is_called_so_and_not_compared(views, monkeypatch, tmp_path):  # noqa: F811
    hdfs = HdfsInMemory({})
    for day in ("2015-05-16", DAY):  # of the second a prune that was cut off has left the views
        hdfs.make_directory(f"/master/_pruned/{day}")
    monkeypatch.setattr(Hdfs, "connect", lambda _: hdfs)
    monkeypatch.setattr(proof.causes, "collect", lambda *_: Causes({}, {}))
    opened(monkeypatch, lambda: counted(views, TODAY), lambda: Both(TODAY[:1]))
    made = config.load(home=tmp_path)
    done = proof.of(made, DaySelection())
    assert done.rows == []
    assert done.summary[1:] == [f"2 pruned days of 2015-05-16 to {DAY} are not compared"]
    for day in ("2015-05-16", DAY):
        with pytest.raises(NoData, match=f"{day} was pruned"):
            proof.of(made, DaySelection(only=day))
