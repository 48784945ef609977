"""Questions about ranges of days, from real batch views: totals, weekdays, the period before."""

import base64
import hashlib
import json

import pytest

from clickstream import config
from clickstream.batch import view_rows
from clickstream.batch.view_rows import CATEGORIES, TRAFFIC, VISITORS
from clickstream.errors import ClickstreamError, UsageError
from clickstream.serve import reports
from clickstream.views.batch import BatchViews
from clickstream.views.batch_tables import DIGEST_BYTES

WITH = {"visitor": "host", "categories": ""}
# day -> server -> [(host, minute, status, category)]
REQUESTS = {
    "2015-05-14": {"a": [("h1", "09:00", "200", "/x"), ("h2", "09:00", "404", "/y")]},
    "2015-05-16": {"a": [("h1", "10:00", "200", "/x")], "b": [("h3", "09:30", "200", "/x")]},
    "2015-05-17": {"a": [("h1", "09:00", "200", "/x")] * 3, "b": [("h1", "09:00", "500", "/x")]},
    "2015-05-18": {"b": [("h1", "09:00", "200", "/z"), ("h4", "23:59", "101", "/x")]},
}


def digest(host):
    return hashlib.sha256(host.encode()).digest()[:DIGEST_BYTES]


def counts(day):
    """What the job would collect of a day."""
    found = []
    for server, requests in REQUESTS[day].items():
        digests = base64.b64encode(b"".join(map(digest, {request[0] for request in requests})))
        visitors = {"n": len(requests), "digests": digests.decode()}
        found.append({"g": VISITORS, "server": server} | visitors)
        for _, minute, status, category in requests:
            one = {"server": server, "n": 1, "seen": 1}
            found.append(one | {"g": TRAFFIC, "minute": minute, "status": status})
            found.append(one | {"g": CATEGORIES, "category": category})
    return found


@pytest.fixture
def settings(tmp_path):
    flags = {"database.url": f"sqlite:///{tmp_path}/views.db", "servers.a.agent": "x"}
    settings = config.load(home=tmp_path, flags=flags | {"servers.b.agent": "y"})
    with BatchViews.connect(settings) as views:
        for day in REQUESTS:
            views.replace_day(
                day, view_rows.rows(view_rows.Run(day, [], 0, 1, WITH, "r"), counts(day))
            )
    return settings


@pytest.fixture
def ask(settings):
    def ask(report, **options):
        question = reports.Question.parse(settings, **options)
        answer = reports.ask(settings, report, question)
        assert all(tuple(row) == answer.columns for row in answer.rows)
        return answer

    return ask


def total(first, last, days, *servers):
    span = {"from": first, "to": last, "days": days}
    keys = ("server", "unique_visitors", "requests")
    return [span | dict(zip(keys, row, strict=True)) for row in servers]


def test_a_visitor_of_many_days_and_servers_counts_once(ask):
    rows = ask("visitors", total=True).rows
    assert rows == total("2015-05-14", "2015-05-18", 4, ("a", 2, 6), ("all", 4, 10), ("b", 3, 4))
    rows = ask("visitors", first="2015-05-15", last="2015-05-17", total=True, server="all").rows
    assert rows == total("2015-05-16", "2015-05-17", 2, ("all", 2, 6))


def test_the_total_of_one_day_is_that_day(ask):
    for day in REQUESTS:
        whole = {row["server"]: row["unique_visitors"] for row in ask("visitors", date=day).rows}
        rows = ask("visitors", date=day, total=True).rows
        assert {row["server"]: row["unique_visitors"] for row in rows} == whole


def test_visitors_of_two_kinds_are_not_counted_together(ask, settings):
    other = WITH | {"visitor": "host+agent"}
    day = "2015-05-18"
    with BatchViews.connect(settings) as views:
        views.replace_day(
            day, view_rows.rows(view_rows.Run(day, [], 0, 1, other, "r"), counts(day))
        )
    for options in ({"total": True}, {"date": day, "compare": True}):
        with pytest.raises(ClickstreamError, match=r"one host, in others one host\+agent"):
            ask("visitors", **options)
    assert len(ask("visitors", last="2015-05-17", total=True).rows) == 3


def test_a_day_of_many_visitors_is_stored_in_parts(ask, settings, monkeypatch):
    monkeypatch.setattr(view_rows, "PART_VISITORS", 1)
    day = "2015-05-14"
    rows = view_rows.rows(view_rows.Run(day, [], 0, 1, WITH, "r"), counts(day))
    assert [row["part"] for row in rows["visitor_sets"]] == [0, 1]
    with BatchViews.connect(settings) as views:
        views.replace_day(day, rows)
    assert ask("visitors", total=True, server="a").rows[0]["unique_visitors"] == 2


def test_hours_by_weekday_sum_the_days_of_a_name(ask, settings):
    with BatchViews.connect(settings) as views:
        later = counts("2015-05-14")
        views.replace_day(
            "2015-05-21", view_rows.rows(view_rows.Run("2015-05-21", [], 0, 1, WITH, "r"), later)
        )
    assert [tuple(row.values())[:-1] for row in ask("hourly", by_weekday=True).rows] == [
        ("Mon", 9, "all", 1),
        ("Mon", 23, "all", 1),
        ("Thu", 9, "all", 4),
        ("Sat", 9, "all", 1),
        ("Sat", 10, "all", 1),
        ("Sun", 9, "all", 4),
    ]
    assert ask("hourly", by_weekday=True, server="b").rows[0]["server"] == "b"


def changes(rows, key, *measures):
    return {
        row[key]: tuple(
            row[f"{name}_{kind}"] for name in measures for kind in ("change", "percent")
        )
        for row in rows
    }


def test_a_day_beside_the_day_before(ask):
    rows = ask("visitors", date="2015-05-17", compare=True).rows
    assert changes(rows, "server", "unique_visitors", "requests") == {
        "a": (0, 0.0, 2, 200.0),
        "b": (0, 0.0, 0, 0.0),
        "all": (-1, -50.0, 2, 100.0),
    }


def test_what_was_not_there_before_was_nothing_in_a_day_that_was_counted(ask):
    rows = ask("responses", date="2015-05-18", server="b", compare=True).rows
    assert changes(rows, "server", "success", "failure", "other", "requests") == {
        "b": (1, None, -1, -100.0, 1, None, 1, 100.0)
    }
    rows = ask("categories", date="2015-05-18", server="all", top=2, compare=True).rows
    assert changes(rows, "category", "requests") == {"/x": (-3, -75.0), "/z": (1, None)}


def test_a_rank_among_the_top_is_not_needed_before(ask, settings, monkeypatch):
    day = "2015-05-19"
    monkeypatch.setitem(REQUESTS, day, {"b": [("h1", "09:00", "200", "/z")]})
    with BatchViews.connect(settings) as views:
        views.replace_day(day, view_rows.rows(view_rows.Run(day, [], 0, 1, WITH, "r"), counts(day)))
    rows = ask("categories", date=day, server="all", top=1, compare=True).rows
    assert changes(rows, "category", "requests") == {"/z": (0, 0.0)}


def test_days_of_a_range_stand_beside_their_like(ask):
    answer = ask("visitors", first="2015-05-16", last="2015-05-17", server="all", compare=True)
    assert changes(answer.rows, "date", "requests") == {
        "2015-05-16": (0, 0.0),
        "2015-05-17": (None, None),
    }
    expected = "compared with 2015-05-14 to 2015-05-15 (1 of its 2 days have no data)"
    assert answer.layer.endswith(expected)


def test_sums_stand_beside_sums(ask):
    days = {"first": "2015-05-17", "last": "2015-05-18", "compare": True}
    assert changes(ask("hourly", **days).rows, "hour", "requests") == {
        9: (4, 400.0),
        23: (1, None),
    }
    rows = ask("hourly", **days, by_weekday=True).rows
    assert changes(rows, "weekday", "requests") == {"Mon": (None, None), "Sun": (None, None)}
    rows = ask("visitors", **days, total=True).rows
    assert changes(rows, "server", "unique_visitors") == {
        "a": (0, 0.0),
        "b": (1, 100.0),
        "all": (0, 0.0),
    }


def test_a_week_beside_the_week_before(ask, settings):
    with BatchViews.connect(settings) as views:
        later = counts("2015-05-18")
        views.replace_day(
            "2015-05-25", view_rows.rows(view_rows.Run("2015-05-25", [], 0, 1, WITH, "r"), later)
        )
    rows = ask("hourly", span="7d", by_weekday=True, compare=True).rows
    assert changes(rows, "weekday", "requests") == {"Mon": (0, 0.0)}


def test_nothing_before_is_not_known(ask):
    rows = ask("hourly", date="2015-05-14", compare=True).rows
    assert changes(rows, "hour", "requests") == {9: (None, None)}


@pytest.mark.parametrize("days", [{}, {"first": "0001-01-02"}])
def test_there_is_no_period_before_everything(ask, days):
    with pytest.raises(UsageError, match="--compare"):
        ask("visitors", compare=True, **days)


def test_days_and_weekdays_are_not_both_listed(ask):
    with pytest.raises(UsageError, match="--by-weekday"):
        ask("hourly", by_day=True, by_weekday=True)


def test_the_command_line_asks_all_of_it(settings, capsys):
    from clickstream.cli import main

    argv = ["--home", str(settings.home)]
    for key in ("database.url", "servers.a.agent", "servers.b.agent"):
        argv += ["--set", f"{key}={settings.origin.flags[key]}"]

    def rows(*line):
        assert main([*argv, "report", *line, "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    span = ("--from", "2015-05-17", "--to", "2015-05-18", "--compare", "previous")
    assert rows("visitors", *span, "--total")[1]["unique_visitors_change"] == 0
    assert rows("hourly", *span, "--by-weekday")[0]["weekday"] == "Mon"
    assert "success_percent" in rows("responses", *span)[0]
    assert "requests_change" in rows("categories", *span)[0]
