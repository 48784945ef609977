"""A ledger recreated on real services: as good as the lost one."""

import gzip
import json
from functools import partial

import pytest

from clickstream.audit import collect as audits
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.ingest.flume.agents import Agent
from clickstream.ingest.ledger_rebuild import rebuild as rebuilds
from clickstream.ledger import Ledger
from tests.stack.homes import fresh_home, runner
from tests.stack.stores import closed_files, identity, in_kafka

OK = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET /a/%d HTTP/1.1" 200 12 "-" "%s"'


def log_of(lines: int, agent: bytes) -> bytes:
    """Valid lines, blank ones, CRLF, junk, and one that is too long."""
    odd = [b"", b"junk\xff", OK.replace(b"18/May", b"31/Feb") % (1, 1, b"x"), b"y" * 300_000]
    every = [OK % (n % 60, n, agent) for n in range(lines)]
    every[5:5], every[40:40] = odd, [b"", b""]
    ends = [b"\r\n" if n % 3 == 0 else b"\n" for n in range(len(every))]
    return b"".join(map(bytes.__add__, every, ends))


def known(settings: Settings) -> tuple[dict, list]:
    """What the ledger knows: bytes by log, and the counts."""
    with Ledger.open(settings.files.ledger) as ledger:
        return {log.file: log.bytes for log in ledger.files()}, ledger.counts()


LOGS = {"weblog1": log_of(300, b"one"), "weblog2": log_of(300, b"two")}


@pytest.fixture(scope="module")
def home(settings, tmp_path_factory):
    """A home with a log of each server, and one whose rejects were reprocessed after a change."""
    directory = tmp_path_factory.mktemp("rebuild")
    for made in fresh_home(settings, directory / "home"):
        run = runner(made)
        common = partial(run, "--set", "servers.weblog1.format=common")
        plain = (OK % (1, 1, b"")).replace(b' "-" ""', b"")
        lines = [plain if n % 3 else OK % (n, n, b"agent") for n in range(60)] + [b"junk"]
        (directory / "common.log").write_bytes(b"\n".join(lines) + b"\n")
        common("weblog", "put", directory / "common.log", "--server", "weblog1")
        common("ingest", "start")
        common("ingest", "replay", "--wait")
        run("ingest", "stop", "agent1")
        run("ingest", "start", "agent1")
        run("ingest", "replay", "--rejects")
        for server, content in LOGS.items():
            (directory / "access.log").write_bytes(content)
            run("weblog", "put", directory / "access.log", "--server", server)
        run("ingest", "replay", "--wait")
        yield made


@pytest.fixture
def run(home):
    """Run a command line in the home of this module."""
    return runner(home)


def lose(settings: Settings) -> None:
    for path in settings.home.glob("ledger.db*"):
        path.unlink()


def test_a_ledger_made_anew_is_as_good_as_the_lost_one(home, run, tmp_path):
    before = audits.audit(home)
    assert before.problems == []
    stores = ("valid", "invalid", "master", "quarantine")
    logs = sorted(tuple(row[each] for each in stores) for row in before.rows if row["day"] == "all")
    assert logs == [(60, 1, 60, 21), (300, 6, 300, 6), (300, 6, 300, 6)]
    files, counts = known(home)
    lose(home)
    refused = run("ingest", "replay", code=1).stderr
    assert "another ledger" in refused
    assert "ingest ledger rebuild" in refused
    done = json.loads(run("ingest", "ledger", "rebuild", "--yes", "--format", "json").stdout)
    lines = sorted((row["server"], row["lines"]) for row in done)
    assert lines == [("weblog1", 61), ("weblog1", 306), ("weblog2", 306)]
    assert {row["behind"] for row in done} == {0}
    (drained,) = [row for row in done if row["drained"]]
    assert (drained["drained"], drained["valid"], drained["invalid"]) == (20, 60, 1)
    now, again = known(home)
    assert again == counts
    assert all(files[file] - now[file] in (1, 2) for file in files)
    assert list(home.home.glob("ledger.db.old-*"))
    assert audits.audit(home).problems == []
    (tmp_path / "again.log.gz").write_bytes(gzip.compress(LOGS["weblog1"]))
    again = ("--as", "again.log.gz")  # without a name it is already there
    run("weblog", "put", tmp_path / "again.log.gz", "--server", "weblog1", *again)
    stored = len(in_kafka(home))
    assert "nothing new" in run("ingest", "replay").stdout
    (tmp_path / "access.log").write_bytes(LOGS["weblog2"] + OK % (1, 1, b"later") + b"\n")
    run("weblog", "put", tmp_path / "access.log", "--server", "weblog2")
    assert "1 lines of 1 logs" in run("ingest", "replay", "--wait").stdout
    assert len(in_kafka(home)) == stored + 1
    done = audits.audit(home)
    assert done.problems == []
    assert sum(row["copies"] for row in done.rows) == 0


def test_behind_a_gap_lines_come_again_as_copies(home, run, jobs):
    hdfs = Hdfs.connect(home)
    wanted = b"GET /a/150 "
    for entry in closed_files(home, home.hdfs.master):
        if "server=weblog1/" in entry.path:
            with hdfs.open(entry.path) as stream:
                lines = stream.read().split(b"\n")
            if found := [line for line in lines if wanted in line]:
                (gone,) = found
                hdfs.write(entry.path, [b"\n".join(line for line in lines if line != gone)])
    with jobs():
        shown = run("ingest", "ledger", "rebuild", "--yes")
    offset = identity(gone)[2]
    assert any(f"is known up to byte {offset - end}," in shown.stderr for end in (1, 2))
    assert "come again" in shown.stderr
    run("ingest", "replay", "--wait")
    done = audits.audit(home)
    assert done.problems == []
    rows = [r for r in done.rows if r["server"] == "weblog1" and r["day"] == "all"]
    (row,) = [row for row in rows if row["valid"] == 300]
    assert 0 < row["kafka_copies"] < 300
    assert row["master_copies"] == row["kafka_copies"] - 1


def test_nothing_may_be_on_its_way(home, run):
    assert "Interrupted" in run("ingest", "ledger", "rebuild", code=130).stderr  # nobody says yes
    chunk = home.files.spool("weblog1") / f"weblog1-{'0' * 16}-0-9-1.log"
    run("ingest", "stop", "agent1")
    failed = run("ingest", "ledger", "rebuild", "--yes", code=1)
    assert "agent1 does not run" in failed.stderr
    chunk.write_bytes(b"")
    assert "1 chunks wait" in run("ingest", "ledger", "rebuild", "--yes", code=1).stderr
    chunk.unlink()
    run("ingest", "start")
    used = f"{home.hdfs.quarantine}/server=weblog2/_part.1.tmp"
    Hdfs.connect(home).write(used, [b"x"])
    assert "_part.1.tmp" in run("ingest", "ledger", "rebuild", "--yes", code=1).stderr
    Hdfs.connect(home).delete(used)
    assert Agent(home, "agent1").running()
    files, _ = known(home)
    rows = rebuilds.rebuild(home, ["weblog2"])
    assert {row["server"] for row in rows} == {"weblog2"}
    assert {row["file"] for row in rows} < set(files)


def test_nothing_is_stored(fresh):
    failed = runner(fresh)("ingest", "ledger", "rebuild", "--yes", code=1)
    assert "no lines of" in failed.stderr
