"""Ingest on real HDFS, Flume and Kafka: nothing lost, nothing altered. Kills: `test_faults`."""

import gzip
import posixpath
import socket
import time
from contextlib import contextmanager

import psutil
import pytest

from clickstream import master
from clickstream.clients.hdfs import Hdfs
from clickstream.ingest import flow
from clickstream.ingest.flume.agent import Agent
from clickstream.ledger import VALID
from clickstream.runtime.process import Child, wait_until
from clickstream.stack import local
from tests.stack.conftest import SINGLE
from tests.stack.homes import fresh_home, runner
from tests.stack.stores import (
    by_offset,
    closed_lines,
    in_kafka,
    offsets,
    open_files_hold_lines,
    well_formed,
)

OK = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET /a/%d HTTP/1.1" 200 12 "-" "%s"'


def log_of(lines, agent=b"agent"):
    return b"".join(OK % (n % 60, n, agent) + b"\n" for n in range(lines))


def hostile():
    """A log in which every kind of odd line stands between good ones."""
    odd = [
        OK % (1, 1, b"caf\xe9 \xff"),
        OK % (2, 2, b"caf\xc3\xa9 \xe2\x80\xae \xc2\x85next"),
        OK % (3, 3, b"\x00\x0b\x0c\x1b]0;title\x07"),
        OK % (4, 4, rb"say \"hi\" \\"),
        OK % (5, 5, b"a" * 5000),
        OK % (6, 6, b"b" * 200_000),
        (OK % (7, 7, b"x")).replace(b"18/May/2015", b"31/Feb/2015"),
        (OK % (8, 8, b"x")).replace(b"2015", b"9999"),
        b"",
        b"\r",
        b"\x00" * 50,
        bytes(byte for byte in range(256) if byte not in (10, 13)) * 3,
        b"x" * 2048 + OK % (9, 9, b"tail"),
        b"y" * 1_500_000,
        (OK % (10, 10, b"cut"))[:-1],
        b"lone\rcarriage",
    ]
    good = (OK % (n % 60, n, b"g") for n in range(100))
    lines = [line for pair in zip(odd * 3, good, strict=False) for line in pair]
    ends = [b"\r\n" if n % 7 == 0 else b"\n" for n in range(len(lines))]
    return b"".join(map(bytes.__add__, lines, ends)) + OK % (11, 11, b"no end")


def put(run, path, content, server="weblog1", **options):
    path.write_bytes(content)
    flags = [text for key, value in options.items() for text in (f"--{key}", value)]
    return run("weblog", "put", path, "--server", server, *flags)


def test_bytes_survive_and_every_line_is_somewhere(shared_run, arrived, tmp_path):
    logs = {"weblog1": hostile(), "weblog2": log_of(500, b"two")}
    for server, content in logs.items():
        put(shared_run, tmp_path / f"bytes-{server}.txt", content, server)
    shared_run("ingest", "replay", "--wait")
    master, quarantine = by_offset(arrived.master()), by_offset(arrived.quarantine())
    for server, content in logs.items():
        lines = offsets(content)
        valid = {offset: raw for offset, raw in lines.items() if well_formed(raw)}
        rest = {offset: raw for offset, raw in lines.items() if offset not in valid}
        assert master[server] == valid
        assert quarantine.get(server, {}) == rest
        assert arrived.counts(server)[VALID] == len(valid)
        assert arrived.counts(server).total() == len(lines)
    assert sorted((server, offset) for server, _, offset in arrived.in_kafka()) == sorted(
        (server, offset) for server, lines in master.items() for offset in lines
    )


def test_a_log_counts_once_however_it_comes(shared_run, arrived, tmp_path):
    content = log_of(300, b"once")
    grown = content + log_of(50, b"later")
    put(shared_run, tmp_path / "once.log", content)
    shared_run("ingest", "replay")
    assert "already there" in put(shared_run, tmp_path / "once.log", content).stdout
    packed, part = gzip.compress(content), content[: len(content) // 2]
    for name, copy in (("once.log.gz", packed), ("part.log", part)):
        assert "already there" in put(shared_run, tmp_path / name, copy).stdout
        assert "stored" in put(shared_run, tmp_path / name, copy, **{"as": name}).stdout
    assert "nothing new" in shared_run("ingest", "replay").stdout
    assert "continued" in put(shared_run, tmp_path / "once.log", grown).stdout
    assert "50 lines of 1 logs" in shared_run("ingest", "replay").stdout
    other = log_of(300, b"other")
    (tmp_path / "once.log").write_bytes(other)
    words = ("weblog", "put", tmp_path / "once.log", "--server", "weblog1")
    refused = shared_run(*words, "--as", "once.log", code=1)
    assert "holds another log" in refused.stderr
    assert "once.log-20" in shared_run(*words).stdout  # a name of its own
    assert "300 lines of 1 logs" in shared_run("ingest", "replay", "--wait").stdout
    assert len(arrived.in_kafka()) == len(set(arrived.in_kafka())) == 650


def test_a_file_that_the_collector_gave_up_is_closed(settings, tmp_path):
    """The NameNode hangs while a file is made: Flume lets it be, and it stays open for ever."""
    flags = {"flume.call_timeout_seconds": "2", "replay.wait_timeout_seconds": "60"}
    with contextmanager(fresh_home)(settings, tmp_path / "home", **SINGLE, **flags) as home:
        run = runner(home)
        run("ingest", "start")
        live, content = tmp_path / "live.log", log_of(500)
        live.write_bytes(content)
        namenode = psutil.Process(Child(settings.files, "namenode").running().pid)
        namenode.suspend()
        try:
            run("ingest", "follow", "--server", "weblog1", live, "--until-idle", "1")
            log = Agent(home, "agent3").child.log
            wait_until(lambda: b"Callable timed out" in log.read_bytes(), 60, "a timeout")
        finally:
            namenode.resume()
        wait_until(lambda: master.in_use(Hdfs.connect(home), home), 30, "an open file")
        flow.drain(home, print)
        assert by_offset(closed_lines(home, home.hdfs.master))["weblog1"] == offsets(content)


@pytest.mark.campaign("Kafka away for more than a minute, which a producer waits for its metadata")
def test_no_line_overtakes_an_earlier_one_while_kafka_is_away(settings, single, tmp_path):
    """The speed layer would take the earlier one for a copy. The collector has sent nothing yet."""
    run = runner(single)
    put(run, tmp_path / "a.log", log_of(3000))
    run("ingest", "start")
    psutil.Process(Child(settings.files, "kafka").running().pid).kill()
    try:
        run("ingest", "replay")
        time.sleep(75)
    finally:
        local.up(settings, ["kafka"])
    run("ingest", "replay", "--wait")
    first = [*dict.fromkeys(in_kafka(single))]
    assert len(first) == 3000
    assert first == sorted(first)


@pytest.mark.campaign("it waits for a checkpoint, and there is one each 30 s")
def test_no_line_overtakes_an_earlier_one_after_a_kill_behind_a_checkpoint(single, tmp_path):
    """Flume's checkpoint keeps what was on its way as a set: a replay from it mixes these lines."""
    run = runner(single)
    put(run, tmp_path / "a.log", log_of(3000))
    run("ingest", "start")
    edge, collector = (
        psutil.Process(Agent(single, name).running().pid) for name in ("agent1", "agent3")
    )
    collector.suspend()
    run("ingest", "replay")
    time.sleep(40)
    for each in (edge, collector):
        each.kill()
    run("ingest", "start")
    run("ingest", "replay", "--wait")
    first = [*dict.fromkeys(in_kafka(single))]
    assert len(first) == 3000
    assert first == sorted(first)


@pytest.mark.campaign("another way to leave a file open")
def test_a_file_that_got_its_name_though_it_is_open_is_closed(settings, tmp_path):
    """Flume does so where a close failed: readers would go on missing its last lines."""
    flags = {"flume.idle_timeout_seconds": "5"}
    with contextmanager(fresh_home)(settings, tmp_path / "home", **SINGLE, **flags) as home:
        run, hdfs = runner(home), Hdfs.connect(home)
        content = log_of(500)
        put(run, tmp_path / "a.log", content)
        run("ingest", "start")
        run("ingest", "replay")
        wait_until(lambda: open_files_hold_lines(hdfs, home), 60, "a file being written")
        psutil.Process(Agent(home, "agent3").running().pid).kill()
        for entry in master.in_use(hdfs, home):
            final = entry.name.removeprefix("_").removesuffix(".tmp")
            hdfs.rename(entry.path, f"{posixpath.dirname(entry.path)}/{final}")
        (stuck,) = master.in_use(hdfs, home)
        assert master.is_stuck(stuck)
        assert "recovered" in run("ingest", "start").stdout
        run("ingest", "replay", "--wait")
        assert master.in_use(hdfs, home) == []
        assert sum(entry.size for entry in hdfs.walk(home.hdfs.master)) >= len(content)
        assert by_offset(closed_lines(home, home.hdfs.master))["weblog1"] == offsets(content)


def test_agents_listen_on_loopback_only(shared):
    found = {
        connection.laddr.ip
        for name in ("agent1", "agent2", "agent3")
        for connection in psutil.Process(Agent(shared, name).running().pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}


def test_replay_without_agents_says_what_to_do(run, tmp_path):
    put(run, tmp_path / "a.log", log_of(3))
    failed = run("ingest", "replay", code=1)
    assert "agent1 is not running" in failed.stderr
    assert "clickstream ingest start" in failed.stderr


def test_bad_logs_that_came_another_way_are_left_out(shared, shared_run, arrived, tmp_path):
    """Stored without `weblog put`: mostly invalid, or of the wrong format; the others go on."""
    hdfs = Hdfs.connect(shared)
    put(shared_run, tmp_path / "good.log", log_of(7, b"good"))
    vhost = b"www.example.org:80 203.0.113.9 - " + (OK % (1, 1, b"x")).partition(b" ")[2] + b"\n"
    bad = {
        "a-half.log": log_of(5, b"half") + b"hello\n" * 5,
        "a-junk.log": log_of(5, b"junk") + b"hello\n" * 6,
        "vhost.log": vhost * 20,
    }
    paths = {name: f"{shared.hdfs.source}/weblog1/{name}" for name in bad}
    try:
        for name, content in bad.items():
            hdfs.write(paths[name], [content])
        failed = shared_run("ingest", "replay", code=1)
        assert "a-junk.log" in failed.stderr
        assert "max_invalid_percent" in failed.stderr
        assert "vhost_combined" in failed.stderr
        assert "a-half.log" not in failed.stderr.partition("Error:")[2]
        assert (arrived.counts("weblog1")[VALID], arrived.counts("weblog1").total()) == (12, 17)
        most = ("--set", "replay.max_invalid_percent=60")
        shared_run(*most, "ingest", "replay", "--wait", code=1)
        assert len(arrived.in_kafka()) == 17
        assert len(arrived.quarantine()) == 11
    finally:
        for path in paths.values():
            hdfs.delete(path)


def test_replay_without_a_log_says_what_to_do(run):
    assert "weblog put" in run("ingest", "replay", code=1).stderr


def test_a_taken_port_is_named(fresh, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = run("--set", f"flume.collector_port={port}", "ingest", "start", "agent3", code=1)
    assert f"port {port}" in failed.stderr
    assert Agent(fresh, "agent3").running() is None
