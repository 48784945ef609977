"""The quarantine listed, exported and reprocessed, on real services."""

import json
import random
import signal
import stat
from functools import partial

import pytest

from clickstream.ledger import VALID, Ledger
from tests.stack.homes import runner
from tests.stack.stores import by_offset, closed_lines, in_kafka, offsets, well_formed
from tests.truth import Truth

SEED = 20151123
LINE = b'10.0.0.%d - - [%d/May/2015:09:%02d:59 +0200] "GET /a%d/x HTTP/1.1" %d %d'
AGENT = b' "-" "agent \xff %d"'
JUNK = (b"", b"\x00\x01", b"no log \xe9\t\r line", b"\x1b[2J", LINE % (1, 31, 0, 1, 200, 1) + b' "')
KINDS = {"common": 65, "combined": 30, "junk": 5}
CRASHES = ("staged", "planned", "spooled")


def made_log() -> tuple[bytes, dict[str, dict[int, bytes]]]:
    """A log of two days, and its lines by kind and offset."""
    print("seed", SEED)
    chance = random.Random(SEED)
    content, lines = b"", {kind: {} for kind in KINDS}
    for number in range(1500):
        (kind,) = chance.choices(list(KINDS), KINDS.values())
        day, status = chance.choice((17, 18)), chance.choice((200, 304, 404, 500))
        common = LINE % (chance.randrange(99), day, chance.randrange(60), number % 7, status, 1)
        raw = {"common": common, "combined": common + AGENT % number, "junk": chance.choice(JUNK)}
        lines[kind][len(content)] = raw[kind]
        content += raw[kind] + b"\n"
    big = b"y" * 1_500_000
    lines["junk"][len(content)] = big
    return content + big + b"\n", lines


def rows(done):
    return json.loads(done.stdout)


def exported(ask, path, *words) -> list[bytes]:
    """The lines of an export."""
    ask("ingest", "rejects", "--export", path, *words)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert content.endswith(b"\n")
    return content[:-1].split(b"\n")


def report(run, name: str) -> list[tuple]:
    """The figures of weblog1 in a report."""
    found = rows(run("report", name, "--server", "weblog1", "--format", "json"))
    return [tuple(value for key, value in row.items() if key != "state") for row in found]


def figures(log: bytes) -> dict[str, list[tuple]]:
    """The same of the log itself, by the independent reader."""
    truth = Truth({"weblog1": log})
    hosts, requests = truth.unique_hosts("weblog1"), truth.requests("weblog1")
    by_class = truth.responses("weblog1")
    classes = ("success", "failure", "other")
    return {
        "visitors": [(day, "weblog1", hosts[day], n) for day, n in requests.items()],
        "responses": [
            (day, "weblog1", *(by_class[day][name] for name in classes), n)
            for day, n in requests.items()
        ],
    }


def test_a_wrong_format_is_mended(single, tmp_path, monkeypatch):
    run, (content, kinds) = runner(single), made_log()
    (tmp_path / "access.log").write_bytes(content)
    as_common, as_combined = (
        ("--set", f"servers.weblog1.format={name}") for name in ("common", "combined")
    )
    common, combined = partial(run, *as_common), partial(run, *as_combined)
    common("weblog", "put", tmp_path / "access.log", "--server", "weblog1")
    common("ingest", "start")
    # A chunk that was judged in one format is never given to an agent that judges in another.
    monkeypatch.setenv("CLICKSTREAM_FAULT", "planned:1")
    run.apart(*as_common, "ingest", "replay", code=-signal.SIGKILL)
    monkeypatch.delenv("CLICKSTREAM_FAULT")
    common("ingest", "stop", "agent1")
    assert "judged as common" in combined("ingest", "start", "agent1", code=1).stderr
    common("ingest", "start")
    common("ingest", "replay", "--wait")
    first = rows(common("batch", "run", "--format", "json"))
    assert sum(row["lines"] for row in first) == len(kinds["common"])

    # What lies in the quarantine is what the log says, line by line and byte by byte.
    groups = rows(common("ingest", "rejects", "--format", "json"))
    (group,) = [row for row in groups if row["reason"] == "other-format"]
    assert (group["lines"], group["first_offset"]) == (
        len(kinds["combined"]),
        min(kinds["combined"]),
    )
    assert group["log"].endswith("/weblog1/access.log")
    assert sum(row["lines"] for row in groups) == len(kinds["combined"] | kinds["junk"])
    assert all(row["example"].isprintable() for row in groups)
    wrong = exported(common, tmp_path / "wrong.log", "--reason", "other-format")
    assert wrong == list(kinds["combined"].values())
    every = exported(common, tmp_path / "every.log", "--server", "weblog1")
    assert sorted(every) == sorted([*kinds["combined"].values(), *kinds["junk"].values()])
    listed = rows(common("ingest", "rejects", "--lines", "--format", "json"))
    assert {row["offset"] for row in listed} == kinds["combined"].keys() | kinds["junk"].keys()

    # The agents must have the new format, too.
    assert "0 lines taken" in common("ingest", "replay", "--rejects").stdout
    refused = combined("ingest", "replay", "--rejects", code=1)
    assert "agent1" in refused.stderr
    assert "ingest stop agent1" in refused.stderr
    now = rows(combined("ingest", "rejects", "--reason", "valid-now", "--format", "json"))
    assert [row["lines"] for row in now] == [len(kinds["combined"])]
    combined("ingest", "stop", "agent1")
    combined("ingest", "start")

    # Killed at every step, and asked again.
    small = (*as_combined, "--set", "replay.chunk_lines=70")
    for point in CRASHES:
        monkeypatch.setenv("CLICKSTREAM_FAULT", f"{point}:1")
        run.apart(*small, "ingest", "replay", "--rejects", code=-signal.SIGKILL)
    monkeypatch.delenv("CLICKSTREAM_FAULT")
    run(*small, "ingest", "replay", "--rejects", "--wait")
    assert "0 lines taken" in combined("ingest", "replay", "--rejects", "--wait").stdout

    valid = {at: raw for at, raw in offsets(content).items() if well_formed(raw)}
    assert valid == kinds["common"] | kinds["combined"]
    master = closed_lines(single, single.hdfs.master)
    assert by_offset(master)["weblog1"] == valid
    assert len(master) == len(in_kafka(single)) == len(valid)
    with Ledger.open(single.files.ledger) as ledger:
        assert ledger.totals("weblog1")[VALID] == len(valid)
        assert ledger.totals("weblog1")["other-format"] == 0
        assert ledger.totals("weblog1").total() == len(offsets(content))
    left = rows(combined("ingest", "rejects", "--format", "json"))
    assert sum(row["lines"] for row in left) == len(kinds["junk"])

    # Their days are dirty, and then right.
    states = rows(combined("batch", "status", "--format", "json"))
    assert [row["state"] for row in states] == ["dirty", "dirty"]
    assert all(row["final"] for row in rows(combined("batch", "run", "--format", "json")))
    for name, expected in figures(content).items():
        assert report(combined, name) == expected


@pytest.mark.campaign("a home more; the engines agree on virtual hosts, and jobs on their columns")
def test_virtual_hosts_change_no_figure(run, tmp_path):
    """Two servers with the same requests, one behind a column of virtual hosts."""
    lines = [LINE % (n % 9, 17, n % 60, n % 7, 200, 1) + AGENT % n for n in range(300)]
    lines += [LINE % (1, 17, 59, 1, 404, 1) + AGENT % n for n in range(20)]
    hosts = [b"v%d.example.org:80 %s" % (n, line) for n, line in enumerate(lines)]
    ask = partial(run, "--set", "servers.weblog2.format=vhost_combined")
    for server, content in (("weblog1", lines), ("weblog2", hosts)):
        (tmp_path / "access.log").write_bytes(b"\n".join(content) + b"\n")
        ask("weblog", "put", tmp_path / "access.log", "--server", server)
    ask("ingest", "start")
    ask("ingest", "replay", "--wait")
    # Without the format, what is stored would be misread: nobody does.
    for words in (("ingest", "replay"), ("batch", "run"), ("speed", "run", "--available-now")):
        assert "weblog2 were taken as vhost_combined" in run(*words, code=1).stderr
    ask("batch", "run")
    ask("speed", "run", "--available-now")
    for words in (
        ("visitors",),
        ("responses",),
        ("hourly",),
        ("categories",),
        ("popularity",),
        ("health", "--peak"),
    ):
        plain, virtual = (
            rows(ask("report", *words, "--server", server, "--format", "json"))
            for server in ("weblog1", "weblog2")
        )
        assert plain
        assert virtual == [row | {"server": "weblog2"} for row in plain], words
    (every,) = rows(ask("report", "visitors", "--server", "all", "--format", "json"))
    assert (every["unique_visitors"], every["requests"]) == (9, 640)
