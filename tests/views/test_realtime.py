"""The counts behind the real-time views: summed, cut, packed, remembered; without Cassandra."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config
from clickstream.errors import ClickstreamError, NoData, NotRunning
from clickstream.rows import ALL
from clickstream.views.realtime import counts, recent, retry, statements, store, writer
from clickstream.views.realtime.recent import Recent
from clickstream.views.realtime.retry import RetryPolicy
from clickstream.views.realtime.statements import Row
from clickstream.views.realtime.writer import Batch

LEAF = st.tuples(
    st.sampled_from(["weblog1", "weblog2", "?"]),
    st.integers(-1, 10**11),
    st.text(max_size=5),
    st.integers(1, 9),
)
LEAVES = st.lists(LEAF, max_size=30)


def summed(leaves):
    """Leaves as counts."""
    made = {}
    counts.add(made, leaves)
    return made


def restored(texts):
    return summed(leaf for text in texts for leaf in counts.unpack(text))


@given(LEAVES)
def test_what_is_packed_comes_back(leaves):
    assert restored(counts.pack(summed(leaves))) == summed(leaves)


@given(LEAVES, st.randoms())
def test_equal_counts_make_equal_pieces_in_any_order(leaves, chance):
    other = chance.sample(leaves, len(leaves))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "PIECE_CHARS", 60)
        assert counts.pack(summed(leaves)) == counts.pack(summed(other))


def test_big_counts_are_cut_into_pieces_of_a_bounded_size(monkeypatch):
    monkeypatch.setattr(counts, "PIECE_CHARS", 1000)
    chance = random.Random(1)
    big = summed(("s", 1, "/" + "x" * chance.randrange(100), 1) for _ in range(500))
    texts = counts.pack(big)
    assert len(texts) > 5
    assert max(map(len, texts)) <= 1000
    assert restored(texts) == big


def test_one_key_above_the_size_of_a_piece_stays_whole(monkeypatch):
    monkeypatch.setattr(counts, "PIECE_CHARS", 10)
    assert restored(counts.pack(summed([("s", 1, "k" * 99, 7)]))) == {"s": {1: {"k" * 99: 7}}}


@given(LEAVES, LEAVES)
def test_add_returns_by_how_many_leaves_it_grew(first, more):
    made = summed(first)
    before = len(list(counts.leaves(made)))
    grown = counts.add(made, more)
    assert len(list(counts.leaves(made))) == before + grown
    assert made == summed(first + more)


@pytest.mark.parametrize(("second", "n"), [(700, 0), (701, 3), (1000, 3), (1001, 0)])
def test_a_window_holds_its_end_and_not_its_start(second, n):
    found = counts.by_server([summed([("s", second, "404", 3)])], 700, 1000)
    assert found["s"].total() == n


def test_by_server_sums_minutes_and_of_sums_servers():
    first = summed([("a", 60, "/x", 1), ("b", 61, "/x", 2)])
    found = counts.by_server([first, summed([("a", 120, "/x", 4), ("a", 121, "/y", 1)])], 0, 999)
    assert counts.of(found, "a") == Counter({"/x": 5, "/y": 1})
    assert counts.of(found, ALL) == Counter({"/x": 7, "/y": 1})
    assert counts.of(found, "unheard of") == Counter()


def test_per_second_of_one_server_and_of_all():
    mixed = summed([("a", 5, "404", 1), ("a", 5, "500", 2), ("b", 5, "404", 4), ("b", 6, "404", 8)])
    assert counts.per_second(mixed, "a") == {5: 3}
    assert counts.per_second(mixed, ALL) == {5: 7, 6: 8}


@pytest.mark.parametrize(
    ("seconds", "first", "found"),
    [
        ({}, 0, None),
        ({100: 1, 399: 1}, 0, (399, 2)),
        ({100: 1, 400: 1}, 0, (100, 1)),
        ({100: 2, 150: 0, 500: 2}, 0, (100, 2)),
        ({900: 3, 100: 1, 101: 1, 700: 3}, 0, (900, 6)),
        ({100: 9, 200: 1, 600: 2}, 200, (200, 10)),
        ({100: 9}, 200, None),
    ],
)
def test_the_peak_is_the_earliest_highest_trailing_sum(seconds, first, found):
    assert counts.peak(seconds, 300, first) == found


@given(st.dictionaries(st.integers(0, 1500), st.integers(1, 5), min_size=1), st.integers(0, 1500))
def test_the_peak_is_that_of_trying_every_second(seconds, first):
    trailing = {
        end: sum(n for second, n in seconds.items() if end - 300 < second <= end)
        for end in seconds
        if end >= first
    }
    best = max(trailing.items(), key=lambda each: (each[1], -each[0]), default=None)
    assert counts.peak(seconds, 300, first) == best


def test_the_threshold_is_over_all_servers_and_must_be_exceeded():
    both = [("a", 9, "101", 60), ("b", 9, "101", 41), ("a", 9, "100", 60), ("b", 9, "100", 40)]
    other = [("a", 8, "apart", 60), ("b", 9, "apart", 60), ("a", 9, "not asked", 500)]
    hosts = {"101", "100", "apart", "unheard of"}
    assert counts.over_threshold(summed(both + other), 9, hosts, 100) == {"101": 101}


def test_a_name_fits_a_key_and_stays_apart_from_others():
    first, second = "x" * 200_000 + "1", "x" * 200_000 + "2"
    assert counts.named(first) == counts.named(first) != counts.named(second)
    assert len(counts.named(first).encode()) < 2**16
    assert counts.named("x" * 1000) == "x" * 1000


def test_top_breaks_ties_by_key():
    assert counts.top({"b": 2, "c": 3, "a": 2, "d": 1}, 3) == [("c", 3), ("a", 2), ("b", 2)]


def key(minute):
    return (counts.IP, minute)


@pytest.fixture
def loads():
    """The minutes that were loaded, in order."""
    return []


@pytest.fixture
def memory(loads):
    """A Recent above a store that holds one request of `h` in each minute but the last."""

    def load(minutes):
        loads.extend(minutes)
        return [(each, [("s", each[1], "h", 1)]) for each in minutes if each != key(600)]

    return Recent(load)


def test_a_minute_is_loaded_once_and_then_added_to(memory, loads):
    memory.touch([key(0), key(600)])
    memory.add(key(0), {"s": {0: {"h": 2, "i": 1}}})
    memory.touch([key(0), key(60)])
    assert loads == [key(0), key(600), key(60)]
    assert memory.sums(key(0)) == {"s": {0: {"h": 3, "i": 1}}}
    assert memory.sums(key(600)) == {}


def test_the_minutes_touched_longest_ago_are_dropped(memory, loads, monkeypatch):
    monkeypatch.setattr(recent, "MAX_LEAVES", 2)
    memory.touch([key(0), key(60), key(120)])
    memory.touch([key(0)])
    memory.trim()
    memory.touch([key(0), key(120), key(60)])
    assert loads == [key(0), key(60), key(120), key(60)]


def test_what_a_minute_grows_by_counts_for_dropping(memory, loads, monkeypatch):
    monkeypatch.setattr(recent, "MAX_LEAVES", 2)
    memory.touch([key(0), key(60)])
    memory.add(key(60), {"s": {60: {"new": 1}}})
    memory.trim()
    memory.touch([key(60), key(0)])
    assert loads == [key(0), key(60), key(0)]


@pytest.mark.parametrize(("metric", "big"), [("ip", True), ("category", True), ("non_200", False)])
def test_a_minute_with_too_many_keys_is_not_held(monkeypatch, metric, big):
    monkeypatch.setattr(recent, "MINUTE_LEAVES", 3)
    minute = (metric, 0)
    held = Recent(lambda minutes: [(each, [("s", 0, key, 1) for key in "abc"]) for each in minutes])
    held.touch([minute])
    assert not held.is_big(minute)
    held.add(minute, {"s": {0: {"c": 1, "d": 1}}})
    assert held.is_big(minute) is big
    held.add(minute, {"s": {1: {"e": 1}}})
    assert bool(held.sums(minute)) is not big
    monkeypatch.setattr(recent, "MAX_LEAVES", -1)
    held.trim()
    held.touch([minute])
    assert not held.is_big(minute)


def test_the_line_counts_of_a_batch_are_added_to_those_before():
    before = {"a": {"rows": 5, "copies": 1, "set_aside": 0, "skipped": 0, "latest": 900}}
    minutes = {
        key(840): {"a": {850: {"h": 1}}, "b": {851: {"h": 1}, 849: {"h": 2}}},
        (counts.MINUTE, 9960): {"b": {9999: {"success": 3}}},
    }
    lines = {"a": {"counted": 1, "copies": 2}, "b": {"counted": 3, "set_aside": 4}}
    after = writer._totals(before, Batch(minutes, {}, lines | {"?": {"skipped": 6}}))
    assert after == {
        "a": {"rows": 8, "copies": 3, "set_aside": 0, "skipped": 0, "latest": 900},
        "b": {"rows": 7, "copies": 0, "set_aside": 4, "skipped": 0, "latest": 851},
        "?": {"rows": 6, "copies": 0, "set_aside": 0, "skipped": 6, "latest": 0},
    }
    assert before["a"]["rows"] == 5


@pytest.mark.parametrize(
    ("limit", "value", "sizes"),
    [("MAX_ROWS", 2, [2, 2, 1]), ("MAX_CHARS", 30, [3, 2]), (None, 0, [5])],
)
def test_statements_stay_small(monkeypatch, limit, value, sizes):
    if limit:
        monkeypatch.setattr(statements, limit, value)
    rows = [Row("INSERT", "p", (n, "x" * 10)) for n in range(5)]
    chunks = list(statements._chunks(rows))
    assert [len(chunk) for chunk in chunks] == sizes
    assert [row for chunk in chunks for row in chunk] == rows


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    now = [1000.0]
    monkeypatch.setattr(retry.time, "time", lambda: now[0])
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    return now


def test_a_question_is_asked_until_it_is_answered(clock):
    policy, seen = RetryPolicy(60), []

    def question():
        seen.append(policy.since)
        if len(seen) < 4:
            raise NotRunning("away")
        return "answer"

    assert policy.call(question) == "answer"
    assert seen == [None, 1000, 1000, 1000]
    assert policy.since is None


def test_retries_end_and_says_after_how_long(clock):
    def away():
        raise NotRunning("Cassandra did not answer")

    with pytest.raises(NotRunning, match="did not answer for 60 s") as failure:
        RetryPolicy(60).call(away)
    assert "speed run" in failure.value.hint
    assert clock[0] == 1060


def test_nobody_waits_once_the_stream_is_to_end(clock):
    def away():
        raise NotRunning("away")

    policy = RetryPolicy(60)
    policy.cancelled = lambda: clock[0] > 1002
    with pytest.raises(NotRunning, match=r"^away$"):
        policy.call(away)
    assert clock[0] == 1003


def test_what_will_never_be_answered_is_not_asked_again(clock):
    def refused():
        raise ClickstreamError("Cassandra refuses a statement")

    with pytest.raises(ClickstreamError, match="refuses"):
        RetryPolicy(60).call(refused)
    assert clock[0] == 1000


class Keyspaces:
    """A cluster with these tables in its keyspace (None: there is no keyspace), and what was run
    there."""

    def __init__(self, tables):
        self.schema = {"keyspaces": [] if tables is None else [("clickstream",)]}
        self.schema["tables"] = [(name,) for name in tables or ()]
        self.ran, self.ended = [], False

    def execute(self, cql, values=()):
        kind = re.search(r"FROM system_schema\.(\w+) WHERE keyspace_name", cql)
        if kind:
            assert values == ("clickstream",)
            return self.schema[kind[1]]
        return self.ran.append(cql)

    def connect(self):
        return self

    def set_keyspace(self, name):
        self.ran.append(f"USE {name}")

    def shutdown(self):
        self.ended = True


def opened(monkeypatch, tmp_path, tables, reader):
    cluster = Keyspaces(tables)
    monkeypatch.setattr(store.ring, "cluster", lambda *_: cluster)
    try:
        settings = config.load(home=tmp_path, flags={"cassandra.hosts": "db.example"})
        store.Store.connect(settings, reader)
    except NoData as nothing:
        return cluster, nothing
    return cluster, None


@pytest.mark.parametrize("tables", [None, {}, dict.fromkeys(list(store.TABLES)[1:])])
def test_a_reader_makes_no_tables(monkeypatch, tmp_path, tables):
    cluster, nothing = opened(monkeypatch, tmp_path, tables, reader=True)
    assert "has seen no line yet" in nothing.message
    assert cluster.ended
    assert cluster.ran == []
    cluster, nothing = opened(monkeypatch, tmp_path, tables, reader=False)
    assert nothing is None
    assert any("CREATE KEYSPACE" in cql for cql in cluster.ran) is (tables is None)
    made = [cql for cql in cluster.ran if cql.startswith("CREATE TABLE")]
    assert len(made) == len(store.TABLES.keys() - set(tables or ()))


def test_the_writer_makes_the_tables(monkeypatch, tmp_path):
    cluster = Keyspaces({})
    monkeypatch.setattr(store.ring, "cluster", lambda *_: cluster)
    writer.Writer.connect(config.load(home=tmp_path)).close()
    assert len(cluster.ran) == 1 + len(store.TABLES)


def test_a_reader_uses_tables_that_are_there(monkeypatch, tmp_path):
    cluster, nothing = opened(monkeypatch, tmp_path, store.TABLES, reader=True)
    assert nothing is None
    assert cluster.ran == ["USE clickstream"]
