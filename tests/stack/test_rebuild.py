"""A ledger made anew on real services: as good as the lost one."""

import gzip
import json
from functools import partial

import pytest

from clickstream.config import Settings
from clickstream.hdfs import Hdfs
from clickstream.ingest.agents import Agent
from clickstream.ledger import Ledger
from clickstream.ops import audit as audits
from clickstream.ops import rebuild as rebuilds
from tests.stack.stores import identity, in_kafka

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


@pytest.fixture
def logs(fresh, run, tmp_path):
    """Two servers' logs, replayed to the end; by server."""
    made = {"weblog1": log_of(300, b"one"), "weblog2": log_of(300, b"two")}
    for server, content in made.items():
        (tmp_path / "access.log").write_bytes(content)
        run("weblog", "put", tmp_path / "access.log", "--server", server)
    run("ingest", "start")
    run("ingest", "replay", "--wait")
    return made


def lose(settings: Settings) -> None:
    for path in settings.home.glob(f"{settings.files.ledger.name}*"):
        path.unlink()


def test_a_ledger_made_anew_is_as_good_as_the_lost_one(fresh, run, logs, tmp_path):
    files, counts = known(fresh)
    lose(fresh)
    assert "ingest ledger rebuild" in run("ingest", "replay", code=1).stderr
    done = json.loads(run("ingest", "ledger", "rebuild", "--yes", "--format", "json").stdout)
    assert {row["server"]: row["lines"] for row in done} == dict.fromkeys(logs, 306)
    assert {row["behind"] for row in done} == {0}
    now, again = known(fresh)
    assert again == counts
    assert all(files[file] - now[file] in (1, 2) for file in files)
    assert list(fresh.home.glob(fresh.files.ledger_predecessor("*").name))
    assert audits.audit(fresh).problems == []
    (tmp_path / "again.log.gz").write_bytes(gzip.compress(logs["weblog1"]))
    run("weblog", "put", tmp_path / "again.log.gz", "--server", "weblog1")
    before = len(in_kafka(fresh))
    assert "nothing new" in run("ingest", "replay", "--wait").stdout
    (tmp_path / "access.log").write_bytes(logs["weblog2"] + OK % (1, 1, b"later") + b"\n")
    run("weblog", "put", tmp_path / "access.log", "--server", "weblog2")
    assert "1 lines of 1 logs" in run("ingest", "replay", "--wait").stdout
    assert len(in_kafka(fresh)) == before + 1
    done = audits.audit(fresh)
    assert done.problems == []
    assert sum(row["copies"] for row in done.rows) == 0


def test_behind_a_gap_lines_come_again_as_copies(fresh, run, logs):
    hdfs = Hdfs.connect(fresh)
    (path, *_) = [e.path for e in hdfs.walk(fresh.hdfs.master) if "server=weblog1/part" in e.path]
    with hdfs.open(path) as stream:
        lines = stream.read().split(b"\n")
    gone = next(line for line in lines if b"GET /a/150 " in line)
    hdfs.write(path, [b"\n".join(line for line in lines if line != gone)])
    shown = run("ingest", "ledger", "rebuild", "--yes")
    offset = identity(gone)[2]
    assert any(f"is known up to byte {offset - end}," in shown.stderr for end in (1, 2))
    assert "come again" in shown.stderr
    run("ingest", "replay", "--wait")
    done = audits.audit(fresh)
    assert done.problems == []
    rows = [r for r in done.rows if r["server"] == "weblog1" and r["day"] == "all"]
    assert [row["valid"] for row in rows] == [300]
    assert 0 < rows[0]["kafka_copies"] < 300
    assert rows[0]["master_copies"] == rows[0]["kafka_copies"] - 1


def test_drained_rejects_are_known_again(fresh, run, tmp_path):
    common = partial(run, "--set", "servers.weblog1.format=common")
    plain = (OK % (1, 1, b"")).replace(b' "-" ""', b"")
    lines = [plain if n % 3 else OK % (n, n, b"agent") for n in range(60)] + [b"junk"]
    (tmp_path / "access.log").write_bytes(b"\n".join(lines) + b"\n")
    common("weblog", "put", tmp_path / "access.log", "--server", "weblog1")
    common("ingest", "start")
    common("ingest", "replay", "--wait")
    run("ingest", "stop", "agent1")
    run("ingest", "start", "agent1")
    run("ingest", "replay", "--rejects", "--wait")
    done = audits.audit(fresh)
    assert done.problems == []
    row = next(row for row in done.rows if row["day"] == "all")
    assert (row["valid"], row["invalid"], row["master"], row["quarantine"]) == (60, 1, 60, 21)
    _, counts = known(fresh)
    (made,) = rebuilds.rebuild(fresh)
    assert (made["drained"], made["valid"], made["invalid"]) == (20, 60, 1)
    assert known(fresh)[1] == counts
    assert audits.audit(fresh).problems == []


def test_nothing_may_be_on_its_way(fresh, run, logs):
    assert "Interrupted" in run("ingest", "ledger", "rebuild", code=130).stderr  # nobody says yes
    chunk = fresh.files.spool("weblog1", f"weblog1-{'0' * 16}-0-9-1.log")
    run("ingest", "stop", "agent1")
    failed = run("ingest", "ledger", "rebuild", "--yes", code=1)
    assert "agent1 does not run" in failed.stderr
    chunk.write_bytes(b"")
    assert "1 chunks wait" in run("ingest", "ledger", "rebuild", "--yes", code=1).stderr
    chunk.unlink()
    run("ingest", "start")
    used = f"{fresh.hdfs.quarantine}/server=weblog2/_part.1.tmp"
    Hdfs.connect(fresh).write(used, [b"x"])
    assert "_part.1.tmp" in run("ingest", "ledger", "rebuild", "--yes", code=1).stderr
    Hdfs.connect(fresh).delete(used)
    assert Agent(fresh, "agent1").running()
    files, _ = known(fresh)
    rows = rebuilds.rebuild(fresh, ["weblog2"])
    assert {row["server"] for row in rows} == {"weblog2"}
    assert {row["file"] for row in rows} < set(files)


def test_nothing_is_stored(fresh, run):
    assert "no lines of" in run("ingest", "ledger", "rebuild", "--yes", code=1).stderr
