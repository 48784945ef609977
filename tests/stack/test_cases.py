"""Logs as people have them, through the real stack: the right figures, not only no error.

The days of the cases differ, so all of them go through as logs of one server, in one replay and one
batch run. What is refused before it is stored stands in tests/ingest/test_cases.py.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from tests import cases
from tests.stack.conftest import SINGLE
from tests.stack.homes import fresh_home, runner
from tests.stack.stores import closed_lines

pytestmark = [
    cases.needs_cases,
    pytest.mark.campaign("a stack of its own; each kind of line is judged in the units, too"),
]

SERVER = "weblog1"
ANY = ("--set", "replay.max_invalid_percent=100")
STORED = (
    "bom",
    "bot-requests",
    "collation",
    "dst",
    "emoji",
    "format-changes-midway",
    "host-notations",
    "leap-second",
    "newsyslog-remarks",
    "time-in-agent",
    "unescaped-quotes",
)
UNUSUAL = "access log #1 50%25 +ä?.log"
COLLATION = {
    "/coop": 7,
    "/cafe": 6,
    "/blog": 5,
    "/café": 4,
    "/Blog": 3,
    "/straße": 3,
    "/BLOG": 2,
    "/caf\\xe9": 2,
    "/strasse": 2,
}


class World(NamedTuple):
    """The home that all cases went through, and what the puts of several files said."""

    settings: Settings
    several: "subprocess.CompletedProcess[str]"
    again: "subprocess.CompletedProcess[str]"

    def ask(self, *words: object) -> list[dict]:
        """The rows of a report that are of the server, or of no server."""
        rows = json.loads(runner(self.settings)("report", *words, "--format", "json").stdout)
        return [row for row in rows if row.get("server", SERVER) == SERVER]

    def day(self, report: str, date: str) -> dict:
        """The one row of a day."""
        (row,) = self.ask(report, "--date", date)
        return row


@pytest.fixture(scope="module")
def world(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every case through source, agent and HDFS, and the batch layer."""
    home = tmp_path_factory.mktemp("cases") / "home"
    with contextmanager(fresh_home)(settings, home, **SINGLE) as own:
        run = runner(own)
        put = partial(run, *ANY, "weblog", "put", "--server", SERVER)
        for case in STORED:
            put(cases.log(case), "--as", f"{case}.log")
        put(cases.log("xff-list", "mixed.log"))
        put(cases.log("colon-in-name"), "--as", UNUSUAL)
        timed = home.parent / "access.log-2024-03-23T10:00:00"
        timed.write_bytes(cases.log("colon-in-name").read_bytes())
        assert "already there" in put(timed).stdout
        files = sorted(cases.log("empty-among-others").parent.iterdir())
        several, again = (put(*files, "--format", "json", code=1) for _ in range(2))
        run("ingest", "start")
        run(*ANY, "ingest", "replay", "--wait")
        run("ingest", "stop")
        run("batch", "run")
        yield World(own, several, again)


@pytest.mark.parametrize(
    ("date", "visitors", "requests"),
    [
        ("2024-03-13", 6, 12),  # xff-list: the lists are rejected
        ("2024-03-15", 50, 1200),  # format-changes-midway
        ("2024-03-17", 3, 12),  # bom
        ("2024-03-22", 4, 12),  # empty-among-others
        ("2024-03-25", 3, 20),  # emoji
        ("2024-04-01", 3, 23),  # bot-requests
        ("2024-04-03", 3, 10),  # time-in-agent
        ("2024-04-04", 12, 12),  # host-notations
        ("2024-10-27", 7, 17),  # dst
    ],
)
def test_visitors(world, date, visitors, requests):
    row = world.day("visitors", date)
    assert (row["unique_visitors"], row["requests"]) == (visitors, requests)


@pytest.mark.parametrize(
    ("date", "requests"), [("2024-03-23", 6), ("2024-04-07", 12), ("2024-04-05", 3)]
)
def test_requests(world, date, requests):
    """colon-in-name, newsyslog-remarks, unescaped-quotes."""
    assert world.day("visitors", date)["requests"] == requests


def test_leap_seconds_count_in_the_day_they_show(world):
    assert world.day("visitors", "2015-06-30")["requests"] == 2
    assert world.day("visitors", "2015-07-01")["requests"] == 1


def test_hours_around_a_change_of_the_clock(world):
    days = {date: {} for date in ("2024-10-27", "2024-03-31", "2024-10-28")}
    for date, hours in days.items():
        rows = world.ask("hourly", "--date", date, "--server", SERVER)
        hours.update({row["hour"]: row["requests"] for row in rows if row["requests"]})
    assert days == {
        "2024-10-27": {1: 3, 2: 12, 3: 2},
        "2024-03-31": {1: 4, 3: 6},
        "2024-10-28": {0: 2, 23: 2},
    }


def categories(world: World, date: str) -> dict[str, int]:
    rows = world.ask("categories", "--date", date, "--top", 100)
    return {row["category"]: row["requests"] for row in rows}


def test_categories_are_told_apart_by_every_byte(world):
    found = categories(world, "2024-03-24")
    assert len(found) == 19
    assert {name: found.pop(name) for name in COLLATION} == COLLATION
    assert set(found.values()) == {1}


def test_emoji(world):
    assert Counter(categories(world, "2024-03-25").values()) == {5: 4}


def test_requests_of_bots(world):
    row = world.day("responses", "2024-04-01")
    assert (row["success"], row["failure"], row["other"]) == (5, 18, 0)
    found = categories(world, "2024-04-01")
    assert (found["(bad-request-line)"], found["(not-a-path)"]) == (10, 5)


def test_what_is_rejected(world):
    rejects = json.loads(runner(world.settings)("ingest", "rejects", "--format", "json").stdout)
    reasons = Counter[str]()
    for row in rejects:
        reasons[row["reason"]] += row["lines"]
    assert reasons["prefix"] == 1000  # format-changes-midway
    assert reasons["bad-quoting"] == 6
    assert reasons["impossible-time"] == 1  # 12:00:60
    assert reasons["not-a-client"] == 6  # the lists
    lines = closed_lines(world.settings, world.settings.hdfs.quarantine)
    assert len(lines) == reasons.total()
    why = {row["reason"]: row["why"] for row in rejects}
    assert "list" in why["not-a-client"]
    assert "shop0.example.org" in why["prefix"]


def test_the_line_behind_a_byte_order_mark_is_stored_with_it(world):
    lines = closed_lines(world.settings, world.settings.hdfs.master)
    marked = [line for line in lines if b"\t\xef\xbb\xbf203.0.113.50 " in line]
    assert len(marked) == 1
    assert marked[0].split(b"\t")[0].endswith(b":0")


def test_each_of_several_files_is_told(world):
    outcomes = [
        {Path(row["file"]).name: row["outcome"] for row in json.loads(done.stdout)}
        for done in (world.several, world.again)
    ]
    assert outcomes == [
        {"access.log": one, "access.log.1": "not stored", "access.log.2": one}
        for one in ("stored", "already there")
    ]
    for done in (world.several, world.again):
        assert "access.log.1 is empty" in done.stderr


def test_unusual_names(world):
    hdfs = Hdfs.connect(world.settings)
    directory = f"{world.settings.hdfs.source}/{SERVER}"
    assert UNUSUAL in {entry.name for entry in hdfs.list(directory)}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf_8(world, encoding):
    """terminal-encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "clickstream.cli", "report", "categories", "--date", "2024-03-25"],
        env=world.settings.child_env() | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    page = done.stdout.decode(encoding)
    for category in ("/\\U0001f4a5 ", "/\\U0001f469\\u200d", "/\\U0001d40f", "/\\u6f22"):
        assert category in page
    assert "---" in page
