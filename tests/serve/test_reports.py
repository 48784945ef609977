"""Questions and their rows, from tiny views in memory."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clickstream import config
from clickstream.alerts import Alert
from clickstream.clocks import DayVolume
from clickstream.config import Settings
from clickstream.config.sections import Server, Speed
from clickstream.days import DaySelection, instant
from clickstream.errors import NoData, NotRunning, UsageError
from clickstream.serve import reports
from clickstream.serve.layers import Layers
from clickstream.serve.reports import Question, from_batch, from_realtime
from clickstream.serve.when import second
from clickstream.views.batch import BatchViews, DayInputs

MADE = {"made_with": "{}", "run": "r"}
NOON = second("--at", "2015-05-18T12:00:00Z")
DAY = 86_400


class Event(NamedTuple):
    """One request of a log."""

    server: str
    second: int
    category: str = "/"
    ok: bool = True


class Offender(NamedTuple):
    """An alert as the real-time views have it."""

    ip: str
    second: int
    requests: int


class Memory:
    """The reading side of the real-time view, over a list of events."""

    def __init__(
        self,
        *events: Event,
        offenders: tuple[Offender, ...] = (),
        alerts: tuple[Alert, ...] = (),
        zone_s: int = 0,
    ) -> None:
        self.zone_s = zone_s
        self.events = events
        self.found = offenders
        self.stored_alerts = alerts
        self.line_counts: dict[str, dict[str, int]] = {}

    def alerts(self) -> list[Alert]:
        return list(self.stored_alerts)

    def status(self) -> dict[str, Any]:
        return {"servers": self.line_counts}

    def latest(self) -> int | None:
        return max((event.second for event in self.events), default=None)

    def days(self) -> list[str]:
        return sorted({instant(event.second)[:10] for event in self.events})

    def volumes(self) -> dict[str, DayVolume]:
        lines = Counter(instant(event.second + self.zone_s)[:10] for event in self.events)
        return {day: DayVolume(n, "2026-01-01") for day, n in lines.items()}

    def latest_by_server(self) -> dict[str, int]:
        return {event.server: event.second for event in sorted(self.events, key=lambda e: e.second)}

    def servers(self) -> list[str]:
        return sorted(self.latest_by_server())

    def last_seconds(self, day: str, servers: list[str] | None = None) -> dict[str, int]:
        of_day = sorted(e for e in self.events if instant(e.second).startswith(day))
        last = {event.server: event.second for event in of_day}
        return {server: last[server] for server in last if servers is None or server in servers}

    def categories(self, server: str, start: int, end: int) -> Counter[str]:
        return Counter(e.category for e in self._of(server) if start < e.second <= end)

    def non_200(self, ends: dict[str, int]) -> dict[str, int]:
        return {server: self._non_200(server, end) for server, end in ends.items()}

    def _non_200(self, server: str, end: int) -> int:
        return sum(not e.ok for e in self._of(server) if end - 300 < e.second <= end)

    def non_200_peaks(self, day: str | None) -> dict[str, Any]:
        peaks = {server: self._peak(server, day) for server in self.servers()}
        return {server: peak for server, peak in peaks.items() if peak}

    def _peak(self, server: str, day: str | None) -> tuple[int, int] | None:
        bad = [e.second for e in self._of(server) if not e.ok and instant(e.second) >= (day or "")]
        return max(((s, self._non_200(server, s)) for s in bad), key=lambda x: x[1], default=None)

    def offenders(self, day: str | None) -> list[Offender]:
        return [each for each in self.found if instant(each.second).startswith(day or "")]

    def _of(self, server: str) -> list[Event]:
        return [event for event in self.events if server in ("all", event.server)]


class FakeBatchViews:
    """The reading side of the batch views, over daily rows that it hands out as they are."""

    def __init__(self, visitors: dict[str, int], final: bool = True) -> None:
        self.counts = visitors
        self.final = final
        self.asked: list[Any] = []

    def runs(self, days: list[str] | None) -> list[dict[str, Any]]:
        assert days is None
        closed = "2026-01-01T00:00:00Z"
        when = {"finished": closed, "closed_ms": 1000 * second("--at", closed), "final": self.final}
        return [{"date": day, "lines": n} | when for day, n in sorted(self.counts.items())]

    def inputs(self, days: list[str] | None = None) -> dict[str, DayInputs]:
        return {day: DayInputs([], {"visitor": "host"}, "r") for day in days or self.counts}

    def visitors(self, days: list[str] | None, server: str | None = None) -> list[dict[str, Any]]:
        return [
            {"date": day, "server": server or "all", "unique_visitors": count, "requests": count}
            for day, count in sorted(self.counts.items())
            if days is None or day in days
        ]

    def categories(self, days: list[str], server: str | None, top: int) -> list[dict[str, Any]]:
        self.asked = [days, server, top]
        name = "/caf\xe9\x1b"
        return [{"date": days[0], "server": "all", "category": name, "requests": 1}]


BATCH_VIEWS = FakeBatchViews({"2015-05-17": 341, "2015-05-18": 627, "2015-05-20": 600})


def _away() -> Any:
    raise NotRunning("Cassandra does not answer")


def _only(batch_views: FakeBatchViews) -> Layers:
    return Layers(lambda: batch_views, _away)


def _batch(
    report: str, batch_views: FakeBatchViews = BATCH_VIEWS, **question: Any
) -> list[dict[str, Any]]:
    return from_batch(_only(batch_views), report, Question(**question)).rows


def _realtime(report: str, view: Memory, **question: Any) -> list[dict[str, Any]]:
    return from_realtime(view, report, Question(**question)).rows


# ---- the batch layer


def test_distribution_has_the_change_against_the_day_before() -> None:
    keys = ("date", "unique_visitors", "requests", "change")
    assert [tuple(row[key] for key in keys) for row in _batch("distribution")] == [
        ("2015-05-17", 341, 341, None),
        ("2015-05-18", 627, 627, 286),
        ("2015-05-20", 600, 600, -27),
    ]


def test_the_day_before_counts_even_when_it_was_not_asked_for() -> None:
    rows = _batch("distribution", days=DaySelection(only="2015-05-18"))
    assert [(row["date"], row["change"]) for row in rows] == [("2015-05-18", 286)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (DaySelection(), ["2015-05-17", "2015-05-18", "2015-05-20"]),
        (DaySelection(first="2015-05-18"), ["2015-05-18", "2015-05-20"]),
        (DaySelection(last="2015-05-19"), ["2015-05-17", "2015-05-18"]),
        (DaySelection(first="2015-05-18", last="2015-05-19"), ["2015-05-18"]),
        (DaySelection(count=1), ["2015-05-20"]),
        (DaySelection(count=3), ["2015-05-18", "2015-05-20"]),
        (DaySelection(first="2016-01-01"), []),
    ],
)
def test_days(days: DaySelection, expected: list[str]) -> None:
    assert [row["date"] for row in _batch("visitors", days=days)] == expected


STRAY = FakeBatchViews({"1970-01-01": 1, "2024-03-26": 10, "2024-03-28": 10, "2036-02-07": 1})


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ["2024-03-28"]), (7, ["2024-03-26", "2024-03-28"])]
)
def test_a_day_ahead_of_its_time_is_not_the_newest_and_is_named(
    count: int, expected: list[str]
) -> None:
    answer = from_batch(_only(STRAY), "visitors", Question(days=DaySelection(count=count)))
    assert [row["date"] for row in answer.rows] == expected
    (note,) = answer.notes
    assert "2036-02-07 (lines: 1)" in note
    assert answer.footer == f"{answer.layer}\nnote: {note}"
    every = from_batch(_only(STRAY), "visitors", Question())
    assert (every.rows[-1]["date"], every.notes) == ("2036-02-07", ())


def test_the_period_before_goes_back_from_the_newest_day() -> None:
    question = Question(days=DaySelection(count=1), compare=True)
    answer = from_batch(_only(STRAY), "visitors", question)
    assert [(row["date"], row["requests_change"]) for row in answer.rows] == [("2024-03-28", None)]
    assert "2024-03-27" in answer.layer


def test_one_day_without_data_is_an_error() -> None:
    with pytest.raises(NoData, match="no data for 2015-05-19"):
        _batch("visitors", days=DaySelection(only="2015-05-19"))


def test_a_day_that_was_computed_and_is_empty_has_no_data() -> None:
    with pytest.raises(NoData):
        _batch("visitors", FakeBatchViews({"2015-05-18": 0}), days=DaySelection(only="2015-05-18"))


def test_a_batch_layer_that_never_ran_says_how_to_run_it() -> None:
    with pytest.raises(NoData, match="has not run yet") as error:
        _batch("visitors", FakeBatchViews({}))
    assert "clickstream batch run" in error.value.hint


def test_categories_are_shown_not_obeyed() -> None:
    (row,) = _batch("categories", days=DaySelection(only="2015-05-18"), server="weblog1", top=3)
    assert row["category"] == "/caf\\xe9\\x1b"
    assert BATCH_VIEWS.asked == [["2015-05-18"], "weblog1", 3]


UNKNOWN = "how many requests have come since is not known: Cassandra does not answer"


@pytest.mark.parametrize(
    ("final", "said"), [(True, "final"), (False, f"provisional: 2015-05-18; {UNKNOWN}")]
)
def test_the_answer_names_its_layer(final: bool, said: str) -> None:
    views = _only(FakeBatchViews({"2015-05-18": 1}, final))
    answer = from_batch(views, "visitors", Question())
    assert answer.layer == f"batch layer, as of 2026-01-01T00:00:00Z, {said}"


@pytest.mark.parametrize("report", ["visitors", "distribution"])
def test_each_day_says_whether_its_figures_are_final(report: str) -> None:
    class Views(FakeBatchViews):
        def runs(self, days: list[str] | None) -> list[dict[str, Any]]:
            return [run | {"final": run["date"] < "2015-05-18"} for run in super().runs(days)]

    views = Views({"2015-05-17": 3, "2015-05-18": 1})
    rows = _batch(report, views)
    assert {row["date"]: row["state"] for row in rows} == {
        "2015-05-17": "final",
        "2015-05-18": "provisional",
    }
    assert all(list(row) == list(reports.COLUMNS[report]) for row in rows)


def test_the_batch_views_answer(tmp_path: Path) -> None:
    settings = config.load(None, tmp_path, {"database.url": f"sqlite:///{tmp_path}/views.db"})
    keys = {"date": "2015-05-18", "server": "all"}
    run = {"finished": "2026-01-01T00:00:00Z", "seconds": 1.0, "files": 1, "bytes": 1, "copies": 0}
    with BatchViews.connect(settings) as views:
        views.replace_day(
            "2015-05-18",
            {
                "daily_visitors": [keys | {"unique_visitors": 2, "requests": 3}],
                "daily_categories": [
                    keys | {"rank": rank, "category": name, "requests": n}
                    for rank, name, n in [(1, "/\xe9", 3), (2, "/b", 2), (3, "/c", 2)]
                ],
                "batch_runs": [
                    run
                    | {"date": "2015-05-18", "closed_ms": 0, "distinct_lines": 3, "manifest": "[]"}
                    | MADE
                ],
            },
        )
    asked = Question.parse(settings, date="2015-05-18", server="all", top=1)
    visited = {"unique_visitors": 2, "requests": 3}
    assert [reports.ask(settings, name, asked).rows for name in reports.BATCH] == [
        [keys | visited | {"state": "provisional"}],
        [{"date": "2015-05-18"} | visited | {"change": None, "state": "provisional"}],
        [keys | {"category": "/\\xe9", "requests": 3}],
    ]
    rest = Question.parse(settings, top=1, other=True)
    assert reports.ask(settings, "categories", rest).rows == [
        keys | {"category": "/\\xe9", "requests": 3},
        keys | {"category": "(other)", "requests": 4},
    ]
    answer = reports.ask(settings, "visitors", asked)
    assert answer.layer.startswith(
        "batch layer, as of 2026-01-01T00:00:00Z, provisional: 2015-05-18; how many requests"
    )


# ---- the speed layer


def test_popularity_counts_the_window_from_after_its_start_to_its_end() -> None:
    view = Memory(
        Event("weblog1", NOON - 300, "/at-the-start"),
        Event("weblog1", NOON - 299, "/b"),
        Event("weblog2", NOON - 10, "/a"),
        Event("weblog2", NOON - 10, "/c"),
        Event("weblog2", NOON, "/c"),
    )
    rows = _realtime("popularity", view)
    assert [(row["rank"], row["category"], row["requests"]) for row in rows] == [
        (1, "/c", 2),
        (2, "/a", 1),
        (3, "/b", 1),
    ]
    assert {(row["server"], row["window_start"], row["window_end"]) for row in rows} == {
        ("all", "2015-05-18T11:55:00Z", "2015-05-18T12:00:00Z")
    }


def test_popularity_of_one_server_ends_with_the_latest_of_all() -> None:
    view = Memory(Event("weblog1", NOON - 600), Event("weblog2", NOON))
    assert _realtime("popularity", view, server="weblog1") == []
    (row,) = _realtime("popularity", view, server="weblog1", window=900)
    assert row["window_end"] == instant(NOON)


def test_popularity_top() -> None:
    view = Memory(*(Event("weblog1", NOON, f"/{name}") for name in "dcba"))
    rows = _realtime("popularity", view, top=2)
    assert [row["category"] for row in rows] == ["/a", "/b"]


def test_the_rest_of_popularity_is_a_row_when_it_is_asked_for() -> None:
    view = Memory(*(Event("a", NOON, c) for c in ("/x", "/x", "/y", "/z", "/(other)")))
    rows = _realtime("popularity", view, top=2, other=True)
    assert [(r["rank"], r["category"], r["requests"]) for r in rows] == [
        (1, "/x", 2),
        (2, "/(other)", 1),
        (None, "(other)", 2),
    ]
    assert len(_realtime("popularity", view, top=4, other=True)) == 4
    assert len(_realtime("popularity", view, top=2)) == 2


def test_what_was_not_counted_is_listed_per_server() -> None:
    view = Memory(Event("a", NOON))
    view.line_counts = {
        "b": {"rows": 9, "copies": 2, "set_aside": 1, "skipped": 4, "latest": 1},
        "a": {"rows": 9, "copies": 2, "set_aside": 0, "skipped": 0, "latest": 1},
        "?": {"rows": 3, "copies": 0, "set_aside": 0, "skipped": 3, "latest": 0},
    }
    layer = from_realtime(view, "popularity", Question()).layer
    assert layer.endswith("; not counted: ? 3 skipped; b 1 set aside, 4 skipped")
    view.line_counts = {"a": view.line_counts["a"]}
    assert "not counted" not in from_realtime(view, "popularity", Question()).layer


def test_popularity_at_a_moment() -> None:
    view = Memory(Event("weblog1", NOON - 60, "/before"), Event("weblog1", NOON, "/after"))
    (row,) = _realtime("popularity", view, at=NOON - 1)
    assert (row["category"], row["window_end"]) == ("/before", "2015-05-18T11:59:59Z")


@pytest.mark.parametrize("latest", [NOON, NOON - NOON % DAY, NOON - NOON % DAY + DAY - 1])
def test_popularity_of_a_day_ends_with_its_latest_event(latest: int) -> None:
    view = Memory(Event("weblog1", latest, "/last"), Event("weblog1", latest + DAY, "/next-day"))
    (row,) = _realtime("popularity", view, days=DaySelection(only="2015-05-18"))
    assert (row["category"], row["window_end"]) == ("/last", instant(latest))


OFFENDERS = Memory(
    Event("weblog1", NOON),
    Event("weblog1", NOON + 2 * DAY),
    offenders=(Offender("1.2.3.4", NOON, 140), Offender("evil\x1b", NOON + DAY, 101)),
)


def test_ddos() -> None:
    assert _realtime("ddos", OFFENDERS) == [
        {"ip": "1.2.3.4", "second": "2015-05-18T12:00:00Z", "requests": 140},
        {"ip": "evil\\x1b", "second": "2015-05-19T12:00:00Z", "requests": 101},
    ]


@pytest.mark.parametrize(
    ("days", "requests"),
    [
        (DaySelection(only="2015-05-18"), [140]),
        (DaySelection(first="2015-05-19"), [101]),
        (DaySelection(count=2), [101]),
        (DaySelection(count=1), []),
        (DaySelection(only="2015-05-20"), []),
    ],
)
def test_ddos_of_days(days: DaySelection, requests: list[int]) -> None:
    assert [row["requests"] for row in _realtime("ddos", OFFENDERS, days=days)] == requests


@pytest.mark.parametrize("zone_s", [0, -10 * 3600, 13 * 3600])
def test_a_stray_day_of_the_speed_layer_is_not_the_newest(zone_s: int) -> None:
    """Days are as printed there, and UTC here: the same stray one, whatever the zone."""
    events = [Event("a", NOON + n // 20 * DAY) for n in range(40)] + [Event("a", NOON + 90 * DAY)]
    offenders = tuple(Offender("1.2.3.4", NOON + days * DAY, 140) for days in (0, 1))
    view = Memory(*events, offenders=offenders, zone_s=zone_s)
    one = Question(days=DaySelection(count=1))
    answer = from_realtime(view, "ddos", one)
    assert [row["second"] for row in answer.rows] == [instant(NOON + DAY)]
    assert "lines: 1)" in answer.notes[0]


def test_a_server_without_a_line_in_the_window_is_named_with_its_lag() -> None:
    view = Memory(Event("a", NOON - 7200), Event("b", NOON - 299), Event("c", NOON))
    answer = from_realtime(view, "popularity", Question())
    assert answer.notes == (
        "a has no line in the window; its clock, at 2015-05-18T10:00:00Z, is 2 h behind the"
        " latest event",
    )
    assert from_realtime(view, "popularity", Question(server="a")).notes == ()
    earlier = from_realtime(view, "popularity", Question(at=NOON - 7200)).notes
    assert earlier[0] == "b has no line in the window; its latest event is of 2015-05-18T11:55:01Z"
    assert [note.split()[0] for note in earlier] == ["b", "c"]


OUTAGE = Memory(
    *(Event("weblog1", NOON + at, ok=False) for at in range(11)),
    Event("weblog1", NOON + 310),
    Event("weblog2", NOON - 900),
)


def test_health_is_as_of_each_servers_latest_second() -> None:
    assert _realtime("health", OUTAGE) == [
        {"server": "weblog1", "window_end": instant(NOON + 310), "non_200": 0, "state": "ok"},
        {"server": "weblog2", "window_end": instant(NOON - 900), "non_200": 0, "state": "ok"},
    ]


def test_health_at_its_peak() -> None:
    (row,) = _realtime("health", OUTAGE, peak=True, server="weblog1")
    assert row == {
        "server": "weblog1",
        "window_end": instant(NOON + 10),
        "non_200": 11,
        "state": "alert",
    }


def test_exactly_the_limit_is_no_alert() -> None:
    view = Memory(*(Event("weblog1", NOON, ok=False) for _ in range(10)))
    assert _realtime("health", view)[0]["state"] == "ok"


def test_a_server_that_never_failed_has_a_peak_of_none() -> None:
    (row,) = _realtime("health", OUTAGE, peak=True, server="weblog2")
    assert (row["non_200"], row["window_end"]) == (0, instant(NOON - 900))


def test_health_of_a_day() -> None:
    view = Memory(
        Event("weblog1", NOON), Event("weblog1", NOON + DAY), Event("weblog2", NOON + DAY)
    )
    rows = _realtime("health", view, days=DaySelection(only="2015-05-18"))
    assert [(row["server"], row["window_end"]) for row in rows] == [("weblog1", instant(NOON))]


@pytest.mark.parametrize("report", ["popularity", "ddos", "health"])
def test_a_utc_day_without_data_is_an_error(report: str) -> None:
    with pytest.raises(NoData, match="no data for 2015-05-17"):
        _realtime(report, OFFENDERS, days=DaySelection(only="2015-05-17"))


@pytest.mark.parametrize("report", ["popularity", "ddos", "health"])
def test_a_speed_layer_that_saw_nothing_says_how_to_run_it(report: str) -> None:
    with pytest.raises(NoData) as error:
        _realtime(report, Memory())
    assert "clickstream speed run" in error.value.hint


@pytest.mark.parametrize("report", ["popularity", "ddos", "health"])
def test_rows_of_the_speed_layer_hold_the_columns(report: str) -> None:
    view = Memory(*OUTAGE.events, offenders=OFFENDERS.found)
    for row in _realtime(report, view):
        assert tuple(row) == reports.COLUMNS[report]


@pytest.mark.parametrize("report", ["visitors", "distribution", "categories"])
def test_rows_of_the_batch_layer_hold_the_columns(report: str) -> None:
    for row in _batch(report):
        assert tuple(row) == reports.COLUMNS[report]


# ---- what may be asked


SETTINGS = Settings(servers={"weblog1": Server(agent="agent1")}, speed=Speed(health_non_200=20))


def test_an_unknown_server_is_refused_with_the_configured_ones() -> None:
    with pytest.raises(UsageError, match="no server weblog9") as refused:
        Question.parse(SETTINGS, server="weblog9")
    assert refused.value.hint == "servers of this configuration: weblog1"


def test_the_limit_of_health_is_configured() -> None:
    assert Question.parse(SETTINGS, server="all").non_200_limit == 20


def test_a_window_ends_once() -> None:
    with pytest.raises(UsageError):
        Question.parse(SETTINGS, date="2015-05-18", at="2015-05-18T00:00:00Z")


def _alert(kind: str, key: str, first: int, last: int, state: str, server: str) -> Alert:
    return Alert(kind, key, first, last, last + 60, 150, first, (server,), state, seq=2)


ALERTS = (
    _alert("ddos", "1.1.1.1", NOON - 13 * 3600, NOON, "resolved", "weblog1"),
    _alert("health", "weblog1", NOON, NOON, "open", "weblog1"),
    _alert("health", "weblog2", NOON + DAY, NOON + DAY, "resolved", "weblog2"),
    _alert("ddos", "1.1.1.1", NOON, NOON, "merged", "weblog2"),
)


@pytest.mark.parametrize(
    ("question", "indexes"),
    [
        (Question(), [0, 1, 2]),
        (Question(kind="ddos"), [0]),
        (Question(kind="health", server="weblog2"), [2]),
        (Question(kind="health", server="all"), [1, 2]),
        (Question(state="open"), [1]),
        (Question(state="merged"), [3]),
        (Question(days=DaySelection(only="2015-05-17")), [0]),
        (Question(days=DaySelection(only="2015-05-18")), [0, 1]),
        (Question(days=DaySelection(first="2015-05-19")), [2]),
        (Question(days=DaySelection(count=1)), [2]),
    ],
)
def test_alerts_are_chosen_by_kind_state_server_and_every_day_they_last(
    question: Question, indexes: list[int]
) -> None:
    events = [Event("weblog1", NOON + days * DAY) for days in (-1, 0, 1)]
    rows = from_realtime(Memory(*events, alerts=ALERTS), "alerts", question).rows
    assert [row["id"] for row in rows] == [ALERTS[index].id for index in indexes]


def test_an_alert_has_these_keys() -> None:
    (row,) = from_realtime(
        Memory(Event("weblog1", NOON), alerts=ALERTS[1:2]), "alerts", Question()
    ).rows
    assert row == {
        "id": "health/weblog1/2015-05-18T12:00:00Z",
        "kind": "health",
        "key": "weblog1",
        "state": "open",
        "first": "2015-05-18T12:00:00Z",
        "last": "2015-05-18T12:00:00Z",
        "until": "2015-05-18T12:01:00Z",
        "peak": 150,
        "peak_second": "2015-05-18T12:00:00Z",
        "servers": "weblog1",
        "merged_into": None,
        "seq": 2,
        "batch": -1,
    }


def test_alerts_of_a_day_without_a_line_are_no_data() -> None:
    with pytest.raises(NoData, match="2015-05-20"):
        from_realtime(
            Memory(Event("weblog1", NOON)), "alerts", Question(days=DaySelection(only="2015-05-20"))
        )
