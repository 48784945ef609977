"""The speed layer on real Kafka, Spark and Cassandra: exact whatever comes and whoever is killed.

Lines go straight into the topic, so that their order, their copies and their flaws are chosen here.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from clickstream import weblog
from clickstream.clients import endpoints, kafka
from clickstream.config import Settings
from clickstream.runtime.process import wait_until
from clickstream.speed import control, driver_status
from clickstream.views.realtime import RealTime
from tests.stack.stores import kafka_producer
from tests.truth import ALL, Truth, ranked

BASE = 1431939600  # 2015-05-18T09:00:00Z
FILE = "0123456789abcdef"
EVERY = 100_000
SET_ASIDE = [
    b'h - - [31/Dec/9999:23:59:59 +0000] "GET /later HTTP/1.1" 404 1',
    b'h - - [31/Dec/1969:23:59:59 +0000] "GET /before HTTP/1.1" 404 1',
    b'h - - [01/Jan/1970:00:30:00 +0100] "GET /before HTTP/1.1" 200 1',
    b'h - - [01/Jan/1970:00:00:00 +0000] "GET /zero HTTP/1.1" 200 1',
]
NO_STAMP = [b"", b"\xff\x00\t\t\t", b"v1:weblog1:nohex:1\t0\t2015-05-18\tx"]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def line(second: int, host: bytes = b"10.0.0.1", path: bytes = b"/a", status: int = 200) -> bytes:
    """A line of that instant, printed with an offset of two hours at every odd second."""
    zone_h = 2 * (second % 2)
    clock = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(second + 3600 * zone_h)).encode()
    return b'%s - - [%s +0%d00] "GET %s HTTP/1.1" %d 1' % (host, clock, zone_h, path, status)


def filler(count: int, seed: int) -> list[bytes]:
    """Lines of ten minutes in no order, with every class of status and paths that are no text."""
    chance = random.Random(seed)
    paths = [b"/a/1", b"/A", b"/caf\xe9", b"/caf\xe8", b"/caf\xc3\xa9", b"*", b"/", b"/b?c"]
    return [
        line(
            BASE + chance.randrange(600),
            b"10.1.0.%d" % chance.randrange(9),
            chance.choice(paths),
            chance.choices([200, 304, 404, 503, 101], [90, 4, 4, 1, 1])[0],
        )
        for _ in range(count)
    ]


def attacks() -> dict[str, list[bytes]]:
    """100 and more requests in one second, over both servers; windows that end at 300 s."""
    one = [line(BASE + 5, b"both")] * 60 + [line(BASE + 6, b"exactly100")] * 60
    one += [line(BASE + 6, b"just101")] * 61
    one += [line(BASE + second, status=404) for second in [100] * 6 + [399] * 5 + [400] * 6]
    two = [line(BASE + 5, b"both")] * 60 + [line(BASE + 6, b"exactly100")] * 40
    two += [line(BASE + 6, b"just101")] * 40
    two += [line(BASE + second, status=500) for second in [400] + [500] * 10]
    return {"weblog1": [*one, line(BASE + 650)], "weblog2": [*two, line(BASE + 700)]}


def log_of(lines: list[bytes]) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def stamped(server: str, lines: list[bytes]) -> list[bytes]:
    """The lines as the spooler would stamp them."""
    found, offset = [], 0
    for each in lines:
        found.append(weblog.stamp(server, FILE, offset, each))
        offset += len(each) + 1
    return found


def produce(settings: Settings, server: str, values: list[bytes]) -> None:
    producer = kafka_producer(settings)
    partition = kafka.partition_of(settings, server)
    for value in values:
        producer.produce(settings.kafka.topic, value, partition=partition)
    assert producer.flush(30) == 0


def answers(settings: Settings, servers: list[str]) -> dict[str, object]:
    """All that the real-time views hold, as the independent reader reports it."""
    with RealTime.connect(settings) as views:
        return {
            "latest": views.latest_by_server(),
            "offenders": {(o.second, o.ip): o.requests for o in views.offenders(None)},
            "peaks": views.non_200_peaks(None),
            "windows": {
                (server, end): views.categories(server, end - 300, end)
                for server in [*servers, ALL]
                for end in (BASE + 300, BASE + 399, BASE + 400)
            },
            "minutes": {
                (m.server, m.date, m.slot): (m.requests, m.success, m.failure, m.other)
                for m in views.minutes()[0]
            },
        }


def expected(logs: dict[str, bytes]) -> dict[str, object]:
    truth, minutes = Truth(logs), {}
    for server in logs:
        for (day, minute), classes in truth.minutes(server).items():
            split = [classes[name] for name in ("success", "failure", "other")]
            minutes[server, day, minute] = (classes.total(), *split)
    return {
        "latest": {server: truth.latest(server) for server in logs},
        "offenders": {(s, host.decode()): n for (s, host), n in truth.offenders().items()},
        "peaks": {server: truth.non_200_peak(server)[::-1] for server in logs},
        "windows": {
            (server, end): {
                category.decode("latin-1"): n
                for category, n in truth.popularity(end, server=server).items()
            }
            for server in [*logs, ALL]
            for end in (BASE + 300, BASE + 399, BASE + 400)
        },
        "minutes": minutes,
    }


def iso(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def test_every_figure_is_that_of_the_distinct_lines(fresh, run):
    kafka.ensure_topic(fresh)
    logs, sent = {}, {}
    for server, lines in attacks().items():
        lines += filler(400, len(server + lines[0].decode()))
        random.Random(4).shuffle(lines)
        logs[server] = log_of(lines)
        sent[server] = stamped(server, lines + SET_ASIDE + [b"no log line"])
    one = sent["weblog1"]
    produce(fresh, "weblog1", [*one[:350], *NO_STAMP, *one[350:], *one[50:350]])
    produce(fresh, "weblog2", sent["weblog2"])
    run("speed", "run", "--available-now", "--max-rows", 500)

    status = json.loads(run("speed", "status", "--format", "json").stdout)
    line_counts = status["servers"]
    assert status["running"] is False
    assert status["batch"] >= 2
    for server, copies in (("weblog1", 300), ("weblog2", 0)):
        assert line_counts[server] == {
            "rows": len(sent[server]) + copies,
            "copies": copies,
            "set_aside": len(SET_ASIDE),
            "skipped": 1,
            "latest": Truth(logs).latest(server),
        }
    assert line_counts["?"]["skipped"] == line_counts["?"]["rows"] == len(NO_STAMP)

    found = answers(fresh, list(logs))
    assert found == expected(logs)
    assert found["offenders"] == {(BASE + 5, "both"): 120, (BASE + 6, "just101"): 101}
    reports_agree(run, Truth(logs))
    a_lost_checkpoint_is_refused(fresh, run)


def reports_agree(run, truth: Truth) -> None:
    def ask(*words):
        return json.loads(run("report", *words, "--format", "json").stdout)

    latest = truth.latest()
    for end, words in ((latest, ()), (BASE + 400, ("--at", iso(BASE + 400)))):
        rows = ask("popularity", "--top", EVERY, *words)
        counts = ranked(truth.popularity(end))
        assert {row["window_start"] for row in rows} == {iso(end - 300)}
        assert [(row["rank"], row["requests"]) for row in rows] == [
            (rank, n) for rank, (_, n) in enumerate(counts, 1)
        ]
    assert [(row["ip"], row["requests"]) for row in ask("ddos")] == [
        ("both", 120),
        ("just101", 101),
    ]
    for row in ask("health"):
        n = truth.non_200(row["server"], truth.latest(row["server"]))
        assert (row["non_200"], row["state"]) == (n, "alert" if n > 10 else "ok")
    peaks = {row["server"]: (row["non_200"], row["window_end"]) for row in ask("health", "--peak")}
    assert peaks == {
        server: (n, iso(second))
        for server in truth.valid
        for n, second in [truth.non_200_peak(server)]
    }


def a_lost_checkpoint_is_refused(fresh: Settings, run) -> None:
    """The driver fails in its first batch: one line says why, and what to do."""
    shutil.rmtree(fresh.files.checkpoint)
    failed = run("speed", "run", "--available-now", code=1)
    assert "made from another checkpoint" in failed.stderr.splitlines()[0]
    assert "speed reset" in failed.stderr
    run("speed", "reset", "--yes")
    assert json.loads(run("speed", "status", "--format", "json").stdout)["servers"] == {}


def family(settings: Settings) -> list[psutil.Process]:
    """Every process of the running driver."""
    running = control.child(settings).running()
    assert running, driver_status.read(settings)
    top = psutil.Process(running.pid)
    return [top, *top.children(recursive=True)]


def ended(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def batch(settings: Settings) -> int:
    """The last batch of the running driver."""
    status = driver_status.read(settings)
    return -1 if status is None or status.batch is None else status.batch


def kill_all(processes: list[psutil.Process], run) -> None:
    os.killpg(processes[0].pid, signal.SIGKILL)


def ask_to_stop(processes: list[psutil.Process], run) -> None:
    assert f"pid {processes[0].pid}" in run("speed", "stop").stdout


WAYS: list[Callable] = [kill_all, ask_to_stop]


def test_no_end_of_the_driver_changes_a_figure(fresh, run):
    kafka.ensure_topic(fresh)
    lines = {"weblog1": filler(4000, 1), "weblog2": filler(4000, 2)}
    for server, own in lines.items():
        own += attacks()[server]
        random.Random(5).shuffle(own)
        produce(fresh, server, stamped(server, own))
    for number, way in enumerate(WAYS):
        run("speed", "run", "--detach", "--max-rows", 200)
        if number == 0:
            the_running_driver_is_alone_and_on_loopback(fresh, run)
        known = family(fresh)
        goes_on(fresh)
        way(known, run)
        wait_until(lambda known=known: ended(known), 30, f"the end after {way.__name__}")
    interrupt_ends_it(fresh)
    assert "was not running" in run("speed", "stop").stdout
    run("speed", "run", "--available-now", "--max-rows", 1000)
    assert answers(fresh, list(lines)) == expected({s: log_of(own) for s, own in lines.items()})
    status = json.loads(run("speed", "status", "--format", "json").stdout)
    assert {s: each["rows"] for s, each in status["servers"].items()} == {
        server: len(own) for server, own in lines.items()
    }


def goes_on(settings: Settings) -> None:
    """Wait for two batches of this start, and for a moment within the next one."""
    wait_until(lambda: batch(settings) >= 0, 180, "a first batch")
    first = batch(settings)
    wait_until(lambda: batch(settings) > first, 180, "another batch")
    time.sleep(random.random())


def the_running_driver_is_alone_and_on_loopback(settings: Settings, run) -> None:
    pid = control.child(settings).running().pid
    assert f"pid {pid}" in run("speed", "run", code=1).stderr
    assert f"pid {pid}" in run("speed", "reset", "--yes", code=1).stderr
    goes_on(settings)
    listening = [
        connection.laddr.ip
        for process in family(settings)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) <= LOOPBACK


def interrupt_ends_it(settings: Settings) -> None:
    """Ctrl-C in `speed run`: it exits 130 and leaves no process."""
    command = [sys.executable, "-m", "clickstream.cli", "speed", "run", "--max-rows", "200"]
    shell = subprocess.Popen(
        command,
        env=settings.child_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        goes_on(settings)
        known = family(settings)
        os.killpg(shell.pid, signal.SIGINT)
        shown, complained = shell.communicate(timeout=60)
    finally:
        shell.kill()
    assert shell.returncode == 130
    assert "Traceback" not in complained
    assert ended(known)
    assert " rows in " in shown


@pytest.mark.parametrize("word", ["run", "status", "reset"])
def test_a_store_that_is_down_is_one_line(fresh, run, word):
    (closed,) = endpoints.free_ports(["closed"]).values()
    kafka.ensure_topic(fresh)
    cassandra = ["--set", 'cassandra.hosts=["127.0.0.1"]', "--set", f"cassandra.port={closed}"]
    flags = ["--yes"] if word == "reset" else []
    failed = run(*cassandra, "speed", word, *flags, code=1).stderr
    assert failed.startswith(f"Error: Cassandra does not answer at 127.0.0.1:{closed}\n")
    assert failed.count("Error:") == 1


def test_kafka_that_is_down_or_empty_is_one_line(fresh, run):
    assert run("speed", "run", code=1).stderr.startswith("Error: there is no topic")
    (closed,) = endpoints.free_ports(["closed"]).values()
    failed = run("--set", f"kafka.bootstrap=127.0.0.1:{closed}", "speed", "run", code=1).stderr
    assert failed.startswith(f"Error: Kafka does not answer at 127.0.0.1:{closed}\n")
    assert control.child(fresh).running() is None
