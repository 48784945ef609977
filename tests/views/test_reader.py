"""The reader of the real-time views, over tables in memory."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config
from clickstream.days import DAY_SECONDS
from clickstream.views.realtime import counts
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


MINUTE = st.integers(FIRST // 60 - 2, FIRST // 60 + 2).map(lambda each: 60 * each)
REQUEST = st.tuples(st.sampled_from("ab"), MINUTE, st.sampled_from(["success", "failure"]))


@given(st.lists(st.lists(REQUEST, max_size=9), max_size=4))
def test_the_minutes_are_the_sums_of_every_batch(settings, batches):
    tables, total = Tables(), Counter()
    stream = over(Writer, tables, settings)
    stream.resume("query", 0)
    for number, requests in enumerate(batches):
        minutes = {}
        for server, minute, name in requests:
            partial = minutes.setdefault((counts.MINUTE, minute), {})
            counts.add(partial, [(server, minute, name, 1)])
        stream.write(number, Batch(minutes, {}, {}))
        total.update(requests)
    rows, volumes = over(RealTime, tables, settings).minutes()
    assert len(rows) == len({row[:3] for row in rows})
    found = Counter()
    for row in rows:
        second = day_start(row.date) + 3600 * int(row.slot[:2]) + 60 * int(row.slot[3:])
        found[row.server, second, "success"] = row.success
        found[row.server, second, "failure"] = row.failure
        assert (row.requests, row.other) == (row.success + row.failure, 0)
    assert +found == total
    assert volumes == over(RealTime, tables, settings).volumes()
    assert sum(volume.lines for volume in volumes.values()) == total.total()


AROUND = st.integers(FIRST - 400, FIRST + 700)
ANSWER = st.tuples(st.sampled_from("abc"), AROUND, st.sampled_from(["200", "404", "500"]))


@given(st.lists(ANSWER, max_size=9), st.dictionaries(st.sampled_from("abcd"), AROUND))
def test_the_unhealthy_answers_of_each_server_s_own_window(settings, lines, ends):
    tables = Tables()
    stream = over(Writer, tables, settings)
    stream.resume("query", 0)
    stream.write(0, Batch(minutes_of(lines), {}, {s: {"counted": 1} for s in "abc"}))
    window = settings.speed.window_seconds
    assert over(RealTime, tables, settings).non_200(ends) == {
        server: sum(
            name == server and end - window < at <= end and status != "200"
            for name, at, status in lines
        )
        for server, end in ends.items()
    }
