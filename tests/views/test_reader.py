"""The reader of the real-time views, over tables in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config
from clickstream.days import DAY_SECONDS
from clickstream.views.realtime.reader import RealTime, day_start
from clickstream.views.realtime.writer import Batch, Writer
from tests.views.tables_in_memory import Tables, minutes_of, over

DAY = "2015-05-18"
FIRST = day_start(DAY)
SECOND = st.integers(FIRST - 900, FIRST + DAY_SECONDS + 900)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return config.load(home=tmp_path_factory.mktemp("home"))


@given(st.lists(st.tuples(st.sampled_from("abc"), SECOND, st.just("200")), max_size=9))
def test_the_last_seconds_of_a_day_are_found_from_its_end(settings, lines):
    tables = Tables()
    stream = over(Writer, tables, settings)
    stream.resume("query", 0)
    stream.write(0, Batch(minutes_of(lines), {}, {s: {"counted": 1} for s in "abc"}))
    reader = over(RealTime, tables, settings)
    expected = {s: at for s, at, _ in sorted(lines) if FIRST <= at < FIRST + DAY_SECONDS}
    assert reader.last_seconds(DAY, "abcd") == expected
    assert reader.last_seconds(DAY, "b") == {s: at for s, at in expected.items() if s == "b"}
    latest = reader.last_seconds(DAY)
    assert max(latest.values(), default=None) == max(expected.values(), default=None)
    assert latest.items() <= expected.items()
