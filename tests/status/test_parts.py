"""Each part of the status, from a real ledger, and from stores and agents in memory."""

import gzip
import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clickstream import config, master, undelivered
from clickstream.clients.hdfs import Stored, stored_in
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.ingest import rejects as quarantine
from clickstream.ingest.flume import status as flume
from clickstream.ingest.spool import logs
from clickstream.ledger import VALID, Ledger, LogFile
from clickstream.speed import control, position
from clickstream.stack import local
from clickstream.status import ingest, layers, processes
from clickstream.status.part import Part
from clickstream.undelivered import Undelivered
from tests.hdfs_in_memory import HdfsInMemory

LOG = b"".join(b"line %d\n" % n for n in range(1000))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load(home=tmp_path)


def known(settings: Settings, path: str, content: bytes, **counts: int) -> LogFile:
    """A log that the ledger has taken whole."""
    file = logs.file_id("weblog1", content[: logs.HEAD_BYTES], set())
    log = LogFile("weblog1", file, path, len(content), hashlib.sha256(content).hexdigest(), False)
    by_reason = {("2015-05-18", reason): n for reason, n in counts.items()}
    with Ledger.open(settings.files.ledger) as opened:
        opened.plan(log, 0, by_reason, b"", 0)
    return log


def source(settings: Settings, monkeypatch: pytest.MonkeyPatch, **files: bytes) -> Part:
    hdfs = HdfsInMemory({f"/source/weblog1/{name}": content for name, content in files.items()})
    monkeypatch.setattr(ingest.Hdfs, "connect", lambda _: hdfs)
    return ingest.source(settings)


def test_source_logs_that_no_replay_has_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(settings, "/source/weblog1/read", LOG)
    other = LOG[::-1]
    part = source(settings, monkeypatch, read=LOG, new=other)
    row = part.rows[0]
    assert (row["logs"], row["waiting"], row["waiting_bytes"]) == (2, 1, len(other))
    assert row["names"] == "new"
    (problem,) = part.problems
    assert not problem.wrong
    assert "ingest replay" in problem.hint


def test_a_log_that_has_grown_waits_with_what_is_new(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(settings, "/source/weblog1/read", LOG)
    part = source(settings, monkeypatch, read=LOG + b"more\n")
    assert part.rows[0]["waiting_bytes"] == 5


@pytest.mark.parametrize(
    "content", [LOG, LOG[:6000], gzip.compress(LOG)], ids=["copy", "start", "gz"]
)
def test_known_content_under_another_name_does_not_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    known(settings, "/source/weblog1/elsewhere", LOG)
    assert not source(settings, monkeypatch, copy=content).problems


def test_a_tiny_log_is_larger_when_compressed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(settings, "/source/weblog1/tiny", b"x\n")
    assert not source(settings, monkeypatch, tiny=gzip.compress(b"x\n")).problems


def test_spools(settings: Settings) -> None:
    log = known(settings, "/x", LOG)
    assert ingest.spools(settings).summary == "empty"
    with Ledger.open(settings.files.ledger) as opened:
        opened.plan(log._replace(bytes=len(LOG) + 10), len(LOG), {}, b"", 7)
    part = ingest.spools(settings)
    assert part.rows[0] == {"server": "weblog1", "chunks": 1, "lines": 7, "blocked_by": ""}
    (problem,) = part.problems
    assert problem.wrong
    assert "7 lines of weblog1 wait in its spool, and agent1 does not run" in problem.text
    assert problem.hint == "clickstream ingest start agent1"


def test_rejects_since_they_were_listed_last(settings: Settings) -> None:
    log = known(settings, "/x", LOG, **{VALID: 5, "blank": 2, "binary": 1})
    part = ingest.rejects(settings)
    assert (part.rows[0]["rejects"], part.rows[0]["new"]) == (3, 3)
    assert part.rows[0]["reasons"] == "binary 1, blank 2"
    quarantine.remember_listed(settings)
    part = ingest.rejects(settings)
    assert (part.rows[0]["rejects"], part.rows[0]["new"], part.problems) == (3, 0, ())
    with Ledger.open(settings.files.ledger) as opened:
        opened.plan(log._replace(bytes=1), 0, {("-", "blank"): 4}, b"", 0)
    part = ingest.rejects(settings)
    assert (part.rows[0]["rejects"], part.rows[0]["new"]) == (7, 4)


FSCK = """FSCK started by u (auth:SIMPLE) from /127.0.0.1 for path /master at Sat Nov 28 2026

/master <dir>
/master/_ledger 36 bytes, replicated: replication=1, 1 block(s):  OK
/master/dt=2015-05-18/server=a/FlumeData.1 70 bytes, replicated: replication=1, 1 block(s):  OK
/master/dt=2015-05-18/server=a/FlumeData.2 0 bytes, replicated: replication=1, 0 block(s):  OK
/master/dt=2015-05-18/server=a/_F.3.tmp 5 bytes, replicated: replication=1, 1 block(s), OPENFORWRITE: 
/master/dt=2015-05-19/server=a/FlumeData.4 9 bytes, replicated: replication=1, 1 block(s), OPENFORWRITE: 
/master/dt=2015-05-19/server=b/FlumeData.5 8 bytes, replicated: replication=1, 1 block(s):  OK

Status: HEALTHY
 Total size:	4168367 B
"""  # noqa: E501, W291


def test_what_fsck_lists() -> None:
    found = stored_in(FSCK)
    assert len(found) == 6
    assert [file.path[-3:] for file in found if file.open] == ["tmp", "a.4"]
    assert master.closed_by_day("/master", found) == {
        "2015-05-18": [("dt=2015-05-18/server=a/FlumeData.1", 70)],
        "2015-05-19": [("dt=2015-05-19/server=b/FlumeData.5", 8)],
    }
    assert sum(map(master.is_open, found)) == 2


class Inputs(NamedTuple):
    """As of the batch views."""

    files: list[Any]
    made_with: dict[str, str]


def test_days(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made_with = layers.batch.view_rows.made_with(settings)
    files = {
        "2015-05-17": [("dt=2015-05-17/server=a/x", 1, 5)],
        "2015-05-18": [("dt=2015-05-18/server=a/FlumeData.1", 70, 5)],
        "2015-05-19": [("dt=2015-05-19/server=b/FlumeData.5", 7, 5)],
    }
    inputs = {day: Inputs(each, made_with) for day, each in files.items()}
    inputs["2015-05-15"] = Inputs([], made_with)
    run = {"final": True, "lines": 3, "finished": "2026-01-01T00:00:00Z"}
    stored = [*stored_in(FSCK), Stored("/master/dt=2015-05-20/server=a/y", 4, False)]
    hdfs = HdfsInMemory({})
    for day in ("2015-05-15", "2015-05-16"):
        hdfs.make_directory(f"/master/_pruned/{day}")
    monkeypatch.setattr(hdfs, "tree", lambda _: stored, raising=False)
    monkeypatch.setattr(layers.Hdfs, "connect", lambda _: hdfs)
    monkeypatch.setattr(layers, "_computed", lambda _: ({"2015-05-18": run}, inputs))
    part = layers.days(settings)
    assert {row["date"]: row["state"] for row in part.rows} == {
        "2015-05-15": "pruned",
        "2015-05-16": "pruned",
        "2015-05-17": "gone",
        "2015-05-18": "fresh",
        "2015-05-19": "dirty",
        "2015-05-20": "missing",
    }
    assert part.rows[3]["final"] is True
    (problem,) = part.problems
    assert not problem.wrong
    assert problem.text == (
        "the batch views have 1 missing day (2015-05-20) and 1 dirty day (2015-05-19)"
    )
    assert "2 pruned; 1 final; last run 2026-01-01T00:00:00Z" in part.summary


def checkpoint(settings: Settings, *batches: dict[str, int], committed: int) -> None:
    for name, number in (("offsets", len(batches)), ("commits", committed)):
        directory = settings.files.checkpoint / name
        directory.mkdir(parents=True)
        for batch in range(number):
            text = json.dumps({"clickstream": batches[batch]})
            (directory / str(batch)).write_text(f"v1\n{{}}\n{text}")
            (directory / f".{batch}.crc").touch()


def topic(settings: Settings, monkeypatch: pytest.MonkeyPatch, ends: dict[int, Any]) -> Part:
    monkeypatch.setattr(layers.kafka, "offsets", lambda _: ends)
    written = {0: layers.time.time() - 100, 1: layers.time.time() - 50}
    monkeypatch.setattr(layers.kafka, "written_at", lambda *_: written)
    return layers.topic(settings)


def test_the_lag_of_the_stream_is_that_of_its_last_committed_batch(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(settings, {"0": 5, "1": 5}, {"0": 12, "1": 20}, {"0": 20, "1": 20}, committed=2)
    part = topic(settings, monkeypatch, {0: (10, 20), 1: (0, 20)})
    assert [(row["records"], row["position"], row["behind"]) for row in part.rows] == [
        (10, 12, 8),
        (20, 20, 0),
    ]
    assert part.rows[0]["behind_seconds"] >= 100
    (problem,) = part.problems
    assert "8 records of the topic wait" in problem.text


def test_before_the_first_batch_all_of_the_topic_waits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = topic(settings, monkeypatch, {0: (2, 7), 1: (0, 0)})
    assert [row["behind"] for row in part.rows] == [5, 0]


def test_a_checkpoint_elsewhere_says_nothing_of_the_lag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = config.load(home=tmp_path, flags={"speed.checkpoint": "hdfs://h:1/c"})
    part = topic(other, monkeypatch, {0: (2, 7), 1: (0, 0)})
    assert [row["behind"] for row in part.rows] == [None, None]
    assert not part.problems


def test_a_damaged_checkpoint_is_an_error(settings: Settings) -> None:
    checkpoint(settings, {"0": 5}, committed=1)
    (settings.files.checkpoint / "offsets" / "0").write_text("v1\n")
    with pytest.raises(ClickstreamError, match="cannot be read"):
        position.read(settings)


def test_services(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        local.Row("kafka", "kafka", "running", 7, 9092, 100),
        local.Row("hdfs", "namenode", "stopped", None, None, None),
        local.Row("cassandra", "cassandra", "elsewhere: db:9042", None, None, None),
    ]
    monkeypatch.setattr(processes.local, "status", lambda _: rows)
    part = processes.services(settings)
    assert part.summary == "kafka run; namenode stopped; cassandra elsewhere"
    (problem,) = part.problems
    assert (problem.text, problem.hint) == ("namenode is not running", "clickstream stack up")


def component(agent: str, name: str, state: str, pid: int | None = 1, **more: Any) -> flume.Status:
    configuration = more.get("configuration", "current" if pid else None)
    last = more.get("last_error", "")
    return flume.Status(agent, pid, name, state, 0, 0, None, None, None, configuration, last)


Rows = list[flume.Status]
CASES: list[tuple[Rows, str, str]] = [
    ([component("agent1", "source spool", "up")], "up", ""),
    ([component("agent1", "", "down", None)], "never started here", ""),
    ([component("agent1", "source spool", "down", None)], "down", "agent1 does not run"),
    (
        [
            component("agent1", "source spool", "down", last_error="x"),
            component("agent1", "a", "up"),
        ],
        "down",
        "agent1: source spool down (x)",
    ),
    (
        [component("agent1", "source spool", "up", configuration="differs")],
        "up",
        "agent1 runs with another configuration than the settings ask for",
    ),
]


@pytest.mark.parametrize(("rows", "state", "problem"), CASES, ids=lambda each: str(each)[:20])
def test_agents(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, rows: Rows, state: str, problem: str
) -> None:
    monkeypatch.setattr(processes.flume, "status", lambda *_: rows)
    part = processes.agents(settings)
    assert [row["state"] for row in part.rows] == [state]
    assert [each.text for each in part.problems] == [problem] * bool(problem)


def test_an_agent_that_was_stopped_is_no_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.files.agent("agent1").mkdir(parents=True)
    processes.Agent(settings, "agent1").want(False)
    monkeypatch.setattr(
        processes.flume, "status", lambda *_: [component("agent1", "source spool", "down", None)]
    )
    part = processes.agents(settings)
    assert (part.rows[0]["state"], part.problems) == ("stopped", [])


def bean(name: str, **counters: Any) -> Any:
    part = processes.agent_config.Component("channel", name)
    return flume.Bean(part, counters)


def test_channels_that_hold_events(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic, which is a channel of agent3, holds none that are on their way."""
    beans: dict[str, list[Any]] = {
        "agent1": [bean("lines", ChannelSize=900, ChannelFillPercentage="90.0")],
        "agent2": [],
        "agent3": [
            bean("to-kafka", EventPutSuccessCount=9),
            bean("to-master", ChannelSize=5, ChannelFillPercentage="0.001"),
        ],
    }
    kinds = {"agent1": {"lines": "file"}, "agent3": {"to-kafka": "kafka", "to-master": "file"}}
    monkeypatch.setattr(processes.Agent, "channel_types", lambda self: kinds[self.name])
    running: Callable[[Any], bool] = lambda self: self.name != "agent2"  # noqa: E731
    monkeypatch.setattr(processes.Agent, "running", lambda self: running(self) or None)
    monkeypatch.setattr(processes.Agent, "beans", lambda self: beans[self.name])
    settings.files.channels("agent2").mkdir(parents=True)
    part = processes.channels(settings)
    assert [(r["channel"], r["kind"], r["events"], r["fill"]) for r in part.rows] == [
        ("agent1/lines", "file", 900, 90.0),
        ("agent3/to-master", "file", 5, 0.0),
    ]
    assert "agent2 not running, may hold lines" in part.summary
    (problem,) = part.problems
    assert problem.text == "agent1/lines is 90 % full"


def test_clocks_that_differ_and_refused_alerts_are_due_and_no_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"rows": 9, "copies": 0, "set_aside": 0, "skipped": 0}
    servers = {"a": counts | {"latest": 8000}, "b": counts | {"latest": 800}}

    class Views:
        def status(self) -> dict[str, Any]:
            return {"batch": 3, "servers": servers}

    monkeypatch.setattr(control.RealTime, "connect", lambda _, reader: nullcontext(Views()))
    message = {"id": "ddos/x/y", "seq": 1}
    refused = Undelivered("webhook", "HTTP 404 Not Found", "2026-01-01T00:00:00Z", message)
    undelivered.keep(settings.files, refused)
    clocks, alert = layers.speed(settings).problems
    assert "b is 2 h behind" in clocks.text
    assert "HTTP 404 Not Found" in alert.text
    assert not clocks.wrong
    assert not alert.wrong


def test_what_is_not_counted() -> None:
    speed = Part("", [{"server": "a", "set_aside": 2, "skipped": 0, "copies": 9}])
    rejects = Part("", [{"server": "b", "rejects": 3}])
    part = layers.not_counted({"speed": speed, "rejects": rejects})
    assert part.summary == "a 2 set aside by the speed layer, b 3 rejected"
    assert [row["lines"] for row in part.rows] == [2, 3]
    assert layers.not_counted({}).summary == "nothing"
