"""Delivery of alerts: in order, nothing lost, whatever the sink or the store does meanwhile."""

import json
import stat
import threading
import time
from collections import defaultdict
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

import pytest
from pydantic import SecretStr

from clickstream import cli, config, undelivered, webhook
from clickstream.alerts import Alert
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.runtime.process import wait_until
from clickstream.serve import alerting
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
    """Takes posts as `mood` says: an HTTP status, or "hang"; `moods` goes before for a `seq`."""

    def __init__(self):
        self.mood, self.moods, self.taken, self.asked = 200, {}, [], 0
        self.times, self.headers = [], {}
        self.free = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.server.times.append(time.monotonic())
        mood = self.server.moods.get(json.loads(body).get("seq"), self.server.mood)
        if mood == "hang":
            self.server.free.wait(20)
            return
        if mood == "nothing":
            return
        if mood == "no http":
            self.wfile.write(b"\x00\xff\n")
            return
        if mood == 200:
            self.server.taken.append((json.loads(body), dict(self.headers)))
        self.send_response(mood)
        if mood == 302:
            self.send_header("Location", "/elsewhere")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
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


def settings_of(tmp_path, webhook="", **alerts):
    flags = {f"alerts.{key}": str(value) for key, value in alerts.items()}
    settings = config.load(home=tmp_path, flags=flags)
    settings.alerts.webhook = SecretStr(webhook)  # a secret: no flag
    return settings


def numbers(receiver):
    return [(body["id"], body["seq"]) for body, _ in receiver.taken]


def test_a_webhook_that_fails_hangs_and_recovers_gets_everything_in_order(
    views, receiver, tmp_path, capfd
):
    settings = settings_of(tmp_path, webhook=receiver.url, timeout_seconds=1)
    settings.alerts.retry_max_seconds = 0.1  # the configuration takes whole seconds
    views.all = [change(n, seq=n + 1) for n in range(5)]
    with alert_dispatch.delivering(settings) as failing:
        wait_until(lambda: len(receiver.taken) == 5, 10, "five messages")
        for mood in (500, 408, 429, 503, "nothing", "hang"):
            receiver.mood, asked = mood, receiver.asked
            views.all.append(change(len(views.all), seq=len(views.all) + 1))
            wait_until(lambda asked=asked: receiver.asked >= asked + 2, 10, f"a retry at {mood}")
        receiver.mood = 200
        receiver.free.set()
        wait_until(lambda: len(receiver.taken) >= len(views.all), 20, "the rest")
        wait_until(lambda: not failing, 10, "the end of the failure")
    assert numbers(receiver) == [(each.alert.id, each.alert.seq) for each in views.all]
    body, headers = receiver.taken[0]
    assert body["event"] == "open"
    assert (body["kind"], body["peak"], body["first"]) == ("ddos", 140, "2015-05-18T09:00:00Z")
    assert headers["Content-Type"] == "application/json"
    said = capfd.readouterr().err
    assert "alerts: webhook: HTTP Error 500" in said
    assert receiver.url not in said
    assert undelivered.kept(settings.files) == []


@pytest.mark.parametrize("mood", [404, 400, 401, 410, 418, 499, 302, "no http"])
def test_what_is_refused_for_good_is_kept_aside_and_the_alerts_behind_it_arrive(
    views, receiver, tmp_path, capfd, mood
):
    settings = settings_of(tmp_path, webhook=receiver.url)
    views.all = [change(n, seq=n + 1) for n in range(6)]
    receiver.moods = {2: mood}
    with alert_dispatch.delivering(settings):
        wait_until(lambda: views.positions.get("webhook") == (5, 0), 10, "all six")
    assert [seq for _, seq in numbers(receiver)] == [1, 3, 4, 5, 6]
    assert receiver.asked == 6
    (kept,) = undelivered.kept(settings.files)
    assert (kept.sink, kept.message["seq"], kept.message["event"]) == ("webhook", 2, "update")
    assert (f"HTTP {mood}" if mood != "no http" else "no HTTP") in kept.reason
    assert kept.reason in undelivered.note(settings.files)
    assert stat.S_IMODE(settings.files.undelivered.stat().st_mode) == 0o600
    said = capfd.readouterr().err
    assert kept.message["id"] in said
    assert receiver.url not in said


def test_what_was_refused_can_be_sent_again_and_only_what_arrives_is_forgotten(
    views, receiver, tmp_path
):
    settings = settings_of(tmp_path, webhook=receiver.url)
    assert alerting.resend(settings) == ([], "")
    views.all = [change(n, seq=n + 1) for n in range(5)]
    receiver.mood = 404
    with alert_dispatch.delivering(settings):
        wait_until(lambda: views.positions.get("webhook") == (4, 0), 10, "all five refused")
    assert len(undelivered.kept(settings.files)) == 5
    assert "5 changes of alerts" in alerting.notes(settings)[0]

    receiver.mood, receiver.moods = 200, {2: 404, 4: 503}
    rows, problem = alerting.resend(settings)
    assert [(row["seq"], row["outcome"]) for row in rows] == [
        (1, "delivered"),
        (2, "HTTP 404 Not Found"),
        (3, "delivered"),
    ]
    assert "503" in problem
    assert [each.message["seq"] for each in undelivered.kept(settings.files)] == [2, 4, 5]

    receiver.moods = {}
    rows, problem = alerting.resend(settings)
    assert ([row["seq"] for row in rows], problem) == ([2, 4, 5], "")
    assert [seq for _, seq in numbers(receiver)] == [1, 3, 2, 4, 5]
    assert receiver.taken[2][0] == alert_dispatch.message(views.all[1])
    assert undelivered.kept(settings.files) == []
    assert alerting.notes(settings) == ()
    assert alerting.resend(settings) == ([], "")


def test_the_command_that_sends_again_says_what_became_of_each(
    views, receiver, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CLICKSTREAM_ALERTS__WEBHOOK", receiver.url)
    resend = ["--home", str(tmp_path), "alert", "resend"]
    assert cli.main([*resend, "--format", "json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    receiver.mood, views.all = 404, [change(0), change(1, seq=2)]
    with alert_dispatch.delivering(config.load(home=tmp_path)):
        wait_until(lambda: views.positions.get("webhook") == (1, 0), 10, "two refusals")
    receiver.mood, receiver.moods = 200, {1: 410}
    assert cli.main([*resend, "--format", "json"]) == 1
    shown = capsys.readouterr()
    assert [(row["seq"], row["outcome"]) for row in json.loads(shown.out)] == [
        (1, "HTTP 410 Gone"),
        (2, "delivered"),
    ]
    assert "1 of 2 were refused again" in shown.err
    receiver.moods, receiver.mood = {}, 503
    assert cli.main(resend) == 1
    assert "takes nothing now" in capsys.readouterr().err
    receiver.mood = 200
    assert cli.main(resend) == 0
    assert cli.main(resend) == 0
    assert [seq for _, seq in numbers(receiver)] == [2, 1]


def test_without_a_webhook_what_is_kept_cannot_be_sent(views, receiver, tmp_path):
    receiver.mood, views.all = 404, [change(0)]
    with alert_dispatch.delivering(settings_of(tmp_path, webhook=receiver.url)):
        wait_until(lambda: views.positions.get("webhook") == (0, 0), 10, "the refusal")
    with pytest.raises(ClickstreamError, match="webhook is not set"):
        alerting.resend(settings_of(tmp_path))
    assert len(undelivered.kept(settings_of(tmp_path).files)) == 1


def test_a_driver_that_dies_before_it_has_passed_on_keeps_a_refusal_once(
    views, receiver, tmp_path, monkeypatch
):
    settings = settings_of(tmp_path, webhook=receiver.url)
    receiver.mood, views.all = 404, [change(0)]
    dispatcher = alert_dispatch.AlertDispatcher(
        settings, "webhook", webhook.sender(receiver.url, 5)
    )
    with monkeypatch.context() as patch:
        patch.setattr(views, "set_delivered", lambda *_: pytest.fail("it has died"))
        with pytest.raises(pytest.fail.Exception):
            dispatcher.deliver()
    with settings.files.undelivered.open("a") as file:
        file.write('{"sink": "torn')
    assert len(undelivered.kept(settings.files)) == 1
    again = alert_dispatch.AlertDispatcher(settings, "webhook", webhook.sender(receiver.url, 5))
    assert again.deliver()
    assert len(settings.files.undelivered.read_text().splitlines()) == 2
    assert len(undelivered.kept(settings.files)) == 1


@pytest.mark.parametrize("mood", [429, 503])
def test_the_receiver_says_when_to_come_again(views, receiver, tmp_path, mood):
    settings = settings_of(tmp_path, webhook=receiver.url)
    views.all, receiver.mood, receiver.headers = [change(0)], mood, {"Retry-After": "1"}
    with alert_dispatch.delivering(settings):
        wait_until(lambda: receiver.asked >= 2, 10, "the second try")
        receiver.mood = 200
        wait_until(lambda: receiver.taken, 10, "the message")
    assert receiver.times[1] - receiver.times[0] >= 1  # FIRST_RETRY_S is 0.05 here


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("-5", 0, 0),
        ("99999999", 3600, 3600),
        ("9" * 5000, 0, 3600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("Sun, 09 Sep 2001 02:03:20 GMT", 1000, 1000),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600, 3600),
        ("soon", 0, 0),
        ("\u0663", 0, 3600),
    ],
)
def test_retry_after_within_bounds(monkeypatch, header, low, high):
    monkeypatch.setattr(webhook.time, "time", lambda: 1_000_000_000)  # 01:46:40
    headers = Message()
    headers["Retry-After"] = header
    error = HTTPError("http://x", 429, "", headers, None)
    assert low <= webhook.retry_after_s(error) <= high
    assert webhook.retry_after_s(HTTPError("http://x", 429, "", Message(), None)) == 0
    assert webhook.retry_after_s(TimeoutError()) == 0


def test_a_server_that_is_not_there_is_caught_up_with_by_the_next_run(views, receiver, tmp_path):
    views.all = [change(n, seq=n + 1) for n in range(4)]
    receiver.mood = 503
    settings = settings_of(tmp_path, webhook=receiver.url)
    with alert_dispatch.delivering(settings) as failing:
        wait_until(lambda: failing, 10, "a try that failed")
        assert "503" in failing["webhook"]
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
    webhook.sender(url, 5)({"n": 1})
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
