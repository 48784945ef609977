"""Delivery of alerts: in order, nothing lost, whatever the sink or the store does meanwhile."""

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clickstream import config
from clickstream.alerts import Alert
from clickstream.errors import NotRunning
from clickstream.runtime.process import wait_until
from clickstream.speed import alert_dispatch
from clickstream.views.realtime import AlertChange

BASE = 1431939600


def change(batch, n=0, key="10.0.0.1", seq=1):
    alert = Alert("ddos", key, BASE, BASE, BASE + 60, 140, BASE, ("weblog1",), seq=seq, batch=batch)
    return AlertChange(batch, n, "open" if seq == 1 else "update", alert)


class Views:
    """The reader's side of the views, in memory; away while `away` is set."""

    def __init__(self):
        self.all, self.positions, self.away, self.batch = [], {}, False, None

    def connect(self, _):
        if self.away:
            raise NotRunning("Cassandra does not answer")
        return self

    def status(self):
        return {"batch": self.batch}

    def changes(self, after, size):
        self.connect(None)
        return [each for each in self.all if each.position > after][:size]

    def delivered(self, sink):
        return self.positions.get(sink)

    def set_delivered(self, sink, position):
        self.connect(None)
        self.positions[sink] = position

    def close(self):
        pass


@pytest.fixture
def views(monkeypatch):
    made = Views()
    monkeypatch.setattr(alert_dispatch.RealTime, "connect", made.connect)
    monkeypatch.setattr(alert_dispatch, "POLL_S", 0.05)
    monkeypatch.setattr(alert_dispatch, "FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(alert_dispatch, "PAGE", 3)
    return made


class Receiver(ThreadingHTTPServer):
    """Takes posts as `mood` says: an HTTP status, or "hang"."""

    def __init__(self):
        self.mood, self.taken, self.asked = 200, [], 0
        self.free = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        mood = self.server.mood
        if mood == "hang":
            self.server.free.wait(20)
            return
        if mood == "no http":
            self.wfile.write(b"\x00\xff\n")
            return
        if mood == 200:
            self.server.taken.append((json.loads(body), dict(self.headers)))
        self.send_response(mood)
        if mood == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self):
        self.server.taken.append("a GET")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.free.set()
    server.shutdown()
    server.server_close()


def settings_of(tmp_path, **alerts):
    flags = {f"alerts.{key}": str(value) for key, value in alerts.items()}
    return config.load(home=tmp_path, flags=flags)


def numbers(receiver):
    return [(body["id"], body["seq"]) for body, _ in receiver.taken]


def test_a_webhook_that_fails_hangs_and_recovers_gets_everything_in_order(
    views, receiver, tmp_path, capfd
):
    settings = settings_of(tmp_path, webhook=receiver.url, timeout_seconds=1)
    settings.alerts.retry_max_seconds = 0.1  # the configuration takes whole seconds
    views.all = [change(n, seq=n + 1) for n in range(5)]
    with alert_dispatch.delivering(settings):
        wait_until(lambda: len(receiver.taken) == 5, 10, "five messages")
        for mood in (500, 404, 302, "no http", "hang"):
            receiver.mood, asked = mood, receiver.asked
            views.all.append(change(len(views.all), seq=len(views.all) + 1))
            wait_until(lambda asked=asked: receiver.asked >= asked + 2, 10, f"a retry at {mood}")
        receiver.mood = 200
        receiver.free.set()
        wait_until(lambda: len(receiver.taken) >= len(views.all), 20, "the rest")
    assert numbers(receiver) == [(each.alert.id, each.alert.seq) for each in views.all]
    body, headers = receiver.taken[0]
    assert body["event"] == "open"
    assert (body["kind"], body["peak"], body["first"]) == ("ddos", 140, "2015-05-18T09:00:00Z")
    assert headers["Content-Type"] == "application/json"
    said = capfd.readouterr().err
    assert "alerts: webhook: HTTP Error 500" in said
    assert receiver.url not in said


def test_a_server_that_is_not_there_is_caught_up_with_by_the_next_run(views, receiver, tmp_path):
    views.all = [change(n, seq=n + 1) for n in range(4)]
    receiver.mood = 503
    settings = settings_of(tmp_path, webhook=receiver.url)
    with alert_dispatch.delivering(settings):
        wait_until(lambda: receiver.asked, 10, "a try")
    assert (receiver.taken, views.positions) == ([], {})
    receiver.mood = 200
    with alert_dispatch.delivering(settings):
        pass
    assert [seq for _, seq in numbers(receiver)] == [1, 2, 3, 4]
    assert views.positions == {"webhook": (3, 0)}


def test_a_store_that_was_away_after_a_delivery_repeats_only_that_one(views, receiver, tmp_path):
    views.all = [change(n, seq=n + 1) for n in range(4)]
    set_delivered, failed = views.set_delivered, []

    def fail_once(sink, position):
        if position == (2, 0) and not failed:
            failed.append(position)
            raise NotRunning("away")
        set_delivered(sink, position)

    views.set_delivered = fail_once
    with alert_dispatch.delivering(settings_of(tmp_path, webhook=receiver.url)):
        wait_until(lambda: views.positions.get("webhook") == (3, 0), 10, "all four")
    assert [seq for _, seq in numbers(receiver)] in ([1, 2, 3, 4], [1, 2, 3, 3, 4])


def test_nothing_blocks_while_the_store_is_away(views, receiver, tmp_path):
    views.all, views.away = [change(0)], True
    with alert_dispatch.delivering(settings_of(tmp_path, webhook=receiver.url)):
        time.sleep(0.2)
        views.away = False
        wait_until(lambda: receiver.taken, 10, "the message")


def test_a_sink_that_hangs_does_not_hold_up_the_other_nor_the_end(views, receiver, tmp_path):
    views.all = [change(0), change(1, seq=2)]
    receiver.mood = "hang"
    settings = settings_of(tmp_path, webhook=receiver.url, file="out/alerts.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alert_dispatch, "LAST_CALL_S", 0.1)
        with alert_dispatch.delivering(settings):
            wait_until(lambda: views.positions.get("file") == (1, 0), 10, "the file")
    lines = (tmp_path / "out" / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(each)["seq"] for each in lines] == [1, 2]
    assert receiver.taken == []


def test_a_torn_line_of_the_file_is_cut_off(tmp_path):
    path = tmp_path / "alerts.jsonl"
    send = alert_dispatch.to_file(path)
    send({"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "to')
    send({"n": 2})
    assert [json.loads(each) for each in path.read_text().splitlines()] == [{"n": 1}, {"n": 2}]
    path.write_text("torn from the start")
    send({"n": 3})
    assert path.read_text() == '{"n": 3}\n'


def test_credentials_in_the_url_become_a_header(receiver):
    url = receiver.url.replace("http://", "http://me:p%40ss@")
    alert_dispatch.to_webhook(url, 5)({"n": 1})
    ((_, headers),) = receiver.taken
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert "@" not in headers["Host"]


def test_the_terminal_begins_now_and_obeys_nothing(views, tmp_path, capfd):
    views.all, views.batch = [change(0), change(1, seq=2)], 1
    print_changes = alert_dispatch.terminal_printer(settings_of(tmp_path))
    print_changes(None)
    views.all += [change(2, 0, key="\x1b]0;x\x07", seq=1), change(2, 1, seq=3)]
    print_changes(2)
    print_changes(2)
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("alert open: ddos/\\x1b]0;x\\x07/2015-05-18T09:00:00Z to")
    assert "alert update: ddos/10.0.0.1/" in lines[1]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_terminal_is_quiet_where_it_is_not_wanted_or_the_store_is_away(
    views, tmp_path, capfd, wanted
):
    views.all, views.away = [change(0)], wanted
    print_changes = alert_dispatch.terminal_printer(
        settings_of(tmp_path, stdout=str(wanted).lower())
    )
    print_changes(None)
    print_changes(0)
    assert capfd.readouterr().out == ""


def test_messages_of_one_alert_stay_in_order_over_many_alerts(views, receiver, tmp_path):
    views.all = [
        change(batch, n, key=f"10.0.0.{n}", seq=batch + 1) for batch in range(10) for n in range(5)
    ]
    with alert_dispatch.delivering(settings_of(tmp_path, webhook=receiver.url)):
        pass
    seen = defaultdict(list)
    for name, seq in numbers(receiver):
        seen[name].append(seq)
    assert all(seqs == list(range(1, 11)) for seqs in seen.values())
    assert len(seen) == 5
