"""Days that only a wrong clock has made, and servers whose clocks lag."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import clocks
from clickstream.clocks import DayVolume

NOW = "2026-11-28"


def days(stored=NOW, **lines):
    """`d2024_03_26=10` -> the volumes of that day."""
    return {day[1:].replace("_", "-"): DayVolume(n, stored) for day, n in lines.items()}


MARCH = {"d2024_03_26": 10, "d2024_03_27": 10, "d2024_03_28": 10}


def test_a_day_ahead_of_the_clock_that_stored_it_is_never_the_newest():
    logged = days(d1970_01_01=1, **MARCH, d2036_02_07=1)
    assert clocks.newest_day(logged) == "2024-03-28"
    assert clocks.strays(logged) == ["2036-02-07"]


def test_nor_is_it_with_more_lines_than_all_others_or_alone():
    assert clocks.newest_day(days(**MARCH, d2036_02_07=1000)) == "2024-03-28"
    assert clocks.newest_day(days(d2036_02_07=1000)) is None
    assert clocks.newest_day({}) is None


def test_the_clock_is_that_of_the_time_of_storing_whenever_it_is_asked_for():
    then = days(stored="2024-03-28", **MARCH, d2024_03_29=1, d2024_03_30=1)
    assert clocks.newest_day(then) == "2024-03-29"  # zones are less than a day apart
    later = days(stored="2024-03-30", **MARCH, d2024_03_30=1)
    assert clocks.newest_day(later) == "2024-03-30"


def test_a_few_lines_long_after_an_archive_are_of_a_wrong_clock_as_well():
    archive = days(**MARCH, d2024_06_01=1, d2025_01_01=1)
    assert clocks.newest_day(archive) == "2024-03-28"
    assert clocks.strays(archive) == ["2024-06-01", "2025-01-01"]


@pytest.mark.parametrize(
    "more",
    [
        {"d2024_03_29": 1},  # a day that has just begun
        {"d2024_03_31": 1},  # after a weekend without a visit
        {"d2024_06_01": 5},  # traffic begins again
        {"d2024_06_01": 1, "d2024_06_02": 1},
        {"d2026_11_28": 1},  # of its time: a live log beside an archive
        {"d2026_11_27": 1},
    ],
)
def test_days_that_may_well_be_the_newest(more):
    logged = days(**MARCH, **more)
    assert clocks.newest_day(logged) == max(logged)
    assert clocks.strays(logged) == []


FIRST = date(2015, 1, 1)
LOGGED = st.dictionaries(
    st.integers(0, 6000).map(lambda n: (FIRST + timedelta(n)).isoformat()),
    st.builds(
        DayVolume,
        st.integers(1, 1000),
        st.integers(0, 6000).map(lambda n: (FIRST + timedelta(n)).isoformat()),
    ),
    max_size=30,
)


@given(LOGGED)
def test_the_newest_day_holds_and_no_day_that_is_ahead_does(logged):
    newest = clocks.newest_day(logged)
    ahead = {
        day
        for day, each in logged.items()
        if date.fromisoformat(day) > date.fromisoformat(each.stored) + timedelta(days=1)
    }
    assert newest not in ahead
    assert (newest is None) == (logged.keys() == ahead)
    assert clocks.strays(logged) == [day for day in sorted(logged) if day > (newest or "")]
    passed_over = sum(logged[day].lines for day in clocks.strays(logged) if day not in ahead)
    most = max((each.lines for day, each in logged.items() if day not in ahead), default=0)
    assert passed_over <= most * len(logged) / clocks.FEW


@given(LOGGED, st.integers(1, 50))
def test_a_stray_line_more_changes_nothing(logged, lines):
    before = clocks.newest_day(logged)
    wrong = {"2099-01-01": DayVolume(lines, "2030-01-01")}
    assert clocks.newest_day(logged | wrong) == before


def test_how_far_clocks_are_behind():
    latest = {"b": 1000, "a": 8200, "c": 7900}
    assert clocks.behind(latest, 300) == {"b": 7200}
    assert clocks.behind(latest, 0) == {"b": 7200, "c": 300}
    assert clocks.behind({}, 0) == {}
