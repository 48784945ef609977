"""The page in one file."""

import base64
import hashlib
import json
import re

from clickstream import cli
from clickstream.dashboard import answers, saved
from clickstream.errors import NotRunning
from clickstream.serve import reports

HOSTILE = "</script><script>alert(1)</script>"


def content():
    rows = [{"date": "2015-05-18", "server": "all", "category": HOSTILE, "requests": 1}]
    reports = {name: {"rows": [], "layer": ""} for name in answers.PANELS}
    reports["categories"] = {"rows": rows, "layer": "final"}
    return {"as_of": "2015-05-18T09:12:54Z", "last": "7d", "servers": ["all"], "now": None} | {
        "reports": reports
    }


def test_its_policy_allows_its_own_scripts_and_style_and_nothing_else():
    html = saved.assembled(content())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    inlined = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", html, re.DOTALL)
    assert len(inlined) == 4
    for text in inlined:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == 4
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe" not in policy
    assert html.index("Content-Security-Policy") < html.index("<meta charset")


def test_its_data_are_what_was_answered_and_no_markup():
    html = saved.assembled(content())
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html)[1]
    assert json.loads(block) == content()
    assert HOSTILE not in html


def test_it_asks_nobody():
    html = saved.assembled(content())
    head = html[: html.index('id="data"')]
    assert not re.search(r'(?:src|href)="(?!data:,)', head)


def test_clients_become_numbers_the_same_one_alike():
    times = {"first": "2015-05-18T09:00:00Z", "state": "open"}
    rows = [
        {"id": f"{kind}/{key}/x", "kind": kind, "key": key} | times
        for kind, key in [
            ("ddos", "203.0.113.9"),
            ("health", "weblog1"),
            ("ddos", "203.0.113.5"),
            ("ddos", "203.0.113.9"),
        ]
    ]
    masked = saved.without_addresses(rows)
    assert [row["key"] for row in masked] == ["address 1", "weblog1", "address 2", "address 1"]
    assert "203.0.113" not in json.dumps(masked)


def test_report_all_writes_a_day_as_one_file(tmp_path, monkeypatch, capsys):
    asked = []

    def ask(_settings, name, question, _shared=None):
        asked.append((name, question.days.only))
        if name == "hourly":
            raise NotRunning("MariaDB is not running")
        return reports.Answer([], reports.COLUMNS[name], "", "final")

    monkeypatch.setattr(reports, "ask", ask)
    file = tmp_path / "day.html"
    words = ["--home", str(tmp_path / "home"), "report", "all", "--format", "html"]
    assert cli.main([*words, "--output", str(file), "--date", "2015-05-18"]) == 0
    assert asked == [(name, "2015-05-18") for name in answers.PANELS]
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.read_text())
    found = json.loads(block[1])
    assert (found["date"], found["now"]) == ("2015-05-18", None)
    assert found["reports"]["hourly"] == {"rows": [], "layer": "MariaDB is not running"}
    assert file.stat().st_mode & 0o077 == 0
    assert "it holds addresses" in capsys.readouterr().out
    numbered = [*words, "--output", str(file), "--without-addresses", "--date", "2015-05-18"]
    assert cli.main(numbered) == 0
    assert "clients are numbered" in capsys.readouterr().out
    assert cli.main(words) == 2
    assert "go together" in capsys.readouterr().err
