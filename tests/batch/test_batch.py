"""Which days a run computes, and how a job's counts become rows: without Spark."""

import base64
import datetime
import signal
import subprocess
import sys

import pytest

from clickstream import config
from clickstream.batch import run, view_rows
from clickstream.batch.view_rows import CATEGORIES, TRAFFIC, VISITORS
from clickstream.clocks import DayVolume
from clickstream.days import DaySelection
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.master import File
from clickstream.views.batch import DayInputs

TODAY = datetime.date(2015, 5, 20)
PRESENT = ["2015-05-17", "2015-05-18", "2015-05-19", "9999-12-31"]
VOLUMES = {day: DayVolume(100, TODAY.isoformat()) for day in PRESENT}


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, PRESENT),
        ({"every": True}, PRESENT),
        ({"only": "2015-05-18"}, ["2015-05-18"]),
        ({"only": "yesterday"}, ["2015-05-19"]),
        ({"only": "latest"}, ["2015-05-19"]),
        ({"first": "2015-05-18"}, PRESENT[1:]),
        ({"last": "2015-05-18"}, PRESENT[:2]),
        ({"first": "2016-01-01", "last": "2016-01-02"}, []),
    ],
)
def test_chosen_days(options, chosen):
    given = {"only": None, "first": None, "last": None, "every": False} | options
    selection = DaySelection.for_batch(**given)
    assert run.select(selection, PRESENT, TODAY, lambda: VOLUMES) == chosen
    assert selection.is_empty == (not options)


@pytest.mark.parametrize(
    "given",
    [
        ("2015-02-30", None, None, False),
        ("20150218", None, None, False),
        ("tomorrow", None, None, False),
        (None, "2015-05-19", "2015-05-18", False),
        ("2015-05-18", None, None, True),
        (None, "2015-05-18", None, True),
    ],
)
def test_a_wrong_choice_is_refused(given):
    with pytest.raises(UsageError):
        DaySelection.for_batch(*given)


@pytest.mark.parametrize(
    ("only", "present", "message"),
    [
        ("2015-05-16", PRESENT, "2015-05-17 to 9999-12-31"),
        ("yesterday", ["2015-05-18"], "no lines of 2015-05-19"),
        ("latest", [], "empty"),
    ],
)
def test_a_single_day_without_lines(only, present, message):
    with pytest.raises(NoData, match=message):
        run.select(DaySelection(only=only), present, TODAY, dict)


def test_yesterday_goes_by_utc_and_says_so():
    assert (
        DaySelection(only="yesterday")
        .yesterday_hint(TODAY)
        .startswith("yesterday is 2015-05-19, by UTC")
    )
    assert (
        DaySelection(only="2015-05-19").yesterday_hint(TODAY)
        == DaySelection(only="latest").yesterday_hint(TODAY)
        == ""
    )


def traffic(server, minute, status, n, seen=None):
    count = {"minute": minute, "status": status, "n": n, "seen": seen or n}
    return {"g": TRAFFIC, "server": server} | count


def digests(*visitors):
    return base64.b64encode(b"".join(n.to_bytes(16, "big") for n in visitors)).decode()


COUNTS = [
    {"g": VISITORS, "server": "a", "n": 7, "digests": digests(1, 5, 3, 4, 2)},
    {"g": VISITORS, "server": "b", "n": 1, "digests": digests(4, 6)},
    traffic("a", "00:01", "200", 4, seen=5),
    traffic("a", "00:59", "304", 1),
    traffic("a", "00:59", "404", 2),
    traffic("b", "00:59", "101", 1, seen=3),
    {"g": CATEGORIES, "server": "a", "category": "/b", "n": 3},
    {"g": CATEGORIES, "server": "a", "category": "/\xe9", "n": 3},
    {"g": CATEGORIES, "server": "a", "category": "/B", "n": 1},
    {"g": CATEGORIES, "server": "b", "category": "/\xe9", "n": 1},
]
RUN = view_rows.Run(
    "2015-05-18", [File("x", 10, 7), File("y", 20, 1)], 1_431_907_200.9, 1.25, {}, "r"
)


SETS = {"a": (1, 2, 3, 4, 5), "b": (4, 6)}


@pytest.fixture
def rows():
    return view_rows.rows(RUN, COUNTS)


def test_a_visitor_of_two_servers_counts_once_for_all(rows):
    visitors = {row["server"]: row["unique_visitors"] for row in rows["daily_visitors"]}
    assert visitors == {"a": 5, "b": 2, "all": 6}


def test_who_came_is_kept_per_server_in_order(rows):
    sets = {row["server"]: row["digests"] for row in rows["visitor_sets"]}
    assert sets == {name: base64.b64decode(digests(*who)) for name, who in SETS.items()}


def test_every_table_adds_up_to_the_same_requests(rows):
    for table in ("daily_visitors", "daily_responses", "status_counts", "hourly_traffic"):
        sums = {"a": 0, "b": 0, "all": 0}
        for row in rows[table]:
            sums[row["server"]] += row["requests"]
        assert sums == {"a": 7, "b": 1, "all": 8}, table
    assert sum(row["requests"] for row in rows["minute_traffic"]) == 8
    assert {row["server"] for row in rows["minute_traffic"]} == {"a", "b"}


def test_classes_of_a_minute(rows):
    row = next(r for r in rows["minute_traffic"] if (r["server"], r["minute"]) == ("a", "00:59"))
    assert (row["success"], row["failure"], row["other"], row["requests"]) == (1, 2, 0, 3)


def test_categories_are_ranked_by_requests_and_then_by_bytes(rows):
    ranked = [
        (row["rank"], row["category"], row["requests"])
        for row in rows["daily_categories"]
        if row["server"] == "all"
    ]
    assert ranked == [(1, "/\xe9", 4), (2, "/b", 3), (3, "/B", 1)]
    first = next(row for row in rows["daily_categories"] if row["server"] == "a")
    assert first["category"] == "/b"


def test_the_run(rows):
    (row,) = rows["batch_runs"]
    assert row["finished"] == "2015-05-18T00:00:00Z"
    assert (row["distinct_lines"], row["copies"], row["files"], row["bytes"]) == (8, 3, 2, 30)
    assert row["closed_ms"] == 7


def test_lines_without_fields_are_counted():
    bad = {"g": TRAFFIC, "server": "a", "minute": "x", "n": 2, "seen": 2}
    assert view_rows.unparsed([*COUNTS, bad]) == 2


SETTINGS = config.load()
MADE = DayInputs([list(file) for file in RUN.manifest], view_rows.made_with(SETTINGS), "r")


@pytest.mark.parametrize(
    ("files", "made", "state", "why"),
    [
        (RUN.manifest, MADE, "fresh", ""),
        (RUN.manifest, None, "missing", ""),
        (None, MADE, "gone", ""),
        (RUN.manifest[:1], MADE, "dirty", "its files have changed"),
        (
            [RUN.manifest[0], RUN.manifest[1]._replace(modified_ms=2)],
            MADE._replace(made_with=MADE.made_with | {"visitor": "host+agent", "categories": "x"}),
            "dirty",
            "its files have changed; a visitor was one host+agent; categories were mapped"
            " otherwise",
        ),
    ],
)
def test_how_a_day_stands(files, made, state, why):
    assert run._standing(SETTINGS, files, made) == {"state": state, "why": why}


@pytest.mark.parametrize(("files", "why"), [(None, ""), (RUN.manifest, run.CAME_SINCE)])
def test_a_pruned_day_is_neither_gone_nor_missing_nor_fresh(files, why):
    for made in (None, MADE):
        found = run._standing(SETTINGS, files, made, removed=True)
        assert found == {"state": "pruned", "why": why}


class Enough(Exception):
    """The test has seen what it came for."""


def test_turns_go_on_after_one_that_fails():
    turns, reported = iter([ClickstreamError("first"), None, Enough()]), []

    def turn():
        error = next(turns)
        if error:
            raise error

    with pytest.raises(Enough):
        run.repeat(turn, 0, reported.append)
    assert [str(error) for error in reported] == ["first"]


def test_turns_end_with_what_stays_wrong():
    def turn():
        raise UsageError("wrong")

    with pytest.raises(UsageError):
        run.repeat(turn, 0, print)


def test_ctrl_c_ends_a_batch_that_runs_every_so_often(tmp_path):
    flags = {"database.url": f"sqlite:///{tmp_path}/v.db", "hdfs.web": "http://127.0.0.1:1"}
    settings = config.load(home=tmp_path / "home", flags=flags)
    argv = [sys.executable, "-m", "clickstream.cli", "batch", "run", "--every", "1s"]
    child = subprocess.Popen(argv, env=settings.child_env(), stderr=subprocess.PIPE, text=True)
    errors = (line for line in child.stderr if line.startswith("Error:"))
    assert next(errors) == next(errors)
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
