"""The doctor as a whole: every part answers, none waits for another, nothing is changed."""

import json
import socket
import threading

import pytest

from clickstream import cli, config
from clickstream.config import Settings
from clickstream.doctor import endpoint, examine, machine
from clickstream.doctor.finding import OK, PROBLEM, WARNING, Finding, ok, problem, warning
from clickstream.errors import ClickstreamError, NotRunning


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


def fits(_: Settings):
    yield ok("it fits")


def is_away(_: Settings):
    yield ok("it is reached")
    raise NotRunning("it does not answer", "start it: clickstream stack up")


def breaks(_: Settings):
    raise ZeroDivisionError("division by zero")


def test_a_check_that_fails_is_one_problem_and_stops_no_other(settings):
    found = examine.examine(settings, {"away": is_away, "broken": breaks, "well": fits}, 5)
    assert found.parts["away"] == [
        ok("it is reached"),
        problem("it does not answer", "start it: clickstream stack up"),
    ]
    assert [each.text for each in found.parts["broken"]] == ["ZeroDivisionError: division by zero"]
    assert found.parts["well"] == [ok("it fits")]
    with pytest.raises(ClickstreamError, match="2 problems found"):
        found.check()


def test_a_check_that_hangs_is_not_waited_for(settings):
    over = threading.Event()

    def hangs(_: Settings):
        yield ok("it is reached")
        assert over.wait(60)
        yield ok("late")

    found = examine.examine(settings, {"hangs": hangs, "well": fits}, 2)
    over.set()
    first, (state, text, _) = found.parts["hangs"]
    assert first == ok("it is reached")
    assert (state, text) == (PROBLEM, "no answer within 2 s")
    assert found.parts["well"] == [ok("it fits")]


def test_warnings_are_no_failure():
    found = examine.Examination({"kafka": [warning("one replica", "add one"), ok("reached")]})
    found.check()
    assert found.summary == "1 ok, 1 warning, 0 problem"
    assert examine.page(found) == [
        "warning  kafka  one replica: add one",
        "ok       kafka  reached",
    ]


def test_every_part_answers_where_nothing_runs(settings, monkeypatch, capsys):
    for name, value in settings.child_env().items():
        monkeypatch.setenv(name, value)
    assert cli.main(["doctor", "--format", "json"]) == 1
    shown = capsys.readouterr()
    rows = json.loads(shown.out)
    assert "problems found" in shown.err
    assert {row["part"] for row in rows} == {*examine.CHECKS} - {"events", "collector"}
    for part in ("kafka", "hdfs", "cassandra", "database"):
        (only,) = [row for row in rows if row["part"] == part]
        assert (only["state"], only["do"]) == (PROBLEM, "start it: clickstream stack up")
    assert not settings.home.exists()


def test_what_a_service_says_is_never_obeyed(settings, monkeypatch, capsys):
    for name, value in settings.child_env().items():
        monkeypatch.setenv(name, value)
    hostile = {"machine": lambda _: [Finding(WARNING, "a\x1b]0;b", "c\x1b[2J")]}
    monkeypatch.setattr(examine, "CHECKS", hostile)
    monkeypatch.setattr(examine.examine, "__defaults__", (hostile, 5))
    assert cli.main(["doctor"]) == 0
    assert "warning  machine  a\\x1b]0;b: c\\x1b[2J" in capsys.readouterr().out


# Endpoints and ports


def test_an_address_that_is_not_reached_beside_one_that_is():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        both = [server.getsockname()[:2], closed.getsockname()[:2]]
        first, second = endpoint.reached("Kafka", both, "kafka.bootstrap")
        assert (first.state, second.state) == (OK, WARNING)
        assert f"Kafka at 127.0.0.1:{both[1][1]} is not reached" in second.text
        alone = endpoint.reached("Kafka", both[1:], "kafka.bootstrap")
        assert [each.state for each in alone] == [PROBLEM]
        assert endpoint.nobody_answers(alone)
        assert not endpoint.nobody_answers([first, second])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a:1,b", [("a", 1), ("b", 9)]),
        ("http://a:1,https://b,http://c", [("a", 1), ("b", 443), ("c", 80)]),
        ("[::1]:7", [("::1", 7)]),
    ],
)
def test_addresses_as_they_are_configured(text, found):
    assert endpoint.addresses(text, 9) == found


def test_a_configured_port_that_somebody_else_has(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        given = config.load(home=tmp_path, flags={"stack.ports.kafka": str(port)})
        (found,) = machine._ports(given)
    assert found.state == PROBLEM
    assert found.text.startswith(f"port {port} (stack.ports.kafka) is taken")
