"""Rows as text: for eyes, for programs, for spreadsheets, and never obeyed by a terminal."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.console import output

HOSTILE = "/\x1b[2J\u202e[red]\n<script>"
HOURS = [
    {"hour": 0, "server": "all", "requests": 0},
    {"hour": 9, "server": "all", "requests": 1},
    {"hour": 10, "server": "all", "requests": 5000},
    {"hour": 11, "server": "all", "requests": 10000},
]
COLUMNS = ("hour", "server", "requests")


def test_json_is_an_array_of_the_columns_chosen() -> None:
    rows = [{"date": "2015-05-18", "change": None, "secret": 1}]
    assert json.loads(output.text(rows, ("date", "change"), "json")) == [
        {"date": "2015-05-18", "change": None}
    ]


def test_json_keeps_the_order_of_rows_and_columns() -> None:
    lines = output.text(HOURS, COLUMNS, "json").splitlines()
    assert lines[0] == '[{"hour": 0, "server": "all", "requests": 0},'
    assert lines[-1] == ' {"hour": 11, "server": "all", "requests": 10000}]'


@pytest.mark.parametrize(("form", "expected"), [("json", "[]\n"), ("csv", "a,b\n")])
def test_no_rows(form: output.Format, expected: str) -> None:
    assert output.text([], ("a", "b"), form) == expected


def test_no_rows_in_a_table_leave_its_head() -> None:
    assert "hour" in output.text([], COLUMNS, "table", bar="requests")


def test_no_rows_are_noted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([], ("a",), "json")
    assert capsys.readouterr() == ("[]\n", "No rows.\n")


def test_rows_leave_stderr_silent(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(HOURS, COLUMNS, "csv")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("width", [None, 40])
def test_hostile_text_is_shown(form: output.Format, width: int | None) -> None:
    shown = output.text([{"x": HOSTILE}], ("x",), form, footer=HOSTILE, width=width)
    if width is None or form != "table":
        assert "\x1b" not in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown


@given(st.text())
def test_json_gives_back_any_printable_text(text: str) -> None:
    shown = json.loads(output.text([{"x": text}], ("x",), "json"))[0]["x"]
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "＝1"])
def test_a_formula_is_text_in_a_spreadsheet(text: str) -> None:
    sheet = output.text([{"x": text}], ("x",), "csv")
    assert list(csv.reader(io.StringIO(sheet)))[1] == ["'" + text]


def test_a_tab_or_return_cannot_begin_a_cell() -> None:
    sheet = output.text([{"x": "\t=1"}, {"x": "\r=1"}], ("x",), "csv")
    assert sheet == "x\n\\t=1\n\\r=1\n"


def test_numbers_stay_numbers_in_csv() -> None:
    rows = [{"change": -5, "requests": 12000}, {"change": None, "requests": 0}]
    assert output.text(rows, ("change", "requests"), "csv") == "change,requests\n-5,12000\n,0\n"


def test_csv_quotes() -> None:
    cells = ['/a,"b"', "/c;d"]
    sheet = output.text([{"x": cell} for cell in cells], ("x",), "csv")
    assert [row[0] for row in csv.reader(io.StringIO(sheet))][1:] == cells


def test_bars_measure_against_the_longest() -> None:
    lines = output.text(HOURS, COLUMNS, "table", bar="requests").splitlines()[2:]
    full, half, least, none = (lines[at].split()[3:] for at in (3, 2, 1, 0))
    assert len(full[0]) == 2 * len(half[0]) == output.BAR_WIDTH
    assert least == ["▏"]
    assert none == []


def test_a_pipe_gets_whole_cells_without_colour() -> None:
    long = "/" + "x" * 5000
    table = output.text([{"category": long, "n": 1}], ("category", "n"), "table")
    assert long in table
    assert "\x1b" not in table


def test_the_rule_below_the_head_does_not_go_with_a_long_cell_into_a_pipe() -> None:
    table = output.text([{"category": "x" * 5000, "n": 1}], ("category", "n"), "table")
    rule = table.splitlines()[1]
    assert set(rule.strip()) == {"─"}
    assert len(rule) == output.RULE_WIDTH
    assert "─" * 41 not in output.text(HOURS, COLUMNS, "table", bar="requests", width=40)


def test_a_terminal_gets_folded_cells_and_loses_nothing() -> None:
    table = output.text([{"category": "x" * 100, "n": 1}], ("category", "n"), "table", width=40)
    assert table.count("x") == 100
    assert "…" not in table


def test_the_footer_stands_below_the_table_only() -> None:
    assert output.text(HOURS, COLUMNS, "table", footer="batch layer").endswith("\nbatch layer\n")
    assert "batch layer" not in output.text(HOURS, COLUMNS, "csv", footer="batch layer")


def test_a_number_that_names_something_is_not_grouped():
    (_, _, line) = output.text(
        [{"pid": 12345, "lines": 12345}], ["pid", "lines"], "table"
    ).splitlines()
    assert line.split() == ["12345", "12,345"]


CELLS = st.text(st.sampled_from("ab /é–…漢█é\u0301👍"), max_size=9)


@given(st.lists(st.tuples(CELLS, st.integers(-5, 9_999_999) | st.none()), max_size=5))
def test_a_table_without_a_terminal_looks_as_on_a_wide_one(rows: list[tuple[str, int]]) -> None:
    named = [{"name": name, "n": n} for name, n in rows]
    plain = output.text(named, ("name", "n"), "table")
    wide = re.sub(r"\x1b\[[0-9;]*m", "", output.text(named, ("name", "n"), "table", width=10**6))
    assert plain.splitlines() == [line.rstrip() for line in wide.splitlines()]
