"""A line by its id: each stage, from a real ledger and log, and stores in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import config, weblog
from clickstream.clients.kafka import Record
from clickstream.config import Settings
from clickstream.errors import NoData, NotRunning, UsageError
from clickstream.explain import identity
from clickstream.explain.identity import LineId, Stage, Way
from clickstream.ledger import VALID, Ledger, LogFile
from tests.hdfs_in_memory import HdfsInMemory

OK = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET /a HTTP/1.1" 200 12\n'
RAWS = [OK % n for n in range(9)]
BAD = b"no log line\n"
CONTENT = b"".join(RAWS) + BAD
FILE = "0123456789abcdef"
DAY = "2015-05-18"
PLACE = f"/master/dt={DAY}/server=weblog1"
QUARANTINE = "/quarantine/server=weblog1"


def at(number: int) -> LineId:
    """The id of a line of CONTENT."""
    return LineId("weblog1", FILE, sum(map(len, RAWS[:number])))


def stamped(number: int) -> bytes:
    raw = [*RAWS, BAD][number][:-1]
    return weblog.stamp("weblog1", FILE, at(number).offset, raw)


class Inputs(NamedTuple):
    """As of the batch views."""

    files: list[Any]
    made_with: dict[str, str]
    run: str = "r1"


class World(HdfsInMemory):
    """Every store, in memory; a test takes away or adds what it is about."""

    def __init__(self) -> None:
        super().__init__({f"{PLACE}/F.1": b"".join(stamped(n) + b"\n" for n in range(6))})
        self.files[f"{QUARANTINE}/Q.1"] = stamped(9) + b"\n"
        self.records = [Record(0, n, stamped(n), 1_431_939_960_000) for n in range(6)]
        self.read = {0: 6}
        self.highest_offset: int | None = at(5).offset
        self.kept = True
        self.inputs = {DAY: Inputs([[f"dt={DAY}/server=weblog1/F.1", 1, 1]], {})}
        self.final = False

    def open_files(self, _: str) -> tuple[str, ...]:
        return ()

    # the views
    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def highest(self, *_: object) -> int | None:
        return self.highest_offset

    def parts(self, *_: object) -> list[int]:
        return [1] * self.kept

    def inputs_of(self, days: list[str]) -> dict[str, Inputs]:
        return {day: each for day, each in self.inputs.items() if day in days}

    def runs(self, days: list[str]) -> list[dict[str, Any]]:
        run = {"finished": "2026-01-01T00:00:00Z", "final": self.final}
        return [{"date": day} | run for day in days if day in self.inputs]


class Batch:
    """The batch views of a world."""

    def __init__(self, world: World) -> None:
        self.world, self.runs, self.inputs = world, world.runs, world.inputs_of

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = config.load(home=tmp_path)
    log = tmp_path / "access.log"
    log.write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    known = LogFile("weblog1", FILE, f"file://{log}", len(CONTENT), digest, False)
    with Ledger.open(made.files.ledger) as ledger:
        ledger.plan(known, 0, {(DAY, VALID): 9, ("-", "not-a-log-line"): 1}, b"", 0)
    return made


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(identity.Hdfs, "connect", lambda _: made)
    monkeypatch.setattr(identity.kafka, "consume", lambda *_: iter(made.records))
    monkeypatch.setattr(identity.position, "read", lambda _: made.read)
    monkeypatch.setattr(identity.RealTime, "connect", lambda _, reader: made)
    monkeypatch.setattr(identity.BatchViews, "connect", lambda *_, **__: Batch(made))
    return made


def traced(settings: Settings, number: int) -> tuple[Way, dict[str, Stage]]:
    way = identity.trace(settings, at(number))
    return way, {stage.stage: stage for stage in way.stages}


def test_a_line_that_is_everywhere(settings: Settings, world: World) -> None:
    way, stages = traced(settings, 3)
    assert way.raw == RAWS[3][:-1].decode()
    assert way.line is not None
    assert way.line.instant == f"{DAY}T09:05:03Z"
    assert [stage.state for stage in way.stages] == [
        *("spooled", "here", "absent", "absent", "here", "closed file", "absent"),
        *("counted", "counted"),
    ]
    assert stages["topic"].where == "partition 0, offset 3"
    assert stages["master dataset"].where == f"{PLACE}/F.1"
    assert "r1" in stages["batch views"].note
    assert stages["batch views"].note.endswith("provisional")
    world.final = True
    assert traced(settings, 3)[1]["batch views"].note.endswith("final")


def test_an_invalid_line_is_in_the_quarantine_alone(settings: Settings, world: World) -> None:
    way, stages = traced(settings, 9)
    assert way.line is not None
    assert way.line.reason == "not-a-log-line"
    assert stages["quarantine"].state == "closed file"
    assert stages["master dataset"].state == stages["topic"].state == "absent"
    assert stages["batch views"].state == stages["speed layer"].state == "not counted"


def test_a_line_of_a_pruned_day(settings: Settings, world: World) -> None:
    world.make_directory(f"/master/_pruned/{DAY}")
    world.delete(f"{PLACE}/F.1")
    stage = traced(settings, 3)[1]["master dataset"]
    assert stage == Stage("master dataset", "absent", "", f"{DAY} was pruned")


def test_a_line_that_waits_in_the_spool(settings: Settings, world: World) -> None:
    with Ledger.open(settings.files.ledger) as ledger:
        (log,) = ledger.files()
        chunk = ledger.plan(log._replace(bytes=log.bytes + 1), at(6).offset, {}, b"", 3)
    assert chunk is not None
    assert traced(settings, 7)[1]["spool"] == Stage("spool", "waiting", chunk.name)
    assert traced(settings, 5)[1]["spool"].state == "absent"


def test_copies(settings: Settings, world: World) -> None:
    world.records.append(Record(0, 6, stamped(2), 1_431_939_960_000))
    world.read = {0: 7}
    world.files[f"{PLACE}/F.2"] = stamped(2) + b"\n" + stamped(2) + b"\n"
    way, stages = traced(settings, 2)
    assert stages["topic"].note == "and 1 copies"
    found = [(s.state, s.where) for s in way.stages if s.stage == "speed layer"]
    assert found == [
        ("counted", "offset 2 of partition 0"),
        ("copy", "offset 6 of partition 0"),
    ]
    files = [(s.where[-3:], s.note) for s in way.stages if s.stage == "master dataset"]
    assert files == [("F.1", ""), ("F.2", "2 times in it")]


def test_what_the_stream_has_not_read(settings: Settings, world: World) -> None:
    world.read = {0: 3}
    assert traced(settings, 2)[1]["speed layer"].state == "counted"
    stage = traced(settings, 3)[1]["speed layer"]
    assert (stage.state, stage.note) == ("not counted", "the stream has not come to it")


def test_what_the_stream_has_set_aside_skipped_or_forgotten(
    settings: Settings, world: World
) -> None:
    world.kept = False
    assert traced(settings, 3)[1]["speed layer"].state == "forgotten"
    world.highest_offset = None
    assert traced(settings, 3)[1]["speed layer"].state == "skipped"
    world.highest_offset = at(5).offset
    world.records = [each._replace(written_ms=1_000_000_000_000) for each in world.records]
    stage = traced(settings, 3)[1]["speed layer"]
    assert stage.state == "set aside"
    assert "ahead" in stage.note


def test_a_file_that_is_still_open_is_not_counted(settings: Settings, world: World) -> None:
    world.files = {f"{PLACE}/_F.1.tmp": stamped(3) + b"\n"}
    _, stages = traced(settings, 3)
    assert stages["master dataset"].state == "open file"
    assert stages["batch views"].note == "no closed file has it"


def test_a_file_that_was_closed_after_the_run(settings: Settings, world: World) -> None:
    world.inputs[DAY] = Inputs([["another", 1, 1]], {})
    stage = traced(settings, 3)[1]["batch views"]
    assert stage.state == "not counted"
    assert "closed after the run of 2026-01-01T00:00:00Z" in stage.note
    world.inputs = {}
    assert "clickstream batch run" in traced(settings, 3)[1]["batch views"].note


def test_a_stage_that_is_away_says_so(
    settings: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> World:
        raise NotRunning("it is away")

    monkeypatch.setattr(identity.RealTime, "connect", away)
    monkeypatch.setattr(identity.kafka, "consume", away)
    _, stages = traced(settings, 3)
    assert (stages["topic"].state, stages["topic"].note) == ("unknown", "it is away")
    assert stages["speed layer"].state == "unknown"
    assert stages["batch views"].state == "counted"


def test_without_its_source_the_line_comes_from_the_topic(settings: Settings, world: World) -> None:
    (settings.home / "access.log").unlink()
    way, stages = traced(settings, 3)
    assert stages["source"].state == "unknown"
    assert way.raw == RAWS[3][:-1].decode()
    assert stages["master dataset"].state == "closed file"


def test_an_offset_within_a_line(settings: Settings, world: World) -> None:
    wanted = at(3)._replace(offset=at(3).offset + 1)
    way = identity.trace(settings, wanted)
    assert {s.stage: s.state for s in way.stages}["source"] == "absent"


def test_a_line_that_nobody_knows(settings: Settings, world: World) -> None:
    with pytest.raises(NoData, match="no stage knows"):
        identity.trace(settings, LineId("weblog1", "f" * 16, 3))


@pytest.mark.parametrize("text", ["", "x", "v2:a:0123456789abcdef:1", "v1:a:0123:1", "v1:a:b:c\n"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(UsageError, match="is no id"):
        identity.parse(text)


def test_an_id() -> None:
    assert identity.parse(f"v1:weblog1:{FILE}:12") == LineId("weblog1", FILE, 12)


@given(st.integers(1, 40), st.integers(0, 3))
def test_lines_are_found_wherever_blocks_are_cut(size: int, copies: int) -> None:
    wanted = LineId("a", FILE, 1)
    other = LineId("a", FILE, 12).stamp + b"x\n"
    content = other + (wanted.stamp + b"\n" + other) * copies + b"y" + wanted.stamp + b"\n"
    blocks = iter([content[n : n + size] for n in range(0, len(content), size)])
    assert identity._times(blocks, wanted.stamp) == copies
