"""The speed layer killed, refused and kept waiting: no figure changes, and its end is reported."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from clickstream.clients import endpoints, kafka
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.runtime.process import running_children, wait_until
from clickstream.speed import control, driver_status
from clickstream.stack import local
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.writer import stamp_of
from tests.stack.test_speed_layer import (
    answers,
    batch,
    ended,
    expected,
    family,
    goes_on,
    log_of,
    produce,
    stamped,
)
from tests.stack.test_speed_stream import POINTS, lines_of

SEED = 20150518


def check_figures(settings: Settings, lines: dict[str, list[bytes]]) -> None:
    """Every figure is that of a run without a break: the truth of these lines, counted once."""
    assert answers(settings, list(lines)) == expected({s: log_of(own) for s, own in lines.items()})
    with RealTime.connect(settings) as views:
        line_counts = views.status()["servers"]
    assert {server: line_counts[server]["rows"] for server in lines} == {
        server: len(own) for server, own in lines.items()
    }
    assert all(each["copies"] == 0 for each in line_counts.values())


def committed(settings: Settings) -> int:
    """The last batch that Spark has committed; -1 before any."""
    commits = settings.files.checkpoint / "commits"
    return max((int(each.name) for each in commits.glob("[0-9]*")), default=-1)


def stored(settings: Settings) -> int:
    """The last batch that the views hold whole; -1 before any."""
    with RealTime.connect(settings) as views:
        number = views.status()["batch"]
    return -1 if number is None else number


@pytest.mark.submission
@pytest.mark.campaign("every fault point and random kills, each a driver: seven of them")
def test_kill_9_at_any_point_changes_no_figure(fresh, run, monkeypatch):
    kafka.ensure_topic(fresh)
    lines = lines_of(2500, SEED)
    for server, own in lines.items():
        produce(fresh, server, stamped(server, own))
    for number, point in enumerate(POINTS):
        monkeypatch.setenv("CLICKSTREAM_FAULT", f"{point}:2")
        run.apart("speed", "run", "--available-now", "--max-rows", 500, code=1)
        # It died in the batch after `number`, which it had stored already at the last point only.
        assert (committed(fresh), stored(fresh)) == (number, number + (point == "stored"))
    monkeypatch.delenv("CLICKSTREAM_FAULT")
    killed_at_random(fresh, run, random.Random(SEED))
    run("speed", "run", "--available-now", "--max-rows", 1000)
    check_figures(fresh, lines)


def killed_at_random(settings: Settings, run, chance: random.Random) -> None:
    """Kill the whole driver, then only its JVM, then only its Python, within some batch."""
    for part in ("", "java", "python"):
        run("speed", "run", "--detach", "--max-rows", 200)
        known = family(settings)
        goes_on(settings)
        time.sleep(chance.random())
        if part:
            (victim,) = [each for each in known if part in each.name()]
            victim.kill()
        else:
            os.killpg(known[0].pid, signal.SIGKILL)
        wait_until(
            lambda known=known: ended(known), 180, f"the end after kill -9 of {part or 'all'}"
        )


def test_what_was_counted_otherwise_is_not_added_to(fresh, run):
    kafka.ensure_topic(fresh)
    lines = {server: stamped(server, own) for server, own in lines_of(0, SEED).items()}
    for server, own in lines.items():
        produce(fresh, server, own)
    run("speed", "run", "--available-now")
    for key, value in (("speed.max_ahead_seconds", 60), ("speed.ddos_requests_per_second", 50)):
        refused = run("--set", f"{key}={value}", "speed", "run", code=1).stderr
        assert f"{key} was" in refused.splitlines()[0]
        assert "speed reset" in refused
    assert control.child(fresh).running() is None
    recreate_topic(fresh)
    for server, own in lines.items():
        produce(fresh, server, own + own)  # as long as before and longer: offsets alone look fine
    refused = run("speed", "run", code=1).stderr
    assert "deleted and recreated" in refused.splitlines()[0]
    assert "speed reset" in refused
    run("speed", "reset", "--yes")
    lost_while_it_runs(fresh, run)


def lost_while_it_runs(settings: Settings, run) -> None:
    run("speed", "run", "--detach")
    wait_until(lambda: batch(settings) >= 0, 180, "a first batch")
    healthy = json.loads(run("speed", "status", "--check", "--format", "json").stdout)
    assert (healthy["healthy"], healthy["complaint"]) == (True, "")
    known = family(settings)
    recreate_topic(settings)
    produce(settings, "weblog1", [b"one"])
    wait_until(lambda: ended(known), 180, "the end of a stream whose topic is gone")
    report = json.loads(run("speed", "status", "--check", "--format", "json", code=1).stdout)
    assert report["running"] is False
    assert "has lost lines" in report["complaint"]


def recreate_topic(settings: Settings) -> None:
    """Delete the topic, and make it again under the same name."""
    topic, before = settings.kafka.topic, kafka.topic_id(settings)
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap(settings)})
    admin.delete_topics([topic])[topic].result(30)

    def again() -> bool:
        with suppress(ClickstreamError, KafkaException):  # while the first one is being deleted
            kafka.ensure_topic(settings)
            return kafka.topic_id(settings) != before
        return False

    wait_until(again, 30, "the topic's second life")


@contextmanager
def paused(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def cassandra(settings: Settings) -> psutil.Process:
    """The stack's Cassandra."""
    return psutil.Process(
        next(child.pid for child in running_children(settings.files) if child.name == "cassandra")
    )


@pytest.fixture
def restarted(settings: Settings) -> Iterator[None]:
    """Whatever happens, Cassandra runs again after the test."""
    yield
    local.up(settings, ["cassandra"])


@pytest.mark.submission
@pytest.mark.usefixtures("restarted")
@pytest.mark.campaign("a store that is away for a minute; the waiting itself is a unit")
def test_cassandra_may_go_away_and_come_back(settings, fresh, run):
    kafka.ensure_topic(fresh)
    lines = lines_of(700, SEED)
    sent = {server: stamped(server, own) for server, own in lines.items()}
    thirds = len(sent["weblog1"]) // 3

    def go_on(part: slice) -> None:
        for server, own in sent.items():
            produce(fresh, server, own[part])

    go_on(slice(thirds))
    run("speed", "run", "--detach", "--max-rows", 300)
    known = family(fresh)
    wait_until(lambda: batch(fresh) >= 1, 180, "a second batch")
    with paused(cassandra(settings)):
        go_on(slice(thirds, 2 * thirds))
        wait_until(lambda: waits(fresh), 180, "waiting for Cassandra")
        report = run("speed", "status", "--check", code=1).stdout
        assert "waiting for Cassandra since" in report
    wait_until(lambda: not waits(fresh), 180, "going on")
    at = batch(fresh)
    rest = len(sent["weblog1"]) * 5 // 6
    go_on(slice(2 * thirds, rest))
    acknowledged = killed_while_it_takes_writes(cassandra(settings), fresh)
    go_on(slice(rest, None))
    wait_until(lambda: waits(fresh), 180, "waiting for Cassandra again")
    local.up(settings, ["cassandra"])
    total = sum(map(len, lines.values()))
    wait_until(lambda: counted(fresh) == total, 180, "the last line")
    assert batch(fresh) > at
    assert [each.pid for each in family(fresh)] == [each.pid for each in known]
    check_figures(fresh, lines)
    with RealTime.connect(fresh) as views:
        stored = {row.sink for row in views.run("SELECT sink FROM delivered")}
    assert acknowledged - stored == set()
    forgotten_batches_are_reported(fresh, run, sent["weblog1"][0], known)


def killed_while_it_takes_writes(process: psutil.Process, settings: Settings) -> set[str]:
    """What the process had acknowledged when `kill -9` met it, up to the last moment."""
    done: set[str] = set()
    with RealTime.connect(settings) as views:
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        with suppress(NotRunning):
            while True:
                views.run("INSERT INTO delivered (sink, n) VALUES (?, 0)", f"test {len(done)}")
                done.add(f"test {len(done)}")
        killer.join()
    assert done
    return done


def forgotten_batches_are_reported(
    settings: Settings, run, line: bytes, known: list[psutil.Process]
) -> None:
    """A Cassandra that goes back by a batch, as one may that syncs its log now and then."""
    last = batch(settings)
    with RealTime.connect(settings) as views:
        back = "INSERT INTO state (name, batch_id) VALUES ('speed', ?) USING TIMESTAMP ?"
        views.run(back, last - 1, stamp_of(last, rebuild=True))
    produce(settings, "weblog1", [line])
    wait_until(lambda: ended(known), 180, "the end of a stream whose counts are gone")
    report = json.loads(run("speed", "status", "--check", "--format", "json", code=1).stdout)
    assert f"the last was {last}, it holds {last - 1}" in report["complaint"]
    assert "speed reset" in run("speed", "run", code=1).stderr


def waits(settings: Settings) -> bool:
    status = driver_status.read(settings)
    return bool(status and status.waiting_since)


def counted(settings: Settings) -> int:
    status = driver_status.read(settings)
    return sum(each["rows"] for each in status.servers.values()) if status else 0
