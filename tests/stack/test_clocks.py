"""Servers whose clocks differ, days of a wrong clock, statuses that are configured as healthy."""

import json
import time
from calendar import timegm
from collections.abc import Iterator
from pathlib import Path

import pytest

from clickstream import weblog
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.views.realtime import RealTime
from tests.stack import streams
from tests.stack.homes import Command, fresh_home, runner
from tests.stack.test_speed_layer import BASE, line, stamped

HOUR = 3600
ATTACKER = b"198.51.100.77"


@pytest.fixture
def tolerant(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home in which 304 is healthy, too."""
    yield from fresh_home(settings, tmp_path / "home", **{"speed.healthy_statuses": "304,200"})


def visits(first: int, path: bytes) -> list[bytes]:
    """Two minutes with a line a second."""
    return [line(first + n, b"203.0.113.%d" % (n % 4), path) for n in range(120)]


def ask(run: Command, *words: str) -> list[dict]:
    return json.loads(run(*words, "--format", "json").stdout)


def test_each_servers_clock_is_its_own(tolerant):
    """weblog2 is two hours ahead; an attack of 130 requests in one second comes to weblog1."""
    run = runner(tolerant)
    right = visits(BASE, b"/right")
    attack = [line(BASE + 60, ATTACKER, b"/login")] * 130
    one = stamped("weblog1", right[:60] + attack + right[60:])
    two = stamped("weblog2", visits(BASE + 2 * HOUR, b"/ahead"))
    with streams.stream(tolerant) as hand:
        hand.take({1: two})
        hand.take({0: one})
    (row,) = ask(run, "report", "ddos")
    assert (row["ip"], row["requests"]) == (ATTACKER.decode(), 130)
    (alert,) = ask(run, "alert", "list", "--state", "open")
    assert (alert["key"], alert["peak"], alert["servers"]) == (ATTACKER.decode(), 130, "weblog1")
    with RealTime.connect(tolerant) as views:
        assert [change.event for change in views.changes((-1, -1), 9)] == ["open"]

    lag = "weblog1 has no line in the window; its clock, at 2015-05-18T09:01:59Z, is 2 h behind"
    assert lag in run("report", "popularity").stdout
    popular = run("report", "popularity", "--format", "json")
    assert [(each["category"], each["requests"]) for each in json.loads(popular.stdout)] == [
        ("/ahead", 120)
    ]
    assert lag in popular.stderr
    past = run("report", "popularity", "--at", "2015-05-18T09:01:00Z").stdout
    assert ("note: weblog2" in past, "note: weblog1" in past) == (True, False)
    status = run("speed", "status").stdout
    assert "the servers' clocks differ: weblog1 is 2 h behind" in status
    assert json.loads(run("speed", "status", "--format", "json").stdout)["clocks_behind"] == {
        "weblog1": 2 * HOUR
    }
    healthy_is_what_is_configured(tolerant, run)


def healthy_is_what_is_configured(tolerant: Settings, run: Command) -> None:
    """Ten minutes of 304, 304, 200 and 301 in turn: of the last five, only the 301s count."""
    first = BASE + 24 * HOUR
    statuses = [(304, 304, 200, 301)[n % 4] for n in range(60)]
    logged = [line(first + 10 * n, b"203.0.113.20", status=s) for n, s in enumerate(statuses)]
    lines = stamped("weblog1", [b"x" * 100_000, *logged])[1:]
    with streams.stream(tolerant, 2) as hand:
        hand.take({0: lines})
    end = 10 * 59
    expected = sum(s == 301 for n, s in enumerate(statuses) if end - 300 < 10 * n <= end)
    (row,) = ask(run, "report", "health", "--server", "weblog1")
    assert (row["non_200"], row["state"]) == (expected, "ok")
    attacks = [ask(run, "report", "ddos", "--last", days) for days in ("1d", "2d")]
    assert [len(rows) for rows in attacks] == [0, 1]
    assert expected <= 10 < sum(s != 200 for s in statuses[-30:])


def test_a_day_ahead_of_its_time_is_not_the_newest_of_the_batch_layer(fresh, run):
    days = {"2024-03-26": 10, "2024-03-27": 10, "2024-03-28": 10, "2036-02-07": 1, "1970-01-01": 1}
    offset = 0
    for day, n in days.items():
        noon = timegm(time.strptime(f"{day}T12", "%Y-%m-%dT%H"))
        lines = [line(noon + at, b"203.0.113.%d" % (at % 4)) for at in range(n)]
        content = b""
        for raw in lines:
            content += weblog.stamp("weblog1", "0123456789abcdef", offset, raw) + b"\n"
            offset += len(raw) + 1
        path = f"{fresh.hdfs.master}/dt={day}/server=weblog1/part.1"
        Hdfs.connect(fresh).write(path, [content])
    run("batch", "run")
    shown = run("report", "visitors", "--last", "7d", "--server", "all", "--format", "json")
    assert [
        (row["date"], row["unique_visitors"], row["requests"]) for row in json.loads(shown.stdout)
    ] == [(day, 4, 10) for day in sorted(days)[1:4]]
    assert "2036-02-07 (lines: 1)" in shown.stderr
    for report in ("responses", "hourly"):
        assert "2036-02-07 (lines: 1)" in run("report", report, "--last", "1d").stdout
    latest = run("batch", "run", "--date", "latest", "--format", "json")
    assert [row["date"] for row in json.loads(latest.stdout)] == ["2024-03-28"]
    assert "2036-02-07" in latest.stderr
