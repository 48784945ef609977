"""A report asked again each second, as it is printed."""

import json

import pytest

from clickstream.errors import UsageError
from clickstream.serve import watch
from clickstream.serve.reports import COLUMNS, Answer

WINDOW = {"window_start": "a", "window_end": "b", "server": "all"}


def answer(*requests, layer="as of then"):
    rows = [
        {"rank": rank, "category": "/\x1b[2J", "requests": n} | WINDOW
        for rank, n in enumerate(requests, 1)
    ]
    return Answer(rows, COLUMNS["popularity"], "requests", layer)


def test_json_is_an_array_on_a_line_of_its_own(capsys):
    watch.show(iter([answer(), answer(3, 2)]), "json")
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == []
    assert [row["requests"] for row in second] == [3, 2]


def test_without_a_terminal_tables_follow_one_another(capsys):
    watch.show(iter([answer(3), answer(4, layer="as of now")]), "table")
    shown = capsys.readouterr().out
    assert shown.index("as of then") < shown.index("as of now")
    assert "\x1b" not in shown


def test_on_a_terminal_a_table_takes_the_place_of_the_one_before(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    watch.show(iter([answer(3), answer(4, layer="as of now")]), "table")
    shown = capsys.readouterr().out
    assert "as of then" in shown
    assert "\x1b[1A\x1b[2K" in shown[shown.index("as of then") : shown.index("as of now")]
    assert "\x1b[2J" not in shown


def test_csv_is_refused():
    with pytest.raises(UsageError, match="--watch"):
        watch.show(iter([answer(1)]), "csv")


def test_each_second_is_asked_for_over_one_connection(monkeypatch, tmp_path):
    from tests.serve.test_reports import Event, Memory

    views, slept = Memory(), []

    class Connected:
        def __enter__(self):
            return views

        def __exit__(self, *_):
            slept.append("closed")

    monkeypatch.setattr(
        "clickstream.views.realtime.RealTime.connect", lambda _, reader: Connected()
    )
    monkeypatch.setattr(watch.time, "sleep", slept.append)
    asked = watch.answers(None, "popularity", watch.Question())
    assert next(asked).rows == []
    views.events = (Event("a", 100, "/x"),)
    assert [row["requests"] for row in next(asked).rows] == [1]
    views.events += (Event("a", 99, "/x"),)
    assert [row["requests"] for row in next(asked).rows] == [2]
    assert len(slept) == 2
    assert all(0 <= seconds <= 1 for seconds in slept)
    asked.close()
    assert slept[2:] == ["closed"]
