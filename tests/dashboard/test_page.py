"""The page in a real browser."""

import json

import pytest

from clickstream.alerts import Alert
from clickstream.console import output
from clickstream.dashboard import answers, saved, stores
from clickstream.days import instant
from clickstream.errors import ClickstreamError, NoData
from clickstream.serve import evidence, reports
from clickstream.serve.when import WEEKDAYS

from .browser import chromium, shown, visit
from .conftest import LATEST, Line, Views
from .served import serving

__all__ = ["chromium", "visit"]

HOSTILE = '/<img src=x onerror="alert(1)">'
DAYS = [f"2015-05-{day}" for day in range(16, 19)]
STATES = ["final", "provisional", "merged"]


def rows_of(report):
    """Rows in the shapes of the contract, each figure different."""
    if report == "hourly":
        return [
            {"weekday": day, "hour": hour, "server": "all", "requests": 1000 + 24 * n + hour}
            for n, day in enumerate(WEEKDAYS)
            for hour in range(24)
            if (n, hour) != (6, 3)
        ]
    if report == "categories":
        return [
            {"date": DAYS[-1], "server": "all", "category": name, "requests": requests}
            for name, requests in ((HOSTILE, 31), ("/blog", 7))
        ]
    figures = {
        "visitors": ("unique_visitors", "requests"),
        "responses": ("success", "failure", "other"),
        "distribution": ("unique_visitors", "requests", "change"),
    }[report]
    return [
        {"date": day, "server": "all", "state": state}
        | {key: (n - 1) * 1000 + place for place, key in enumerate(figures)}
        for n, (day, state) in enumerate(zip(DAYS, STATES, strict=True))
    ]


@pytest.fixture
def views():
    lines = [Line("weblog1", LATEST - n, HOSTILE if n % 3 else "/blog") for n in range(300)]
    return Views(*lines, Line("weblog2", LATEST), moving=True)


@pytest.fixture
def client(settings, views, monkeypatch):
    def ask(_settings, report, _question, _shared=None):
        rows = rows_of(report)
        return reports.Answer(rows, tuple(rows[0]), "", "batch layer, as of then")

    monkeypatch.setattr(reports, "ask", ask)
    with serving(settings, views.connect) as client:
        yield client


def health_alert(state):
    times = (LATEST - 20, LATEST, LATEST + 290, 34, LATEST - 5)
    return Alert("health", "weblog1", *times, ("weblog1",), state)


def test_figures_are_those_of_the_reports_and_hostile_text_stays_text(client, views, visit):
    views.stored = [health_alert("open")]
    page = visit(client.address)
    page.wait_for_selector(".live")
    assert instant(LATEST).replace("T", " ")[:-1] in page.inner_text("#pill")
    assert shown(page, "#tiles strong") == ["1", "0 not 200", "0 not 200", "1.1", "301"]
    assert shown(page, "#popularity .bar") == [f"{HOSTILE}\n200", "/blog\n101"]
    assert shown(page, "#categories .bar") == [f"{HOSTILE}\n31", "/blog\n7"]
    heat = [
        [cell.inner_text() for cell in row.locator("td").all()]
        for row in page.locator("#hourly tr").all()[1:]
    ]
    assert heat[0] == [f"{1000 + hour:,}" for hour in range(24)]
    assert heat[6][3] == "·"
    table = [text.split() for text in shown(page, "#distribution tr")[1:]]
    assert table[0] == [DAYS[2], "merged", "1,000", "+1,002", "1,001"]
    assert table[2] == [DAYS[0], "-1,000", "-998", "-999"]
    assert "batch layer, as of then" in page.inner_text("#days-note")
    assert page.title() == "(1) clickstream"
    page.focus("#responses .chart")
    page.keyboard.press("End")
    said = "2015-05-18 merged: 1,000 success (2xx, 3xx), 1,001 failure (4xx, 5xx), 1,002 other"
    assert page.inner_text("#responses output") == said
    assert page.locator("#traffic svg path").count() > 3
    assert page.locator("img").count() == 0
    commands = shown(page, "footer code")
    assert "clickstream report hourly --server all --by-weekday --last 14d" in commands


def test_an_alert_opens_resolves_and_shows_its_evidence(client, views, visit, monkeypatch):
    page = visit(client.address)
    page.wait_for_selector(".live")
    assert page.inner_text("#alerts ol") == "no alert"
    views.stored = [health_alert("open")]
    page.wait_for_selector("#alerts li.open")
    assert "new alert: health/weblog1/" in page.inner_text("#spoken")
    rows = [{"field": "path", "value": HOSTILE, "requests": 7}]
    monkeypatch.setattr(evidence, "find", lambda _settings, name: name)
    monkeypatch.setattr(evidence, "collect", lambda *_: evidence.Evidence(7, rows))
    page.click("#alerts button")
    page.wait_for_selector("#alerts table")
    assert page.inner_text("#alerts td code") == HOSTILE
    views.stored = [health_alert("resolved")]
    page.wait_for_selector("#alerts li.resolved")
    assert page.title() == "clickstream"


def test_a_store_or_a_server_that_is_away_is_told_and_comes_back(settings, client, views, visit):
    page = visit(client.address, expected=("Failed to load resource",))
    page.wait_for_selector(".live")
    views.away = True
    page.wait_for_selector(".pill.away")
    assert "Cassandra does not answer; start it: clickstream stack up, as of 2015-05-18" in (
        page.inner_text("#pill")
    )
    assert shown(page, "#tiles strong")[-1] == "301"
    views.away = False
    page.wait_for_selector(".live")
    page.route("**/api/now*", lambda route: route.abort())
    page.wait_for_selector("text=the dashboard does not answer")
    page.unroute("**/api/now*")
    page.wait_for_selector(".live")


def test_a_layer_without_an_answer_leaves_the_other_half(client, visit, monkeypatch):
    def ask(_settings, report, _question, _shared=None):
        if report == "hourly":
            raise ClickstreamError("MariaDB is not running", "start it: clickstream stack up")
        raise NoData("the batch layer has not run yet", "run it: clickstream batch run")

    monkeypatch.setattr(reports, "ask", ask)
    page = visit(client.address, expected=("Failed to load resource",))
    page.wait_for_selector(".live")
    assert "run it: clickstream batch run" in page.inner_text("#visitors .note")
    assert "start it: clickstream stack up" in page.inner_text("#hourly .note")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_sideways_scroll(client, visit, scheme):
    page = visit(client.address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.wait_for_selector(".live")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_choices_are_in_the_address(client, visit):
    page = visit(client.address)
    page.select_option("#server", "weblog1")
    page.select_option("#last", "7d")
    page.wait_for_function("location.search === '?server=weblog1&last=7d'")
    page.reload()
    page.wait_for_selector(".live")
    assert page.input_value("#server") == "weblog1"
    assert shown(page, "#tiles strong")[-1] == "300"
    assert "clickstream report popularity --server weblog1" in shown(page, "footer code")


def test_the_panels_ask_what_the_server_has_asked_before(client, visit, settings, monkeypatch):
    asked = []
    answered = reports.ask

    def ask(_settings, report, question, shared=None):
        asked.append((report, question))
        return answered(_settings, report, question, shared)

    monkeypatch.setattr(reports, "ask", ask)
    monkeypatch.setattr(stores, "SHARED_S", 60)
    page = visit(client.address)
    for query in ("server=weblog1&last=7d", "last=all"):
        page.goto(f"http://127.0.0.1:{client.port}/?{query}")
        page.wait_for_selector("body[data-ready]")
    choices = (("14d", None), ("7d", "weblog1"), ("all", None))
    assert len(asked) == len(set(asked))
    assert set(asked) == {
        (name, answers.of_panel(settings, name, last, server))
        for name in answers.PANELS
        for last, server in choices
    }


def test_eight_tabs_are_served(client, visit):
    first = visit(client.address)
    tabs = [first.context.new_page() for _ in range(7)]
    for tab in tabs:
        tab.goto(client.address.split("?")[0])
    for tab in tabs:
        tab.wait_for_selector(".live")


def test_a_saved_page_opens_from_disk(visit, tmp_path):
    file = tmp_path / "saved.html"
    content = {
        "as_of": "2015-05-18T09:12:54Z",
        "last": "14d",
        "servers": ["all"],
        "now": None,
        "reports": {
            name: {"rows": json.loads(output.text(rows, tuple(rows[0]), "json")), "layer": "then"}
            for name in answers.PANELS
            for rows in [rows_of(name)]
        },
    }
    file.write_text(saved.assembled(content))
    page = visit(file.as_uri())
    assert page.inner_text("#pill") == "saved, as of 2015-05-18T09:12:54Z"
    assert shown(page, "#categories .bar") == [f"{HOSTILE}\n31", "/blog\n7"]
    assert page.locator("#visitors svg path").count() > 3
