"""Live logs on the real stack: written, rotated, compressed, and follow killed meanwhile."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from clickstream.ingest import flow
from tests.stack.stores import Arrived, Id, identity, well_formed

ROOT = Path(__file__).resolve().parents[2]
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


def lines_of(arrived: Arrived, server: str) -> int:
    """How many lines of a server have been spooled."""
    return arrived.counts(server).total()


def say(process) -> None:
    """A line to a writer: begin, then end."""
    process.stdin.write("now\n")
    process.stdin.flush()


def stored(arrived: Arrived) -> dict[Id, bytes]:
    """Every line in the master dataset and the quarantine by its id; copies must be alike."""
    found: dict[Id, bytes] = {}
    for line in (*arrived.master(), *arrived.quarantine()):
        raw = line.split(b"\t", 3)[3]
        assert found.setdefault(identity(line), raw) == raw
    return found


@pytest.mark.parametrize(
    "kills", [3, pytest.param(12, marks=pytest.mark.campaign("many more random moments"))]
)
def test_every_line_of_two_live_logs_is_there_once(shared, arrived, started, tmp_path, kills):
    """Two servers at once; the follow of the first is killed at seeded moments and begun again."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    luck = random.Random(seed)
    logs = {server: tmp_path / server / "access.log" for server in shared.servers}
    writers, follows = {}, {}
    for number, (server, log) in enumerate(logs.items()):
        log.parent.mkdir()
        argv = ["tests.rotated_log", log, seed + number, tmp_path / f"{server}.written"]
        writers[server] = started(argv, cwd=ROOT, stdin=subprocess.PIPE)
        follows[server] = follow(shared, started, server, log)
    for server, writer in writers.items():
        while lines_of(arrived, server) == 0:
            assert follows[server].poll() is None
            time.sleep(0.02)
        say(writer)
    for _ in range(kills):
        time.sleep(luck.random() * 1.5)
        follows["weblog1"].kill()
        follows["weblog1"].wait()
        before = lines_of(arrived, "weblog1")
        follows["weblog1"] = follow(shared, started, "weblog1", logs["weblog1"])
        while lines_of(arrived, "weblog1") == before:
            assert follows["weblog1"].poll() is None
            time.sleep(0.02)
    for writer in writers.values():
        say(writer)
    assert [writer.wait(60) for writer in writers.values()] == [0, 0]
    follows["weblog1"].kill()
    follows["weblog1"].wait()
    follows["weblog2"].terminate()
    assert follows["weblog2"].wait(60) == 0
    last = [follow(shared, started, each, log, "--until-idle", 2) for each, log in logs.items()]
    assert [process.wait(120) for process in last] == [0, 0]
    flow.drain(shared, lambda where: None)
    found = stored(arrived)
    in_topic = arrived.in_kafka()
    for server in logs:
        written = (tmp_path / f"{server}.written").read_bytes().split(b"\n")[:-1]
        assert len(written) > 100
        mine = {key: raw for key, raw in found.items() if key[0] == server}
        assert Counter(mine.values()) == Counter(written)
        valid = {key for key, raw in mine.items() if well_formed(raw)}
        assert Counter(key for key in in_topic if key[0] == server) == Counter(valid)
        assert lines_of(arrived, server) == len(written)
        assert list(shared.files.spool(server).glob("*")) == []
