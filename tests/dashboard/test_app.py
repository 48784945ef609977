"""The server of the dashboard: who is let in, and what it answers."""

import json
import os
import stat
import time

import pytest

from clickstream import config
from clickstream.alerts import Alert
from clickstream.console import output
from clickstream.dashboard import answers, run, watcher
from clickstream.dashboard.guard import HEADERS
from clickstream.errors import NoData, NotRunning, UsageError
from clickstream.serve import reports

from .conftest import LATEST, Line, Views
from .served import serving

ROWS = [
    {"date": "2015-05-18", "server": "all", "category": '/<img src=x>"', "requests": 3},
    {"date": "2015-05-18", "server": "all", "category": "=HYPERLINK(1)", "requests": 1},
]
COLUMNS = ("date", "server", "category", "requests")


@pytest.fixture(scope="module")
def views():
    lines = [Line("weblog1", LATEST - n, status="404" if n < 12 else "200") for n in range(400)]
    times = (LATEST - 20, LATEST, LATEST + 290, 12, LATEST, ("weblog1",))
    return Views(*lines, Line("weblog2", LATEST, "/a"), alerts=[Alert("health", "weblog1", *times)])


@pytest.fixture(scope="module")
def client(settings, views):
    with serving(settings, views.connect) as client:
        yield client


@pytest.fixture
def asked(monkeypatch):
    """The questions that reach the serving layer; it answers with ROWS, or raises."""
    questions, answers = [], [reports.Answer(ROWS, COLUMNS, "", "final")]

    def ask(_settings, report, question, _shared=None):
        questions.append((report, question))
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    monkeypatch.setattr(reports, "ask", ask)
    return questions, answers


def eventually(client, status, path="/api/now"):
    """The first answer with this status, which may take the watcher a moment."""
    for _ in range(100):
        answer = client.get(path)
        if answer.status == status:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{path} is {answer.status}: {answer.text}")


# Who is let in


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/now", "/api/report/visitors", "/metrics"])
def test_nobody_is_let_in_without_the_token(client, path):
    assert client.get(path, cookie=False).status == 403
    assert client.get(path, cookie=False, Authorization="Bearer wrong").status == 403
    assert client.get(path + "?token=wrong", cookie=False).status == 403


def test_the_printed_address_leaves_a_cookie_and_lets_in(client):
    welcome = client.get(f"/?token={client.token}", cookie=False)
    assert (welcome.status, welcome.getheader("location")) == (303, "./")
    cookie = welcome.getheader("set-cookie")
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert client.get("/", cookie=False, Cookie=cookie.split(";")[0]).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1]", ""])
def test_a_name_that_is_not_ours_is_refused_before_the_token(client, host):
    assert client.get("/", Host=f"{host}:{client.port}").status == 400


def test_only_reading_is_answered(client):
    assert client.get("/api/now", "POST").status == 405
    assert client.get("/healthz", "HEAD", cookie=False).status == 200


@pytest.mark.parametrize(
    ("path", "status", "more"),
    [
        ("/", 200, {}),
        ("/healthz", 200, {"cookie": False}),
        ("/?token=x", 403, {"cookie": False}),
        ("/nowhere", 404, {}),
        ("/api/report/visitors?last=x", 400, {}),
        ("/api/report/nothing", 404, {}),
        ("/", 400, {"Host": "evil.example"}),
    ],
)
def test_every_answer_has_the_headers(client, path, status, more):
    answer = client.get(path, **more)
    assert answer.status == status
    assert {name: answer.getheader(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert answer.getheader("server") is None


def test_the_token_is_for_its_owner_alone_and_can_be_replaced(tmp_path):
    own = config.load(home=tmp_path)
    first = run.token(own)
    assert stat.S_IMODE(os.stat(own.files.dashboard_token).st_mode) == 0o600
    assert run.token(own) == first
    assert run.token(own, new=True) != first


def test_another_address_than_loopback_needs_names(tmp_path):
    own = config.load(home=tmp_path, flags={"dashboard.host": "0.0.0.0"})
    with pytest.raises(UsageError, match="open to others"):
        run.prepare(own, watcher=None)


# The snapshot


def test_the_snapshot_is_what_the_lines_give(client, views):
    answer = eventually(client, 200)
    now = json.loads(answer.text)
    assert (now["as_of"], now["start"]) == ("2015-05-18T09:12:54Z", "2015-05-18T09:07:55Z")
    assert now["line"]["weblog1"]["requests"] == [1] * 300
    assert now["line"]["all"]["requests"] == [1] * 299 + [2]
    assert now["line"]["all"]["non_200"] == [0] * 288 + [1] * 12
    assert [(r["category"], r["requests"]) for r in now["popularity"]["all"]] == [
        ("/blog", 300),
        ("/a", 1),
    ]
    assert [(r["server"], r["non_200"], r["state"]) for r in now["health"]] == [
        ("weblog1", 12, "alert"),
        ("weblog2", 0, "ok"),
    ]
    assert [(each["key"], each["state"]) for each in now["alerts"]] == [("weblog1", "open")]
    assert client.get(f"/api/now?seen={now['batch']}").status == 204
    assert client.get("/api/now?seen=nonsense").status == 200


def test_a_late_line_revises_the_snapshot(client, views):
    before = json.loads(eventually(client, 200).text)
    views.lines.append(Line("weblog2", LATEST - 100))
    views.batch += 1
    seen = f"/api/now?seen={before['batch']}"
    now = json.loads(eventually(client, 200, seen).text)
    assert now["line"]["weblog2"]["requests"][199] == 1


def test_a_store_that_is_away_is_named_and_comes_back(client, views):
    as_of = json.loads(eventually(client, 200).text)["as_of"]
    views.away = True
    problem = json.loads(eventually(client, 503).text)
    assert problem["error"] == "Cassandra does not answer"
    assert problem["as_of"] == as_of
    views.away = False
    eventually(client, 200)


def test_many_pages_cost_the_store_one_reader(settings):
    views = Views(Line("weblog1", LATEST))
    with serving(settings, views.connect) as client:
        eventually(client, 200)
        began, before = time.monotonic(), views.statuses
        for _ in range(200):
            client.get("/api/now")
        assert views.connected == 1
        looks = (time.monotonic() - began) / watcher.INTERVAL_S
        assert views.statuses - before <= looks + 2


def test_before_the_first_line_the_page_says_how_to_begin(settings):
    with serving(settings, Views().connect) as client:
        assert "clickstream speed run" in eventually(client, 503).text


# The reports


def test_rows_are_those_of_the_command(client, asked):
    answer = json.loads(client.get("/api/report/categories").text)
    assert answer["rows"] == json.loads(output.text(ROWS, COLUMNS, "json"))
    assert (answer["columns"], answer["layer"]) == (list(COLUMNS), "final")


@pytest.mark.parametrize(
    ("query", "option", "value"),
    [
        ("server=weblog1", "server", "weblog1"),
        ("top=3", "top", 3),
        ("by_weekday=1", "by_weekday", True),
        ("by_day=1", "by_day", True),
        ("total=true", "total", True),
        ("compare=previous", "compare", True),
        ("other=0", "other", False),
        ("window=1h", "window", 3600),
    ],
)
def test_the_query_is_the_options(client, asked, query, option, value):
    assert client.get(f"/api/report/hourly?{query}").status == 200
    (report, question), *_ = asked[0]
    assert report == "hourly"
    assert getattr(question, option) == value


@pytest.mark.parametrize(
    "query", ["color=red", "server=web9", "last=soon", "top=0", "top=x", "total=perhaps"]
)
def test_an_option_that_is_wrong_is_refused_with_a_sentence(client, asked, query):
    answer = client.get(f"/api/report/visitors?{query}")
    assert answer.status == 400
    assert json.loads(answer.text)["error"]
    assert asked[0] == []


def test_what_cannot_be_answered_says_why(client, asked):
    asked[1][0] = NotRunning("MariaDB is not running", "start it: clickstream stack up")
    answer = client.get("/api/report/visitors")
    assert answer.status == 503
    assert json.loads(answer.text) == {
        "error": "MariaDB is not running",
        "hint": "start it: clickstream stack up",
    }
    asked[1][0] = NoData("the batch layer has not run yet", "run it: clickstream batch run")
    answer = client.get("/api/report/responses")
    assert answer.status == 200
    assert json.loads(answer.text)["rows"] == []
    assert "clickstream batch run" in json.loads(answer.text)["layer"]


def test_csv_has_no_formulas(client, asked):
    answer = client.get("/api/report/categories.csv")
    assert answer.getheader("content-disposition") == 'attachment; filename="categories.csv"'
    assert answer.text == output.text(ROWS, COLUMNS, "csv")
    assert "'=HYPERLINK" in answer.text


# Evidence


def test_evidence_is_no_task_for_another_site(client):
    asked = client.get("/api/evidence?id=x", Sec_Fetch_Site="cross-site")
    assert asked.status == 403


def test_evidence_comes_when_its_job_is_done(client, monkeypatch):
    from clickstream.serve import evidence

    rows = [{"field": "path", "value": "/login", "requests": 7}]
    monkeypatch.setattr(evidence, "find", lambda _settings, name: name)
    monkeypatch.setattr(evidence, "collect", lambda *_: evidence.Evidence(7, rows))
    client.get("/api/evidence?id=one")
    done = eventually(client, 200, "/api/evidence?id=one")
    assert json.loads(done.text) == {"lines": 7, "rows": rows}


def test_evidence_that_fails_is_told_once_and_can_be_asked_again(client, monkeypatch):
    from clickstream.serve import evidence

    calls = []

    def find(_settings, name):
        calls.append(name)
        raise NoData(f"there is no alert {name}")

    monkeypatch.setattr(evidence, "find", find)
    for _ in range(2):
        client.get("/api/evidence?id=two")
        assert "there is no alert two" in eventually(client, 503, "/api/evidence?id=two").text
    assert calls == ["two", "two"]


def test_what_a_page_will_ask_is_asked_while_its_scripts_are_read(settings, asked):
    questions, _ = asked
    with serving(settings, Views().connect) as client:
        client.get("/?server=weblog1&last=7d")
        deadline = time.monotonic() + 10
        while len(questions) < len(answers.PANELS) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [name for name, _ in questions] == [*answers.PANELS]
        query = "server=weblog1&by_weekday=1&last=7d"
        assert json.loads(client.get(f"/api/report/hourly?{query}").text)["rows"] == ROWS
        assert len(questions) == len(answers.PANELS)
