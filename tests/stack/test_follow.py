"""Live logs on the real stack: written, rotated, compressed, and follow killed meanwhile."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from clickstream.ingest import flow
from clickstream.ledger import Ledger
from tests.stack.stores import Id, closed_lines, identity, in_kafka, well_formed

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20
QUIET = {"CLICKSTREAM_FOLLOW__QUIET_SECONDS": "8"}


@pytest.fixture
def started():
    """Starts processes; whatever still runs in the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(argv, **options) -> "subprocess.Popen[str]":
        running.append(
            subprocess.Popen([sys.executable, "-m", *map(str, argv)], text=True, **options)
        )
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def follow(settings, started, server, log, *options, **kw):
    argv = ["clickstream.cli", "ingest", "follow", "--server", server, log, *options]
    return started(argv, env=settings.child_env() | QUIET, **kw)


def lines_of(settings, server) -> int:
    with Ledger.open(settings.files.ledger) as ledger:
        return ledger.totals(server).total()


def stored(settings) -> dict[Id, bytes]:
    """Every line in the master copy and the quarantine by its id; copies must be alike."""
    found: dict[Id, bytes] = {}
    for root in (settings.hdfs.master, settings.hdfs.quarantine):
        for line in closed_lines(settings, root):
            raw = line.split(b"\t", 3)[3]
            assert found.setdefault(identity(line), raw) == raw
    return found


def test_every_line_of_two_live_logs_is_there_once(fresh, run, started, tmp_path):
    """Two servers at once; the follow of the first is killed at seeded moments and begun again."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    luck = random.Random(seed)
    logs = {server: tmp_path / server / "access.log" for server in fresh.servers}
    run("ingest", "start")
    writers, follows = {}, {}
    for number, (server, log) in enumerate(logs.items()):
        log.parent.mkdir()
        argv = ["tests.growing", log, seed + number, SECONDS, tmp_path / f"{server}.written"]
        writers[server] = started(argv, cwd=ROOT, stdin=subprocess.PIPE)
        follows[server] = follow(fresh, started, server, log)
    for server, writer in writers.items():
        while lines_of(fresh, server) == 0:
            assert follows[server].poll() is None
            time.sleep(0.02)
        writer.stdin.write("go\n")
        writer.stdin.flush()
    kills = 0
    while writers["weblog1"].poll() is None:
        time.sleep(luck.random() * 1.5)
        follows["weblog1"].kill()
        follows["weblog1"].wait()
        kills += 1
        before = lines_of(fresh, "weblog1")
        follows["weblog1"] = follow(fresh, started, "weblog1", logs["weblog1"])
        while lines_of(fresh, "weblog1") == before and writers["weblog1"].poll() is None:
            time.sleep(0.02)
    follows["weblog1"].kill()
    follows["weblog1"].wait()
    assert kills >= 2
    assert writers["weblog2"].wait(60) == 0
    follows["weblog2"].terminate()
    assert follows["weblog2"].wait(60) == 0
    last = [follow(fresh, started, each, log, "--until-idle", 2) for each, log in logs.items()]
    assert [process.wait(120) for process in last] == [0, 0]
    flow.drain(fresh, lambda where: None)
    found = stored(fresh)
    in_topic = in_kafka(fresh)
    for server in logs:
        written = (tmp_path / f"{server}.written").read_bytes().split(b"\n")[:-1]
        assert len(written) > 500
        mine = {key: raw for key, raw in found.items() if key[0] == server}
        assert Counter(mine.values()) == Counter(written)
        valid = {key for key, raw in mine.items() if well_formed(raw)}
        assert Counter(key for key in in_topic if key[0] == server) == Counter(valid)
        assert lines_of(fresh, server) == len(written)
        assert list(fresh.files.spool(server).glob("*")) == []
