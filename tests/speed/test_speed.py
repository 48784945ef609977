"""The speed layer around its stream: reports, displays, refusals and failures; no JVM."""

import io
import json
import os
import sys
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from clickstream import config
from clickstream.cli import app
from clickstream.clients import kafka
from clickstream.console import live
from clickstream.errors import (
    BadInput,
    ClickstreamError,
    NotRunning,
    ServiceFailed,
    no_line_yet,
)
from clickstream.speed import control, display, driver_status, reporter
from clickstream.speed.driver_status import Status
from clickstream.speed.job import Stream, failure_of
from clickstream.speed.reporter import StatusReporter
from clickstream.speed.transform import batch_of, overlaps, rows_of, scattered
from clickstream.views.realtime.retry import RetryPolicy
from clickstream.views.realtime.writer import Batch

COUNTS = {"rows": 9, "copies": 2, "set_aside": 1, "skipped": 3, "latest": 1431939959}
RUNS = {"running": True, "healthy": True, "complaint": "", "pid": 12}
RUNS |= {"behind": 7, "batch_ms": 350, "rows_per_s": 990.4, "alerts": 2, "notice": "", "notes": []}
HOSTILE = "\x1b]0;gone\x07\u202e"


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


def test_a_transformed_batch_is_put_together():
    outcomes = [
        {"t": 60, "k": "counted success 0f", "n": 2, "lowest": 5, "highest": 60},
        {"t": 60, "k": "counted success 1f", "n": 1, "lowest": 8, "highest": 8},
        {"t": 0, "k": "copies  0f", "n": 1, "lowest": 7, "highest": 77},
        {"t": 0, "k": "copies  2f", "n": 1},
    ]
    rows = [
        ("outcomes", "a", 60, outcomes[:2]),
        ("outcomes", "a", 0, outcomes[2:]),
        ("outcomes", "?", 0, [{"t": 0, "k": "skipped  ", "n": 2}]),
        ("ip", "a", 60, [{"t": 61, "k": "caf\u00e9", "n": 3}]),
        ("ip", "b", 60, [{"t": 61, "k": "x", "n": 1}, {"t": 62, "k": "x", "n": 1}]),
        ("ip", "b", 60, [{"t": 61, "k": "x", "n": 4}]),
    ]
    named = [dict(zip(("metric", "server", "slot", "sums"), row, strict=True)) for row in rows]
    assert rows_of(json.dumps(named)) == rows
    assert batch_of(rows) == Batch(
        {
            ("ip", 60): {"a": {61: {"café": 3}}, "b": {61: {"x": 5}, 62: {"x": 1}}},
            ("minute", 60): {"a": {60: {"success": 3}}},
        },
        {("a", "0f"): 77, ("a", "1f"): 8},
        {"a": {"counted": 3, "copies": 2}, "?": {"skipped": 2}},
    )


@pytest.mark.parametrize(("lowest", "again"), [(77, True), (78, False)])
def test_a_batch_that_begins_at_or_below_a_files_highest_is_counted_again(lowest, again):
    each = {"t": 60, "k": "counted success 0f", "n": 3, "lowest": lowest, "highest": 90}
    rows = [
        ("ip", "a", 60, [{"t": 7, "k": "0f", "n": 3}]),
        ("outcomes", "b", 60, [each | {"lowest": 1}]),
        ("outcomes", "a", 0, [{"t": 0, "k": "skipped  ", "n": 2}]),
        ("outcomes", "a", 60, [each]),
    ]
    assert overlaps(rows, {("a", "0f"): 77}) is again


def test_a_file_in_two_partitions_is_detected():
    def part(server, file):
        each = {"t": 0, "k": f"counted success {file}", "n": 1, "lowest": 1, "highest": 1}
        return [("outcomes", server, 0, [each, {"t": 0, "k": "skipped  ", "n": 2}])]

    one = part("a", "0f")
    assert not scattered([one, part("b", "0f"), part("a", "1f") * 2])
    assert scattered([one, part("b", "0f"), one])
    assert batch_of(one + part("a", "1f")).lines == {"a": {"counted": 2, "skipped": 4}}


def test_what_the_driver_reports_is_read_back(settings):
    assert driver_status.read(settings) is None
    status = Status(4, 100, 350, 7, "2026-01-01T00:00:00Z", {HOSTILE: COUNTS})
    driver_status.write(settings, status)
    assert driver_status.read(settings) == status


def test_a_start_removes_the_report_and_the_request_to_end(settings):
    driver_status.write(settings, Status())
    assert not driver_status.stop_wanted(settings)
    driver_status.want_stop(settings)
    assert driver_status.stop_wanted(settings)
    driver_status.forget(settings)
    assert driver_status.read(settings) is None
    assert not driver_status.stop_wanted(settings)


def test_the_checkpoint_is_in_the_home_unless_it_is_named(settings, tmp_path):
    assert driver_status.checkpoint(settings).startswith("file:///")
    named = config.load(home=tmp_path, flags={"speed.checkpoint": "hdfs://h:1/c"})
    assert driver_status.checkpoint(named) == "hdfs://h:1/c"


def test_a_live_line_sums_the_servers_and_obeys_none():
    status = Status(4, 100, 350, 7, "", {HOSTILE: COUNTS, "b": COUNTS | {"latest": 0}})
    line = display.live_line(status)
    assert line.isprintable()
    for expected in (
        "batch 4",
        "100 rows in 350 ms",
        "behind 7",
        "rows 18",
        "copies 4",
        "skipped 6",
    ):
        assert expected in line
    assert "2015-05-18T09:05:59Z" in line
    assert "b -" in line
    assert display.live_line(Status()) == "waiting for lines"


def test_without_a_terminal_the_first_state_is_printed_and_the_last(capsys):
    with display.shown() as watch:
        for status in (None, None, Status(), Status(4, servers={"a": COUNTS})):
            watch(status)
        watch(Status(4, servers={"a": COUNTS}, waiting_since=1431939959))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "starting",
        "waiting for Cassandra since 2015-05-18T09:05:59Z",
    ]


def test_a_notice_is_printed_once(capsys):
    with display.shown() as watch:
        for number in (4, 5):
            watch(Status(number, servers={"a": COUNTS}, notice=f"planned{HOSTILE}"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["batch", "note:", "batch"]
    assert lines[1].isprintable()
    report = RUNS | {"notice": "planned again", "batch": 3, "servers": {}}
    assert "note: planned again" in display.report_text(report).splitlines()


def test_a_terminal_shows_each_server_in_place_and_obeys_none():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with live.on(console, transient=False) as shown:
        watch = display.watcher(shown)
        watch(None)
        watch(Status(4, 100, 350, 7, "", {HOSTILE: COUNTS, "[b]": COUNTS}, 990.4, 2))
    text = screen.getvalue()
    for expected in (
        "batch 4",
        "990 rows/s",
        "behind 7",
        "open alerts 2",
        "set aside",
        "[b]",
        "2015-05-18T09:05:59Z",
    ):
        assert expected in text
    assert "\x1b]0" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (Status(updated_at=995, healthy_at=950), ""),
        (Status(updated_at=995, healthy_at=939), "no batch ended for 61 s"),
        (Status(updated_at=900, healthy_at=990), "the driver has not reported for 100 s"),
        (
            Status(updated_at=995, healthy_at=900, waiting_since=1),
            "waiting for Cassandra since 1970-01-01",
        ),
    ],
)
def test_why_a_stream_is_not_well(status, complaint):
    assert status.complaint(1000, 60).startswith(complaint)
    assert bool(status.complaint(1000, 60)) is bool(complaint)


class Query:
    """A streaming query, as Spark reports it."""

    def __init__(self, active=True):
        self.status = {"isTriggerActive": active}
        self.lastProgress = None

    def reports(self, number, latest='{"t":{"0":30,"1":9}}', rate=10.0):
        source = SimpleNamespace(latestOffset=latest, endOffset='{"t":{"0":21,"1":5}}')
        self.lastProgress = SimpleNamespace(
            batchId=number,
            numInputRows=8,
            durationMs={"triggerExecution": 350},
            sources=[source],
            timestamp="now",
            inputRowsPerSecond=rate,
        )


@pytest.fixture
def reported_at(settings, monkeypatch):
    """The report on a query at a moment."""
    query = Query()
    stream = SimpleNamespace(batch=None, servers={}, alerts=2, parts={}, notice="so")
    now, retry = [0.0], RetryPolicy(60)
    monkeypatch.setattr(reporter.time, "time", lambda: now[0])
    failing = {}
    status_reporter = StatusReporter(settings, query, stream, retry, failing)

    def at(moment):
        now[0] = moment
        status_reporter.report()
        return driver_status.read(settings)

    return SimpleNamespace(at=at, query=query, stream=stream, retry=retry, failing=failing)


def test_a_batch_is_in_the_status_once_spark_has_reported_it(reported_at):
    reported_at.stream.batch = 4
    assert reported_at.at(1).batch is None
    reported_at.query.reports(3)
    assert reported_at.at(2).batch is None
    reported_at.query.reports(4)
    status = reported_at.at(3)
    assert (status.batch, status.batch_ms, status.behind, status.rows_per_s) == (4, 350, 13, 10)
    assert (status.alerts, status.notice) == (2, "so")
    assert (status.updated_at, status.healthy_at) == (3, 3)
    assert reported_at.at(20).rows_per_s == 0


@pytest.mark.parametrize(("latest", "rate"), [("null", float("nan")), (None, None)])
def test_what_spark_does_not_know_is_nought(reported_at, latest, rate):
    reported_at.stream.batch = 4
    reported_at.query.reports(4, latest, rate)
    status = reported_at.at(1)
    assert (status.behind, status.rows_per_s) == (0, 0)


def test_a_stream_with_nothing_to_do_is_well_and_one_that_hangs_is_not(reported_at):
    assert reported_at.at(100).healthy_at == 0
    reported_at.query.status = {"isTriggerActive": False}
    assert reported_at.at(200).healthy_at == 200
    reported_at.query.status = {"isTriggerActive": True}
    reported_at.retry.since = 250
    status = reported_at.at(300)
    assert (status.updated_at, status.healthy_at, status.waiting_since) == (300, 200, 250)


def test_a_sink_that_takes_nothing_is_in_the_status(reported_at, settings, driver, monkeypatch):
    views = SimpleNamespace(status=lambda: {"batch": None, "servers": {}})
    monkeypatch.setattr(control.RealTime, "connect", lambda _, reader: nullcontext(views))
    driver(SLEEP)
    reported_at.failing["webhook"] = "HTTP Error 503"
    reported_at.at(1)
    assert control.report(settings)["notes"] == [
        "the webhook takes no alerts now: HTTP Error 503; it is tried again"
    ]
    reported_at.failing.clear()
    reported_at.at(2)
    assert control.report(settings)["notes"] == []


def test_the_report_has_a_line_for_each_server_and_obeys_none():
    servers = {"weblog1": COUNTS, HOSTILE: COUNTS}
    report = RUNS | {"batch": 3, "servers": servers}
    lines = display.report_text(report).split("\n")
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert "pid 12" in lines[0]
    assert "last batch 3" in lines[1]
    assert lines[2] == "stream: 990 rows/s, batch of 350 ms, 7 behind, 2 open alerts"
    assert "9 rows, 2 copies, 1 set aside, 3 skipped; latest 2015-05-18T09:05:59Z" in lines[4]


def test_until_its_first_batch_a_driver_knows_no_figures(settings, driver, monkeypatch):
    views = SimpleNamespace(status=lambda: {"batch": 3, "servers": {"a": COUNTS}})
    monkeypatch.setattr(control.RealTime, "connect", lambda _, reader: nullcontext(views))
    driver(SLEEP)
    driver_status.write(settings, Status(updated_at=time.time(), healthy_at=time.time()))
    report = control.report(settings)
    figures = {report[name] for name in ("behind", "batch_ms", "rows_per_s", "alerts")}
    assert (figures, report["batch"], report["healthy"]) == ({None}, 3, True)
    assert "no batch since it was started" in display.report_text(report)
    driver_status.write(
        settings, Status(4, alerts=2, updated_at=time.time(), healthy_at=time.time())
    )
    assert control.report(settings)["alerts"] == 2


def test_clocks_that_differ_are_reported(settings, monkeypatch):
    hour_ago = COUNTS | {"latest": COUNTS["latest"] - 3600}
    servers = {"a": COUNTS, "b": hour_ago, "c": COUNTS | {"latest": 0}}
    views = SimpleNamespace(status=lambda: {"batch": 3, "servers": servers})
    monkeypatch.setattr(control.RealTime, "connect", lambda _, reader: nullcontext(views))
    report = control.report(settings)
    assert report["clocks_behind"] == {"b": 3600}
    assert "note: the servers' clocks differ: b is 1 h behind" in display.report_text(report)
    hour_ago["latest"] = COUNTS["latest"] - settings.speed.window_seconds
    assert (control.report(settings)["clocks_behind"], control.report(settings)["notes"]) == (
        {},
        [],
    )


def test_a_driver_of_another_version_reports_what_both_know(settings, driver, monkeypatch):
    views = SimpleNamespace(status=lambda: {"batch": 3, "servers": {"a": COUNTS}})
    monkeypatch.setattr(control.RealTime, "connect", lambda _, reader: nullcontext(views))
    driver(SLEEP)
    now = time.time()
    driver_status.write(settings, Status(3, alerts=2, updated_at=now, healthy_at=now))
    file = settings.files.speed_status
    file.write_text(json.dumps(json.loads(file.read_text()) | {"of_tomorrow": 1}))
    assert (control.report(settings)["complaint"], control.report(settings)["alerts"]) == ("", 2)
    older = json.loads(file.read_text())
    del older["healthy_at"]
    file.write_text(json.dumps(older))
    report = control.report(settings)
    assert not report["healthy"]
    assert "healthy_at" in report["complaint"]
    assert "restart the stream" in report["complaint"]


def test_the_report_of_nothing():
    report = dict.fromkeys(RUNS) | {"complaint": "", "batch": None, "servers": {}, "notes": []}
    assert display.report_text(report) == "speed: not running\nviews: no batch yet"
    report["complaint"] = "the topic\x1b has lost lines"
    assert "not running; the topic" in display.report_text(report)
    assert "\x1b" not in display.report_text(report)


@pytest.fixture
def driver(settings):
    """Starts a Python program as the driver; it is stopped in the end."""
    child = control.child(settings)

    def start(program):
        child.start([sys.executable, "-c", program])
        return child

    yield start
    child.stop(2)


SLEEP = "import time; time.sleep(60)"


def test_a_second_run_is_refused_before_anything_is_asked(settings, driver, monkeypatch):
    monkeypatch.setattr(kafka, "offsets", lambda _: pytest.fail("Kafka was asked"))
    pid = driver(SLEEP).running().pid
    with pytest.raises(ClickstreamError, match=str(pid)) as refusal:
        control.launch(settings)
    assert "speed stop" in refusal.value.hint


def test_a_reset_is_refused_while_it_runs(settings, driver):
    pid = driver(SLEEP).running().pid
    with pytest.raises(ClickstreamError, match=str(pid)):
        control.reset(settings)


def test_stop_asks_first(settings, driver):
    stop_file = settings.files.speed_stop
    program = f"import os, time\nwhile not os.path.exists({str(stop_file)!r}): time.sleep(0.05)"
    pid = driver(program).running().pid
    assert control.stop(settings).pid == pid
    assert control.stop(settings) is None


def test_stop_ends_a_driver_that_does_not_listen(settings, driver, monkeypatch):
    monkeypatch.setattr(control, "STOP_TIMEOUT_S", 0.2)
    pid = driver(SLEEP).running().pid
    assert control.stop(settings).pid == pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def driver_reports(settings, **event):
    """Write the driver's last event."""
    events = settings.files.driver_events(control.NAME)
    events.parent.mkdir(parents=True, exist_ok=True)
    events.write_text(json.dumps(event) + "\n")


def test_a_failed_drivers_reason_is_raised_with_its_log(settings, driver):
    driver_reports(settings, failed="Cassandra did not answer", hint="stack up", cause="timed out")
    child = driver("pass")
    with pytest.raises(ServiceFailed, match="Cassandra did not answer") as failure:
        control.attend(settings, child, lambda status: None)
    assert failure.value.hint == f"stack up; log: {child.log}"
    assert str(failure.value.__cause__) == "timed out"


def test_a_driver_that_says_nothing_is_quoted(settings, driver):
    child = driver("print('last words')")
    with pytest.raises(ServiceFailed, match="speed ended early: last words"):
        control.attend(settings, child, lambda _: None)


def test_a_driver_that_is_done_or_was_asked_to_end_has_not_failed(settings, driver):
    child = driver("pass")
    driver_reports(settings, done={})
    control.check_end(settings, child)
    driver_reports(settings, failed="interrupted")
    driver_status.want_stop(settings)
    control.check_end(settings, child)


def test_the_last_batch_is_shown_even_of_a_driver_that_has_ended(settings, driver):
    driver_reports(settings, done={})
    driver_status.write(settings, Status(5, servers={"a": COUNTS}))
    seen = []
    control.attend(settings, driver("pass"), seen.append)
    assert seen[-1].batch == 5


class FakeWriter:
    """A writer that takes nothing."""

    def __init__(self, error):
        self.error = error

    def resume(self, query, number):
        raise self.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("k"), "batch 7 failed: KeyError: 'k'"),
        (RuntimeError("a\nCaused by: B: why"), "batch 7 failed: RuntimeError: B: why"),
        (RuntimeError("[KAFKA_DATA_LOSS.PARTITIONS_DELETED] Some"), "the topic has lost lines"),
        (BadInput("made from another checkpoint", "reset"), "made from another checkpoint"),
    ],
)
def test_any_failure_of_a_batch_is_kept_as_one_line(settings, error, sentence):
    stream = Stream(settings, FakeWriter(error))
    stream.begin("query")
    with pytest.raises(type(error)):
        stream.take(None, 7)
    assert stream.failure.message.startswith(sentence)
    assert "\n" not in stream.failure.message


def test_no_batch_is_taken_once_the_stream_is_to_end(settings):
    stream = Stream(settings, FakeWriter(AssertionError("taken")))
    stream.begin("query")
    stream.end()
    with pytest.raises(InterruptedError):
        stream.take(None, 0)
    assert stream.failure is None


def test_the_end_waits_for_the_batch_at_hand(settings):
    entered, leave, ended = threading.Event(), threading.Event(), threading.Event()

    class SlowWriter(FakeWriter):
        def resume(self, query, number):
            entered.set()
            leave.wait(20)
            assert not ended.is_set()
            raise self.error

    stream = Stream(settings, SlowWriter(KeyError("late")))
    stream.begin("query")

    def take():
        with pytest.raises(KeyError):
            stream.take(None, 0)

    batch = threading.Thread(target=take)
    batch.start()
    entered.wait(20)
    end = threading.Thread(target=lambda: (stream.end(), ended.set()))
    end.start()
    leave.set()
    batch.join(20)
    end.join(20)
    assert ended.is_set()
    assert "late" in stream.failure.message


def test_lost_lines_are_reported_with_what_to_do():
    error = RuntimeError("[KAFKA_DATA_LOSS.START_OFFSET_RESET] some\nCaused by: Other: thing")
    failure = failure_of(error, "the stream ended")
    assert "has lost lines" in failure.message
    assert "speed reset" in failure.hint


def test_a_status_before_the_first_run_makes_nothing(settings, monkeypatch):
    def connect(_, reader):
        assert reader
        raise no_line_yet()

    monkeypatch.setattr(control.RealTime, "connect", connect)
    report = control.report(settings)
    assert (report["running"], report["batch"], report["servers"]) == (False, None, {})


def test_the_report_goes_without_cassandra_while_the_driver_runs(settings, driver, monkeypatch):
    def away(_, reader):
        raise NotRunning("Cassandra does not answer")

    monkeypatch.setattr(control.RealTime, "connect", away)
    with pytest.raises(NotRunning):
        control.report(settings)
    driver(SLEEP)
    now = time.time()
    driver_status.write(
        settings,
        Status(4, servers={"a": COUNTS}, updated_at=now, healthy_at=now, waiting_since=now),
    )
    report = control.report(settings)
    assert (report["batch"], report["servers"]) == (4, {"a": COUNTS})
    assert report["complaint"] == f"waiting for Cassandra since {report['waiting_since']}"
    assert (report["running"], report["healthy"]) == (True, False)


@pytest.mark.parametrize(("healthy", "check", "code"), [(0, 1, 1), (1, 1, 0), (0, 0, 0)])
def test_status_exits_with_1_only_when_asked_to(settings, monkeypatch, healthy, check, code):
    report = RUNS | {"healthy": bool(healthy), "batch": 3, "servers": {}}
    monkeypatch.setattr(control, "report", lambda _: report)
    words = ["--home", str(settings.home), "speed", "status", *["--check"] * check]
    assert CliRunner().invoke(app, words).exit_code == code
