"""A day on one page: from the two layers, from one of them, and with hostile text in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from clickstream import cli, config
from clickstream.config import Settings
from clickstream.errors import NoData, NotRunning
from clickstream.serve import compare, day_page, day_text, heat_map, reports
from clickstream.serve.reports import Answer, Question

DAY = "2015-05-18"
SERVERS = ("weblog1", "weblog2", "all")
ROWS: dict[str, list[dict[str, Any]]] = {
    "visitors": [
        {"date": DAY, "server": name, "unique_visitors": n, "requests": 10 * n, "state": "final"}
        for n, name in enumerate(SERVERS, 1)
    ],
    "responses": [
        {"date": DAY, "server": name, "success": 9, "failure": 1, "other": 0}
        | {"requests": 10, "state": "merged"}
        for name in SERVERS
    ],
    "traffic": [
        {"date": DAY, "hour": hour, "server": name, "requests": hour + 1, "state": "final"}
        | dict.fromkeys(("success", "failure", "other"), 0)
        for hour in (0, 23)
        for name in SERVERS
    ],
    "categories": [{"date": DAY, "server": "all", "category": "/a|<b>`\\x1b", "requests": 7}],
    "alerts": [],
    "health": [{"server": "weblog1", "window_end": f"{DAY}T09:00:00Z", "non_200": 12}],
}
ROWS["health"][0]["state"] = "alert"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load(home=tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Question]]:
    """The questions; the layers answer with ROWS."""
    questions: list[tuple[str, Question]] = []

    def answer(_: object, report: str, question: Question) -> Answer:
        questions.append((report, question))
        rows = [dict(row) for row in ROWS[report]]
        columns = reports.COLUMNS[report]
        if question.compare:
            measures = compare.MEASURES[report]
            rows = [row | {f"{name}_percent": 1.5 for name in measures} for row in rows]
            columns += tuple(f"{name}_percent" for name in measures)
        return Answer(rows, columns, "", f"layer of {report}", ())

    monkeypatch.setattr(reports, "answer", answer)
    return questions


def fails(report: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One report has no answer."""
    answer = reports.answer

    def failing(connections: Any, name: str, question: Question) -> Answer:
        if name == report:
            raise NotRunning("MariaDB is not running")
        return answer(connections, name, question)

    monkeypatch.setattr(reports, "answer", failing)


@pytest.mark.usefixtures("asked")
def test_json_has_every_report_by_its_name(settings: Settings) -> None:
    reported = json.loads(json.dumps(day_page.page(settings, DAY).as_dict()))
    assert reported["date"] == DAY
    for name in day_page.REPORTS:
        assert isinstance(reported[name], list), name
    assert reported["visitors"] == ROWS["visitors"]
    assert reported["alerts"] == []
    assert [row["server"] for row in reported["hourly"]] == [*SERVERS, *SERVERS]
    assert set(reported["hourly"][0]) == {"hour", "server", "requests", "state"}
    assert reported["errors"] == {}
    assert reported["layers"]["health"] == "layer of health"


def test_every_question_is_of_that_day(settings: Settings, asked: list[Any]) -> None:
    day_page.page(settings, DAY, compare=True)
    assert {question.days.only for _, question in asked} == {DAY}
    compared = {name for name, question in asked if question.compare}
    assert compared == {"visitors", "responses", "traffic", "categories"}
    assert [q.peak for name, q in asked if name == "health"] == [True]


def test_without_a_date_it_is_the_newest(settings: Settings, asked: list[Any]) -> None:
    assert day_page.page(settings).date == DAY
    assert asked[0][1].days.count == 1


@pytest.mark.usefixtures("asked")
def test_one_layer_away_the_other_answers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails("visitors", monkeypatch)
    page = day_page.page(settings)
    assert page.date == DAY
    assert page.as_dict()["errors"] == {"visitors": "MariaDB is not running"}
    assert "visitors: not answered: MariaDB is not running" in day_text.text(page, None, False)
    assert "weblog1" in day_text.text(page, None, False)


def test_a_day_without_data_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> Answer:
        raise NoData(f"there is no data for {DAY}")

    monkeypatch.setattr(reports, "answer", nothing)
    with pytest.raises(NoData, match=DAY):
        day_page.page(settings, DAY)
    with pytest.raises(NoData):
        day_page.page(settings)


@pytest.mark.usefixtures("asked")
def test_a_table_for_a_pipe_has_every_figure_and_no_colour(settings: Settings) -> None:
    text = day_text.text(day_page.page(settings, DAY, compare=True), None, False)
    assert "\x1b" not in text
    assert "unique_visitors_percent" in text
    for words in ("requests and visitors", "hours", "categories", "health", "no alerts"):
        assert words in text
    assert "layer of visitors" in text


@pytest.mark.usefixtures("asked")
def test_colours_on_a_terminal(settings: Settings) -> None:
    assert "\x1b[" in day_text.text(day_page.page(settings, DAY), 80, True)


@pytest.mark.usefixtures("asked")
def test_markdown_holds_hostile_text_as_code(settings: Settings) -> None:
    text = day_text.as_markdown(day_page.page(settings, DAY))
    assert "| ``/a\\|<b>`\\x1b`` | 7 |" in text
    assert text.startswith(f"## {DAY}\n")
    assert "| server | 00 | 01 |" in text


@pytest.mark.usefixtures("asked")
def test_the_command(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--home", str(settings.home), "report", "all", "--date", DAY]
    assert cli.main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["date"] == DAY
    assert cli.main([*words, "--format", "markdown"]) == 0
    assert "### hours" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert cli.main(["report", "all", "--date", "yesterday"]) == 2


def test_weekdays_are_a_heat_map_where_there_are_colours(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"weekday": "Mon", "hour": 9, "server": "all", "requests": 4_321, "state": "final"}]
    answer = Answer(rows, ("weekday", *reports.COLUMNS["hourly"]), "requests", "layer", ())
    monkeypatch.setattr(reports, "ask", lambda *_: answer)
    words = ["--home", str(settings.home), "report", "hourly", "--by-weekday"]
    monkeypatch.setattr(heat_map, "colours", lambda: True)
    assert cli.main(words) == 0
    head, *hours, last = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["Mon", "Tue"]
    assert len(hours) == 24
    assert "4,321" in hours[9]
    assert last == "layer"
    monkeypatch.setattr(heat_map, "colours", lambda: False)
    assert cli.main(words) == 0
    assert "weekday" in capsys.readouterr().out
