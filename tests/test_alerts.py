"""Alerts: whatever the order of lines, the cuts and the crashes, those of all lines at once."""

import datetime
import random
from collections import Counter, defaultdict
from contextlib import suppress
from copy import deepcopy
from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clickstream import alerts, config
from clickstream.alerts import Alert
from clickstream.errors import ClickstreamError
from clickstream.views.realtime import counts, lifecycle, recent, writer
from clickstream.views.realtime.store import alert_of
from clickstream.views.realtime.writer import Batch, Writer
from tests.examples import examples
from tests.truth import attacks, outages

BASE = 1431939600
WINDOW_S, GAP_S, LIMIT, OPENS = 10, 5, 2, 3
MINUTE_S = 60


class Line(NamedTuple):
    """One request."""

    server: str
    second: int
    ip: str
    status: str


def lines_of(seed):
    """A log in no order: dense enough that attacks and outages begin, join and end.

    The clock of weblog2 is right, or ahead by some seconds or two hours.
    """
    chance = random.Random(seed)
    span_s = chance.choice([20, 60, 120, 300])
    ahead_s = {"weblog1": 0, "weblog2": chance.choice([0, 0, GAP_S, span_s, 7200])}
    return [
        Line(
            server := chance.choice(["weblog1", "weblog2"]),
            BASE + ahead_s[server] + chance.randrange(span_s),
            chance.choice(["10.0.0.1", "::1/x"]),
            chance.choice(["200", "404", "304"]),
        )
        for _ in range(chance.randrange(1, 4 * span_s if span_s < 100 else 250))
    ]


LINES = st.builds(lines_of, st.integers(0, 2**32))


def truth(lines, resolves):
    """The live alerts, second by second over every line; each server has a clock of its own."""
    clocks = {line.server: line.second for line in sorted(lines, key=lambda line: line.second)}
    requests = [(line.server, line.second, line.ip) for line in lines]
    found = [("ddos", each) for each in attacks(requests, LIMIT, GAP_S)]
    for server in {line.server for line in lines}:
        bad = [line.second for line in lines if line.server == server and line.status != "200"]
        found += [("health", each) for each in outages(server, bad, OPENS, resolves, WINDOW_S)]
    return in_order(
        each | {"kind": kind, "state": state_by(clocks, each)} | {"merged_into": ""}
        for kind, each in found
    )


def state_by(clocks, alert):
    """Open as long as one of its servers is not past it."""
    past = [clocks[server] > alert["until"] for server in alert["servers"]]
    return "resolved" if all(past) else "open"


def in_order(found):
    return sorted(found, key=lambda alert: (alert["kind"], alert["key"], alert["first"]))


@pytest.fixture(autouse=True, scope="module")
def one_second():
    """Write timestamps hold the second of an attempt: without it, what is written is equal."""
    with mock.patch.object(writer, "time", SimpleNamespace(time=lambda: 0.0)):
        yield


class Tables:
    """What Cassandra would hold, as far as the writer reads it again."""

    def __init__(self):
        self.buckets, self.alerts, self.changes, self.present = {}, {}, {}, set()
        self.state = None

    def put(self, row):
        if row.cql == writer.BUCKET:
            self.buckets[row.values[:5]] = row.values[5]
        elif row.cql == writer.PRESENT:
            self.present.add(row.values[:2])
        elif row.cql == writer.ALERT:
            stamp, known = row.values[-1], self.alerts.get(row.values[:3])
            if known is None or stamp >= known[-1]:
                self.alerts[row.values[:3]] = row.values
        elif row.cql == writer.CHANGE:
            self.changes[row.values[1:3]] = row.values[3:5]
        elif row.cql == writer.STATE:
            names = ("query", "batch_id", "servers", "before")
            self.state = SimpleNamespace(**dict(zip(names, row.values, strict=False)))

    def live(self):
        """The content of every alert that is not merged."""
        made = (alert_of(alert_row(values)) for values in self.alerts.values())
        return in_order(alert.content() for alert in made if alert.state != "merged")


def alert_row(values):
    names = (
        "kind key first last until peak peak_second servers state merged_into seq batch_id before"
    )
    row = dict(zip(names.split(), values, strict=False))
    for name in ("first", "last", "until", "peak_second"):
        row[name] = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=row[name])
    return SimpleNamespace(**row)


class MemoryWriter(Writer):
    """The writer above Tables; `survivors` are how many rows it writes before it dies."""

    def __init__(self, settings, tables, survivors=None):
        cluster = SimpleNamespace(connect=lambda: None)
        self.tables, self.survivors = tables, survivors
        super().__init__(settings, cluster)

    def _create(self):
        pass

    def prepared(self, cql):
        return cql

    def run(self, cql, *_):
        if "FROM state" in cql:
            return SimpleNamespace(one=lambda: self.tables.state)
        if "FROM alerts" in cql:
            return [alert_row(values) for values in self.tables.alerts.values()]
        assert "FROM files" in cql
        return []

    def run_many(self, work):
        for cql, values in work:
            if cql == writer.STORED:
                part, metric, slot, batch = values
                yield [
                    SimpleNamespace(counts=text)
                    for (p, m, s, b, _), text in self.tables.buckets.items()
                    if (p, m, s) == (part, metric, slot) and b < batch
                ]
            else:
                assert "FROM alerts WHERE kind = ? AND key = ?" in cql
                rows = self.tables.alerts.values()
                yield [alert_row(row) for row in rows if row[:2] == tuple(values)]

    def parts(self, metric, *_):
        return [part for name, part in self.tables.present if name == metric]

    def send(self, rows):
        for row in rows:
            if self.survivors == 0:
                raise KeyboardInterrupt
            self.survivors = None if self.survivors is None else self.survivors - 1
            self.tables.put(row)


def batch_of(lines):
    minutes, outcomes = {}, defaultdict(Counter)
    for line in lines:
        outcomes[line.server]["counted"] += 1
        minute = line.second // MINUTE_S * MINUTE_S
        leaf = [(line.server, line.second, line.ip, 1)]
        counts.add(minutes.setdefault((counts.IP, minute), {}), leaf)
        if line.status != "200":
            leaf = [(line.server, line.second, line.status, 1)]
            counts.add(minutes.setdefault((counts.NON_200, minute), {}), leaf)
    return Batch(minutes, {}, {server: dict(each) for server, each in outcomes.items()})


def settings_of(resolves):
    flags = {
        "speed.window_seconds": WINDOW_S,
        "speed.alert_gap_seconds": GAP_S,
        "speed.ddos_requests_per_second": LIMIT,
        "speed.health_non_200": OPENS,
        "speed.health_resolve_non_200": resolves,
    }
    return config.load(flags={key: str(value) for key, value in flags.items()})


def replayed(batches, resolves, deaths=()):
    """The tables after these batches; before batch n the first deaths[n] rows are written alone."""
    tables, settings = Tables(), settings_of(resolves)
    stream = MemoryWriter(settings, tables)
    stream.resume("query", 0)
    for number, lines in enumerate(batches):
        for survivors in deaths[number : number + 1]:
            dying = MemoryWriter(settings, tables, survivors)
            dying.resume("query", number)
            with suppress(KeyboardInterrupt):
                dying.write(number, batch_of(lines))
            stream = MemoryWriter(settings, tables)
            stream.resume("query", number)
        stream.write(number, batch_of(lines))
    return tables


def cut(lines, places):
    edges = sorted({0, len(lines), *(place % (len(lines) + 1) for place in places)})
    return [lines[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("held", [0, 1, 20])
def test_minutes_too_big_to_be_held_make_the_same_alerts(monkeypatch, held):
    monkeypatch.setattr(recent, "MINUTE_LEAVES", held)
    for seed in range(25):
        lines = lines_of(seed)
        batches = cut(lines, range(0, len(lines), 17))
        assert replayed(batches, OPENS).live() == truth(lines, OPENS)


CUTS = st.lists(st.integers(0, 300), max_size=8)


@hypothesis_settings(max_examples=examples(60), deadline=None)
@given(LINES, CUTS, st.integers(0, OPENS))
def test_any_order_and_any_cuts_make_the_alerts_of_all_lines(lines, places, resolves):
    assert replayed(cut(lines, places), resolves).live() == truth(lines, resolves)


@hypothesis_settings(max_examples=examples(30), deadline=None)
@given(LINES, CUTS, st.integers(0, OPENS), st.lists(st.integers(0, 90), max_size=8))
def test_a_batch_that_dies_and_runs_again_reports_the_same(lines, places, resolves, deaths):
    batches = cut(lines, places)
    calm, struck = replayed(batches, resolves), replayed(batches, resolves, deaths)
    assert struck.alerts == calm.alerts
    assert struck.changes == calm.changes


class Forgetful(MemoryWriter):
    """Before each sending named in `at` the tables forget all that this batch has written."""

    def __init__(self, settings, tables, at):
        super().__init__(settings, tables)
        self.at, self.sendings, self.calm = set(at), 0, None

    def write(self, number, batch):
        self.calm = deepcopy(self.tables)
        super().write(number, batch)

    def send(self, rows):
        self.sendings += 1
        if self.sendings in self.at:
            self.retry.outages += 1
            vars(self.tables).update(vars(deepcopy(self.calm)))
        super().send(rows)


@hypothesis_settings(max_examples=examples(30), deadline=None)
@given(LINES, CUTS, st.integers(0, OPENS), st.lists(st.integers(1, 40), max_size=8))
def test_what_a_killed_store_has_forgotten_of_a_batch_is_written_again(lines, places, resolves, at):
    batches, tables = cut(lines, places), Tables()
    stream = Forgetful(settings_of(resolves), tables, at)
    stream.resume("query", 0)
    for number, part in enumerate(batches):
        stream.write(number, batch_of(part))
    calm = replayed(batches, resolves)
    assert vars(tables) == vars(calm)


def test_a_store_that_has_forgotten_an_earlier_batch_is_refused():
    tables = Tables()
    stream = MemoryWriter(settings_of(OPENS), tables)
    stream.resume("query", 0)
    stream.write(0, batch_of(burst(1)))
    known = deepcopy(tables)
    stream.write(1, batch_of(burst(2)))
    vars(tables).update(vars(known))
    for _ in range(2):  # Whoever asks again must not get past it.
        with pytest.raises(ClickstreamError, match="the last was 1, it holds 0") as failure:
            stream.write(2, batch_of(burst(3)))
        assert "speed reset" in failure.value.hint
    assert vars(tables) == vars(known)
    vars(tables).update(vars(Tables()))
    with pytest.raises(ClickstreamError, match="it holds none"):
        stream.write(2, batch_of(burst(3)))


@hypothesis_settings(max_examples=examples(30), deadline=None)
@given(LINES, CUTS, st.integers(0, OPENS))
def test_every_change_is_reported_once_in_order_and_ends_at_what_is_stored(lines, places, resolves):
    tables = replayed(cut(lines, places), resolves)
    told_of = defaultdict(list)
    for place in sorted(tables.changes):
        event, text = tables.changes[place]
        told_of[Alert.of(text).id].append((event, Alert.of(text)))
    stored = {a.id: a for a in map(alert_of, map(alert_row, tables.alerts.values()))}
    assert told_of.keys() == stored.keys()
    for name, changes in told_of.items():
        assert [alert.seq for _, alert in changes] == list(range(1, len(changes) + 1))
        assert (changes[0][0], changes[0][1].state) == ("open", "open")
        assert changes[-1][1] == stored[name]
        for (_, one), (_, other) in pairwise(changes):
            assert one.content() != other.content()
        if stored[name].state == "merged":
            assert changes[-1][0] == "merged-into"
            assert stored[stored[name].merged_into].first < stored[name].first


def burst(second, requests=LIMIT + 1, ip="10.0.0.1", server="weblog1"):
    return [Line(server, BASE + second, ip, "200")] * requests


def errors(second, n=1, server="weblog1"):
    return [Line(server, BASE + second, f"10.9.9.{host}", "500") for host in range(n)]


def clock(second, server="weblog1"):
    return [Line(server, BASE + second, "10.8.8.8", "200")]


def events(*batches, resolves=OPENS):
    """Each change as (batch, event, first second, last second, sequence number)."""
    tables = replayed(batches, resolves)
    made = [(place[0], *tables.changes[place]) for place in sorted(tables.changes)]
    told_of = [(batch, event, Alert.of(text)) for batch, event, text in made]
    return [(b, event, a.first - BASE, a.last - BASE, a.seq) for b, event, a in told_of]


def test_an_attack_opens_goes_on_and_resolves_once_the_gap_is_over():
    found = events(burst(0), burst(GAP_S), clock(2 * GAP_S), clock(2 * GAP_S + 1), clock(90))
    assert found == [(0, "open", 0, 0, 1), (1, "update", 0, 5, 2), (3, "resolved", 0, 5, 3)]


def test_seconds_further_apart_than_the_gap_are_two_attacks():
    found = events(burst(0), burst(GAP_S + 1))
    assert found == [(0, "open", 0, 0, 1), (1, "resolved", 0, 0, 2), (1, "open", 6, 6, 1)]


def test_a_late_line_joins_two_attacks_and_the_later_one_says_so():
    found = events([*burst(0), *burst(8)], burst(4, LIMIT), burst(4, 1, server="weblog2"))
    assert found == [
        (0, "open", 0, 0, 1),
        (0, "resolved", 0, 0, 2),
        (0, "open", 8, 8, 1),
        (2, "open", 0, 8, 3),
        (2, "merged-into", 8, 8, 2),
    ]


def test_an_attack_that_turns_out_to_have_begun_earlier_has_another_id():
    found = events(burst(8), burst(6))
    assert found == [(0, "open", 8, 8, 1), (1, "open", 6, 8, 1), (1, "merged-into", 8, 8, 2)]


def test_requests_of_both_servers_are_one_attack():
    tables = replayed([burst(0, 2), burst(0, 1, server="weblog2")], OPENS)
    (alert,) = tables.live()
    assert (alert["peak"], alert["servers"]) == (3, ("weblog1", "weblog2"))


def test_the_clock_of_another_server_resolves_nothing():
    ahead = clock(7200, "weblog2")
    assert events(ahead, burst(0), clock(GAP_S)) == [(1, "open", 0, 0, 1)]
    assert events(ahead, errors(0, OPENS + 1), clock(WINDOW_S - 1)) == [(1, "open", 0, 0, 1)]
    assert events(burst(0), ahead, clock(GAP_S + 1))[1:] == [(2, "resolved", 0, 0, 2)]


def test_an_attack_on_two_servers_is_over_once_both_are_past_it():
    both = [*burst(0, 2), *burst(0, 1, server="weblog2")]
    changes = events(both, clock(90), clock(GAP_S, "weblog2"), clock(GAP_S + 1, "weblog2"))
    assert changes == [(0, "open", 0, 0, 1), (3, "resolved", 0, 0, 2)]


def test_an_alert_that_is_over_in_the_batch_that_opens_it_is_reported_as_open_first():
    changes = events([*burst(0), *errors(1, OPENS + 1), *clock(90)])
    assert changes == [
        (0, "open", 0, 0, 1),
        (0, "resolved", 0, 0, 2),
        (0, "open", 1, 1, 1),
        (0, "resolved", 1, 1, 2),
    ]


def test_an_outage_lasts_as_long_as_the_trailing_count_is_above():
    found = events(
        errors(0, 3), errors(2, 1), clock(9), clock(10), errors(11, 2), errors(12), errors(13)
    )
    assert found == [(1, "open", 2, 2, 1), (3, "resolved", 2, 2, 2), (6, "open", 13, 13, 1)]


def test_an_outage_resolves_at_a_level_of_its_own():
    found = events(errors(0, 4), errors(5, 2), clock(14), clock(15), resolves=1)
    assert found == [(0, "open", 0, 0, 1), (1, "update", 0, 5, 2), (3, "resolved", 0, 5, 3)]


def test_few_alerts_stay_in_memory(monkeypatch):
    monkeypatch.setattr(lifecycle, "MAX_ALERTS", 1)
    batches = [burst(0), burst(0, ip="b"), burst(0, ip="c"), burst(4), burst(4, ip="b")]
    assert events(*batches)[3:] == [(3, "update", 0, 4, 2), (4, "update", 0, 4, 2)]


def test_an_id_tells_kind_key_and_first_second_and_a_row_obeys_nothing():
    alert = Alert("ddos", "\x1b]0;x\x07\xe9/", BASE, BASE, BASE + 60, 140, BASE, ("a", "b"))
    row = alerts.flat(alert)
    assert row["id"] == "ddos/\\x1b]0;x\\x07\\xe9//2015-05-18T09:00:00Z"
    assert (row["servers"], row["merged_into"], row["until"]) == (
        "a,b",
        None,
        "2015-05-18T09:01:00Z",
    )
    assert all(str(value).isprintable() for value in row.values())
    assert Alert.of(alert.text()) == alert
