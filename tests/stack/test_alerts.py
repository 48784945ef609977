"""Alerts on real services: those of all lines at once, delivered to every sink, and evidence."""

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clickstream.clients import kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.views.realtime import RealTime
from tests.stack.test_speed_layer import BASE, iso, line, produce, stamped
from tests.truth import attacks, outages, parse

EVIL = b"6.6.6.6"
INSTANTS = ("first", "last", "until", "peak_second")

Logs = dict[str, list[bytes]]


def first_lines() -> Logs:
    """Two attacks of one host 85 s apart, both on both servers; an outage of weblog1 that ends."""
    one = [line(BASE + second, EVIL, b"/login?n=%d" % n) for second in (5, 90) for n in range(80)]
    two = [line(BASE + second, EVIL, b"/a") for second in (5, 90) for _ in range(40)]
    one += [line(BASE + 20 + n, b"10.0.0.%d" % n, b"/gone", 404 + n % 2) for n in range(13)]
    return {"weblog1": [*one, line(BASE + 400)], "weblog2": [*two, line(BASE + 340)]}


def late_lines() -> Logs:
    """What joins the attacks, and what makes another outage begin before it was thought to."""
    late = [line(BASE + 45, EVIL, b"/late", 503) for _ in range(101)]
    return {"weblog1": [line(BASE + 399)], "weblog2": late}


def expected(logs: Logs) -> list[dict[str, Any]]:
    """The rows of `alert list`, without the columns of history."""
    lines = [(server, parse(raw)) for server, own in logs.items() for raw in own]
    clocks = {server: max(each.instant for s, each in lines if s == server) for server in logs}
    found = [("ddos", e) for e in attacks((s, each.instant, each.host) for s, each in lines)]
    for server in logs:
        bad = [each.instant for s, each in lines if s == server and each.status != "200"]
        found += [("health", each) for each in outages(server, bad)]
    rows = []
    for kind, each in sorted(found, key=lambda pair: (pair[1]["first"], pair[0])):
        key = each["key"].decode() if kind == "ddos" else each["key"]
        row = each | {name: iso(each[name]) for name in INSTANTS}
        row |= {"kind": kind, "key": key, "id": f"{kind}/{key}/{row['first']}"}
        past = all(clocks[server] > each["until"] for server in each["servers"])
        row |= {"state": "resolved" if past else "open"}
        rows.append(row | {"servers": ",".join(each["servers"]), "merged_into": None})
    return rows


class Receiver(ThreadingHTTPServer):
    """A webhook's server that is out of order until it is `well`."""

    def __init__(self) -> None:
        self.well, self.refused = False, 0
        self.taken: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.well:
            self.server.taken.append(body)
        else:
            self.server.refused += 1
        self.send_response(204 if self.server.well else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(run, *words: str) -> Any:
    return json.loads(run(*words, "--format", "json").stdout)


def without_history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in ("seq", "batch")} for row in rows]


def check_told(messages: list[dict[str, Any]], rows: dict[str, dict[str, Any]]) -> None:
    """Every change of every alert came, in order; the last one is what is stored."""
    changes = defaultdict(list)
    for each in messages:
        if each not in changes[each["id"]]:
            changes[each["id"]].append(each)
    assert changes.keys() == rows.keys()
    for name, sent in changes.items():
        assert [each["seq"] for each in sent] == list(range(1, len(sent) + 1)), name
        assert sent[-1] == rows[name] | {"event": sent[-1]["event"]}


def test_alerts_are_those_of_all_lines_and_every_sink_hears_of_them(
    fresh, run, receiver, monkeypatch, jobs
):
    kafka.ensure_topic(fresh)
    monkeypatch.setenv(
        "CLICKSTREAM_ALERTS__WEBHOOK", f"http://me:secret@127.0.0.1:{receiver.server_port}/"
    )
    monkeypatch.setenv("CLICKSTREAM_ALERTS__FILE", "alerts.jsonl")
    logs = first_lines()
    for server, own in logs.items():
        produce(fresh, server, stamped(server, own))
    monkeypatch.setenv("CLICKSTREAM_FAULT", "written:4")
    shown = run.apart("speed", "run", "--available-now", "--max-rows", 60, code=1).stdout
    monkeypatch.delenv("CLICKSTREAM_FAULT")
    assert "ddos/6.6.6.6/2015-05-18T09:00:05Z to 2015-05-18T09:00:05Z, peak 120" in shown
    assert "me:secret" not in fresh.files.log("speed").read_text()
    run("speed", "run", "--available-now", "--max-rows", 60)
    assert without_history(ask(run, "alert", "list")) == expected(logs)
    assert receiver.refused

    late = late_lines()
    for server, own in late.items():
        produce(fresh, server, stamped(server, logs[server] + own)[len(logs[server]) :])
        logs[server] = logs[server] + own
    receiver.well = True
    run("speed", "run", "--available-now", "--max-rows", 60)

    live = ask(run, "alert", "list")
    merged = ask(run, "alert", "list", "--state", "merged")
    assert without_history(live) == expected(logs)
    (row,) = merged
    assert (row["id"], row["merged_into"]) == (
        "ddos/6.6.6.6/2015-05-18T09:01:30Z",
        "ddos/6.6.6.6/2015-05-18T09:00:05Z",
    )
    rows = {row["id"]: row for row in [*live, *merged]}
    check_told(receiver.taken, rows)
    file = fresh.files.configured("alerts.jsonl").read_text().splitlines()
    check_told([json.loads(each) for each in file], rows)
    with RealTime.connect(fresh) as views:
        assert views.delivered("webhook") == views.delivered("file")

    for kind in ("ddos", "health"):
        of_kind = [row for row in live if row["kind"] == kind]
        assert of_kind
        assert ask(run, "report", kind, "--alerts", "--date", "2015-05-18") == of_kind
        assert ask(run, "report", kind, "--alerts", "--from", "2015-05-19") == []
    assert "ddos/6.6.6.6/2015-05-18T09:00:05Z" in run("report", "ddos", "--alerts").stdout
    evidence_comes_from_the_master_dataset(fresh, run, logs, jobs)


def evidence_comes_from_the_master_dataset(fresh: Settings, run, logs: Logs, jobs) -> None:
    """Every field is counted over the alert's lines, each once."""
    name = "ddos/6.6.6.6/2015-05-18T09:00:05Z"
    assert ask(run, "alert", "show", name)["peak"] == 120
    assert "no closed file" in run("alert", "show", name, "--evidence", code=1).stderr
    hdfs = Hdfs.connect(fresh)
    for server, own in logs.items():
        values = stamped(server, own)
        copies = b"".join(value + b"\n" for value in [*values, *values[:50]])
        hdfs.write(f"{fresh.hdfs.master}/dt=2015-05-18/server={server}/f.1.txt", [copies])
    lines = [parse(raw) for own in logs.values() for raw in own]
    attack = [each for each in lines if each.host == EVIL]
    with jobs():
        found = ask(run, "alert", "show", name, "--evidence", "--top", "2")
    assert found["lines"] == len(attack)
    counted = [(row["field"], row["value"], row["requests"]) for row in found["evidence"]]
    assert counted == [
        *top("path", (path(each) for each in attack)),
        *top("user_agent", ("" for _ in attack)),
        *top("status", (each.status for each in attack)),
    ]
    bad = [parse(raw) for raw in logs["weblog1"] if parse(raw).status != "200"]
    found = ask(run, "alert", "show", "health/weblog1/2015-05-18T09:00:30Z", "--evidence")
    assert [(row["field"], row["value"], row["requests"]) for row in found["evidence"]] == [
        *top("status", (each.status for each in bad)),
        *top("path", (path(each) for each in bad)),
    ]
    assert "there is no alert" in run("alert", "show", "ddos/x/y", code=1).stderr


def path(each) -> str:
    return each.parts[1].decode().partition("?")[0]


def top(field: str, values) -> list[tuple[str, str, int]]:
    ranked = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return [(field, value, n) for value, n in ranked[:2]]
