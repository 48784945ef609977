"""A backlog of years: a file of HDFS for each day, on a disk that has no room for all at once."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from clickstream.config import Settings
from clickstream.ingest import flow, replay
from tests import cases
from tests.stack.conftest import SINGLE
from tests.stack.homes import fresh_home, runner
from tests.stack.stores import closed_lines, identity, in_kafka

SMALL_DISK_GB = 20
DAY_S = 86_400
FIRST_DAY = 1_546_300_800  # of 2019
LINE = (
    b"203.0.113.%d - - [%s:12:%02d:%02d +0000] "
    b'"GET /old/%d HTTP/1.1" 200 5 "-" "Mozilla/5.0 (X11; Linux x86_64)"\n'
)


def backlog(days: int, lines: int, host: int) -> bytes:
    """A log of so many days, with so many lines on each."""
    seconds = (FIRST_DAY + DAY_S * day for day in range(days))
    dates = [time.strftime("%d/%b/%Y", time.gmtime(each)).encode() for each in seconds]
    return b"".join(
        LINE % (host, date, n // 60 % 60, n % 60, n) for date in dates for n in range(lines)
    )


@contextmanager
def on_a_small_disk(settings: Settings, home: Path, **flags: str) -> Iterator[Settings]:
    """A home whose blocks are to this disk what the default is to a small one."""
    free_gb = shutil.disk_usage(settings.home).free / 1e9
    block_mb = max(1, round(settings.flume.block_mb * free_gb / SMALL_DISK_GB))
    flags |= {"flume.block_mb": str(block_mb)}
    yield from fresh_home(settings, home, **flags)


def goes_through(home: Settings, directory: Path, logs: Mapping[str, bytes]) -> None:
    """Every line of the logs, one of each server, gets to both stores, and the audit balances."""
    run = runner(home)
    for server, content in logs.items():
        (directory / f"{server}.log").write_bytes(content)
        run("weblog", "put", directory / f"{server}.log", "--server", server)
    run("ingest", "start")
    replay.replay(home, replay.Pace(), lambda _: None)
    flow.drain(home, lambda _: None)
    wanted = sum(content.count(b"\n") for content in logs.values())
    assert len({identity(line) for line in closed_lines(home, home.hdfs.master)}) == wanted
    assert len(set(in_kafka(home))) == wanted
    run("audit")


@cases.needs_cases
@pytest.mark.campaign("takes minutes: a file for each day")
def test_a_line_a_day_for_three_years_goes_through(settings, tmp_path):
    with on_a_small_disk(settings, tmp_path / "home", **SINGLE) as home:
        goes_through(home, tmp_path, {"weblog1": cases.log("many-days").read_bytes()})


@pytest.mark.campaign("takes minutes: a file for each day and server")
def test_a_backlog_of_two_servers_goes_through(settings, tmp_path):
    logs = {"weblog1": backlog(1000, 100, 1), "weblog2": backlog(1000, 100, 2)}
    with on_a_small_disk(settings, tmp_path / "home") as home:
        goes_through(home, tmp_path, logs)


@pytest.mark.campaign("waits half a minute: HDFS must go on refusing")
def test_hdfs_that_lacks_room_is_told(settings, tmp_path):
    terabytes = {"flume.block_mb": "50000000"}
    with contextmanager(fresh_home)(settings, tmp_path / "home", **SINGLE, **terabytes) as home:
        run = runner(home)
        (tmp_path / "a.log").write_bytes(backlog(3, 5, 1))
        run("weblog", "put", tmp_path / "a.log", "--server", "weblog1")
        run("ingest", "start")
        failed = run("ingest", "replay", "--wait", code=1).stderr
        for text in (failed, run("ingest", "status").stdout):
            assert "another block for lack of room: no DataNode has room" in text
