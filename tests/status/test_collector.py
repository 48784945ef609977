"""The status as a whole: no part waits for another, none takes another with it."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clickstream import cli, config, status
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.status import collector, page
from clickstream.status.collector import Collector
from clickstream.status.part import Part, Problem, counted, named


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load(home=tmp_path)


def works(_: Settings) -> Part:
    return Part("2 logs", [{"logs": 2}])


def due(_: Settings) -> Part:
    return Part("1 missing", [], [Problem("a day is missing", "clickstream batch run", False)])


def is_away(_: Settings) -> Part:
    raise NotRunning("HDFS is not running", "start it: clickstream stack up")


def breaks(_: Settings) -> Part:
    raise ZeroDivisionError("division by zero")


def test_a_part_that_fails_takes_no_other_with_it(settings: Settings) -> None:
    parts = {"due": due, "away": is_away, "broken": breaks, "works": works}
    found = Collector(settings, parts).collect(5)
    assert found.parts["works"] == works(settings)
    assert found.parts["away"].error == "HDFS is not running"
    assert found.parts["broken"].error == "ZeroDivisionError: division by zero"
    assert [each.part for each in found.problems] == ["away", "broken", "due"]
    assert [each.part for each in found.wrong] == ["away", "broken"]


def test_a_part_that_hangs_is_left_to_itself_and_not_asked_twice(settings: Settings) -> None:
    over, calls = threading.Event(), []

    def hangs(_: Settings) -> Part:
        calls.append(1)
        assert over.wait(60)
        return Part("back", [])

    collected = Collector(settings, {"hangs": hangs, "works": works})
    for _ in range(2):
        found = collected.collect(0.01)
        assert "no answer within 0.01 s" in found.parts["hangs"].error
        assert found.parts["works"].summary == "2 logs"
    over.set()
    assert collected.collect(60).parts["hangs"].summary == "back"
    assert calls == [1]
    assert collected.collect(60).parts["hangs"].summary == "back"
    assert calls == [1, 1]


def test_the_program_does_not_wait_for_what_hangs(tmp_path: Path) -> None:
    """A service that takes connections and never answers, as a stopped process does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = f"127.0.0.1:{port}"
        sets = [f"hdfs.web=http://{address}", f"hdfs.url=hdfs://{address}"]
        sets += [f"kafka.bootstrap={address}", f"database.url=mysql+pymysql://u@{address}/d"]
        sets += ["cassandra.hosts=127.0.0.1", f"cassandra.port={port}"]
        flags = [word for each in sets for word in ("--set", each)]
        words = ["--home", str(tmp_path), *flags, "status", "--format", "json"]
        command = [sys.executable, "-m", "clickstream", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("source", "topic", "speed", "files", "days", "alerts"):
        assert "answer" in told[name]["error"], name


def test_as_json(settings: Settings) -> None:
    found = Collector(settings, {"works": works, "away": is_away}).collect(5).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["healthy"] is False
    assert found["works"] == {"summary": "2 logs", "rows": [{"logs": 2}], "error": None}
    assert found["away"]["rows"] == []
    (problem,) = found["problems"]
    assert problem == {
        "part": "away",
        "text": "HDFS is not running",
        "hint": "start it: clickstream stack up",
        "wrong": True,
    }


def test_the_page_is_a_line_for_each_part_and_obeys_nothing(settings: Settings) -> None:
    hostile = Part("1 open (ddos/\x1b[2J/x)")
    parts = {"works": works, "alerts": lambda _: hostile, "due": due, "away": is_away}
    text = page.text(Collector(settings, parts).collect(5))
    assert "\x1b" not in text
    assert "alerts       1 open (ddos/\\x1b[2J/x)" in text
    wrong, _, later = text.partition("wrong:\n")[2].partition("due:\n")
    assert "HDFS is not running: start it: clickstream stack up" in wrong
    assert "a day is missing: clickstream batch run" in later


def test_a_home_without_anything_answers_every_part(settings: Settings) -> None:
    """Nothing is there: each part says so, and none fails otherwise."""
    found = status.collect(settings)
    assert list(found.parts) == [*collector.PARTS, "not_counted"]
    assert "clickstream stack up" in found.wrong[0].problem.hint
    for name in ("source", "topic", "speed", "files", "days", "alerts"):
        assert "is not running" in found.parts[name].error, name
    for name in ("services", "agents", "spools", "channels", "rejects", "not_counted"):
        assert not found.parts[name].error, name
    assert all(row["state"] == "never started here" for row in found.parts["agents"].rows)


def _status(settings: Settings, *words: str) -> int:
    return cli.main(["--home", str(settings.home), "status", *words])


def test_check_names_the_first_thing_that_is_wrong(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collector, "PARTS", {"due": due, "away": is_away, "broken": breaks})
    assert _status(settings) == 0
    assert _status(settings, "--check") == 1
    error = capsys.readouterr().err.splitlines()
    assert error == ["Error: HDFS is not running", "  start it: clickstream stack up"]


def test_work_that_is_due_is_not_wrong(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collector, "PARTS", {"due": due, "works": works})
    assert _status(settings, "--check", "--format", "json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert reported["healthy"] is True
    assert [each["part"] for each in reported["problems"]] == ["due"]


def test_watch_and_check_exclude_each_other(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(settings, "--check", "--watch") == 2
    assert "--watch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (counted(1, "line"), "1 line"),
        (counted(2000, "line"), "2,000 lines"),
        (named(["a", "b"]), "a, b"),
        (named("abcdef"), "a, b, c and 3 more"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert text == expected


def test_a_refused_login_is_told(settings: Settings) -> None:
    def refused(_: Settings) -> Part:
        raise ClickstreamError("Cassandra refuses the login", "check cassandra.username")

    found = Collector(settings, {"alerts": refused}).collect(5)
    assert found.wrong[0].problem == Problem(
        "Cassandra refuses the login", "check cassandra.username"
    )
