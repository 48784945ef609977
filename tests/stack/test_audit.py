"""The audit on real services: no mismatch where all lines are there; each missing one is found."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import sqlalchemy as sa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from clickstream import config, master
from clickstream.audit import collect as audits
from clickstream.batch import run as batch
from clickstream.clients import endpoints, kafka
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.days import DaySelection
from clickstream.errors import NoData, UsageError
from clickstream.rows import ALL
from clickstream.spark import stored_lines
from tests.stack import in_process
from tests.stack.homes import SHARED, fresh_home, runner
from tests.stack.stores import identity, kafka_producer, offsets, well_formed
from tests.truth import Truth

OK = b'1.2.3.4 - - [18/May/2015:09:%02d:%02d +0200] "GET /a/%d HTTP/1.1" 200 12 "-" "%s"'
LOGS = SHARED / "logs"
PACKED = "plain.log"


def hostile() -> bytes:
    """LF and CRLF, blank lines, bytes of every kind, a line that is too long, no end at the end."""
    odd = [b"", b"\r", b"x" * 300_000, b"\x00\xff junk", OK % (1, 1, 1, b'caf\xe9 \xff \\" x')]
    odd += [(OK % (2, 2, 2, b"x")).replace(b"18/May", b"31/Feb")]
    good = [OK % (n // 60, n % 60, n, b"agent") for n in range(240)]
    lines = [line for n, line in enumerate(good) for line in (line, odd[n % 6])][:-1]
    ends = (b"\r\n" if n % 5 == 0 else b"\n" for n in range(len(lines)))
    return b"".join(map(bytes.__add__, lines, ends)) + OK % (5, 5, 5, b"no end")


@cache
def sources() -> dict[str, dict[str, bytes]]:
    """Server -> name -> log: real ones where they are at hand."""
    logs = {"weblog1": {"hostile.log": hostile()}, "weblog2": {"plain.log": plain()}}
    if LOGS.is_dir():
        nginx = sorted((LOGS / "nginx-combined-2025-12-small-site").iterdir())[:2]
        for server, path in (
            ("weblog1", LOGS / "elastic-apache-combined-2015-10k.log"),
            ("weblog2", LOGS / "nasa-http-1995-07-01-first4000.log"),
            *(("weblog2", path) for path in nginx),
        ):
            logs[server][path.name] = path.read_bytes()
    return logs


def plain() -> bytes:
    """Valid lines alone, of two days."""
    lines = [OK % (n // 60, n % 60, n, b"plain") + b"\n" for n in range(600)]
    return b"".join(lines).replace(b"18/May/2015:09:04", b"19/May/2015:09:04")


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home in which every log was replayed; tests leave it as they found it."""
    directory = tmp_path_factory.mktemp("audit")
    for made in fresh_home(settings, directory / "home"):
        run = runner(made)
        for server, logs in sources().items():
            for name, content in logs.items():
                packed = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
                path = directory / (f"{name}.gz" if name == PACKED else name)
                path.write_bytes(packed if name == PACKED else content)
                run("weblog", "put", path, "--server", server)
        run("ingest", "start")
        run("ingest", "replay", "--wait")
        yield made


def closed(settings: Settings, root: str) -> list[str]:
    entries = Hdfs.connect(settings).walk(root)
    return [entry.path for entry in entries if entry.name[0] not in "_." and entry.size]


def master_files(settings: Settings) -> list[str]:
    return [path for path in closed(settings, settings.hdfs.master) if "/dt=" in path]


def largest(settings: Settings) -> str:
    hdfs = Hdfs.connect(settings)
    return max(master_files(settings), key=lambda path: hdfs.stat(path).size)


def content(settings: Settings, path: str) -> bytes:
    with Hdfs.connect(settings).open(path) as stream:
        return stream.read()


@contextmanager
def changed(settings: Settings, path: str, lines: list[bytes]) -> Iterator[None]:
    """The file with other lines; what it was before in the end."""
    before = content(settings, path)
    hdfs = Hdfs.connect(settings)
    hdfs.write(path, [b"".join(line + b"\n" for line in lines)])
    try:
        yield
    finally:
        hdfs.write(path, [before])


def lines_of(settings: Settings, path: str) -> list[bytes]:
    return content(settings, path)[:-1].split(b"\n")


def file_of(settings: Settings, log: bytes) -> str:
    """The identity that the ledger gave to a log, by its length."""
    ledger = audits.read_ledger(settings)
    return next(found.file for found in ledger.files if found.bytes == len(log))


def problems(settings: Settings, file: str) -> str:
    """What the audit says of a log, and of no other one."""
    done = audits.audit(settings)
    assert {problem.split()[1] for problem in done.problems} == {file}
    (row,) = [row for row in done.rows if (row["file"], row["day"]) == (file, ALL)]
    return row["problem"]


def with_topic(settings: Settings, topic: str, records: list[kafka.Record]) -> Settings:
    """The same home with another topic that holds these records."""
    origin = settings.origin
    other = config.load(origin.file, settings.home, origin.flags | {"kafka.topic": topic})
    kafka.ensure_topic(other)
    producer = kafka_producer(settings)
    for record in records:
        producer.produce(topic, record.value, partition=record.partition)
        producer.poll(0)
    producer.flush(30)
    return other


def cut_before(settings: Settings, partition: int, offset: int) -> None:
    """What retention does: the first records of a partition are gone."""
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap(settings)})
    start = TopicPartition(settings.kafka.topic, partition, offset)
    for done in admin.delete_records([start]).values():
        done.result(30)


@contextmanager
def spoiled_views(settings: Settings, row: dict) -> Iterator[None]:
    """A day's requests of a server are one more for a while."""
    add_requests(settings, row, 1)
    try:
        yield
    finally:
        add_requests(settings, row, -1)


def add_requests(settings: Settings, row: dict, number: int) -> None:
    engine = sa.create_engine(endpoints.database_url(settings))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE daily_visitors SET requests = requests + :number"
                " WHERE server = :server AND date = :day"
            ),
            {"number": number, "server": row["server"], "day": row["day"]},
        )
    engine.dispose()


@pytest.mark.submission
def test_a_clean_replay_has_no_mismatch_and_its_numbers_are_those_of_the_logs(home):
    done = audits.audit(home)
    assert done.problems == []
    assert [note for note in done.notes if "batch has not computed" not in note] == []
    rows = {(row["server"], row["file"], row["day"]): row for row in done.rows}
    for server, logs in sources().items():
        truth = Truth(
            {server: b"".join(log if log[-1:] == b"\n" else log + b"\n" for log in logs.values())}
        )
        for log in logs.values():
            every = offsets(log)
            valid = sum(map(well_formed, every.values()))
            row = rows[server, file_of(home, log), ALL]
            assert (row["source"], row["ledger"]) == (len(every), len(every))
            assert (row["kafka"], row["master"], row["valid"]) == (valid, valid, valid)
            assert row["quarantine"] == row["invalid"] == len(every) - valid
            reasons = Counter(dict(re.findall(r"([a-z-]+)=([0-9]+)", row["rejects"])))
            assert sum(map(int, reasons.values())) == row["invalid"]
            assert row["copies"] == 0
        days = {
            day: row["master"]
            for (name, file, day), row in rows.items()
            if (name, file) == (server, ALL)
        }
        assert {day: n for day, n in days.items() if n} == truth.requests(server)


def test_a_line_removed_and_another_doubled(home):
    path = largest(home)
    lines = lines_of(home, path)
    gone, twice = lines[len(lines) // 2], lines[3]
    server, file, offset = identity(gone)
    with changed(home, path, [*(line for line in lines if line != gone), twice]):
        failed = runner(home)("audit", "--format", "json", code=1)
    rows = {(r["server"], r["file"], r["day"]): r for r in json.loads(failed.stdout)}
    row = rows[server, file, ALL]
    assert row["problem"] == f"missing in the master dataset: 1 line at {offset}"
    assert (row["master_copies"], row["kafka_copies"]) == (1, 0)
    assert row["master"] == row["valid"] - 1
    assert (
        f"{server} {file} all: missing in the master dataset: 1 line at {offset}" in failed.stderr
    )
    assert "audit failed: " in failed.stderr
    assert {key[1] for key, row in rows.items() if row["problem"]} == {file}


def test_a_changed_byte_and_a_changed_time_are_found_at_their_offsets(home):
    path = largest(home)
    lines = lines_of(home, path)
    _, file, first = identity(lines[7])
    _, _, second = identity(lines[11])
    original = lines[15]
    _, _, third = identity(original)
    lines[7] = lines[7][:-2] + bytes([lines[7][-2] ^ 1]) + lines[7][-1:]
    lines[11] = lines[11].replace(b"000\t", b"001\t", 1)
    lines += [original, original.replace(b"GET", b"PUT", 1)]
    with changed(home, path, lines):
        assert problems(home, file) == f"altered: 3 lines at {first}, {second}, {third}"


def test_a_line_that_is_in_no_store_leaves_a_gap(home):
    log = sources()["weblog1"]["hostile.log"]
    file = file_of(home, log)
    path, gone = next(
        (path, line)
        for path in closed(home, home.hdfs.quarantine)
        for line in lines_of(home, path)
        if line.endswith(b"\x00\xff junk") and file.encode() in line
    )
    lines, start = lines_of(home, path), identity(gone)[2]
    with changed(home, path, [line for line in lines if line != gone]):
        problem = problems(home, file)
    first, last = re.fullmatch(r"missing in every store, bytes (\d+)-(\d+)", problem).groups()
    assert start <= int(first) + 1 <= start + 2
    assert int(last) + 1 == start + len(b"\x00\xff junk") + (log[int(last)] == 10)


def test_a_blank_line_that_is_lost_is_counted(home):
    """Without it, the LF of the line before and its own look like the end of one CRLF line."""
    log = sources()["weblog1"]["hostile.log"]
    file = file_of(home, log)
    offset = next(at for at in offsets(log) if re.fullmatch(b"[^\r]\n\n", log[at - 2 : at + 1]))
    for path in closed(home, home.hdfs.quarantine):
        lines = lines_of(home, path)
        left = [line for line in lines if identity(line) != ("weblog1", file, offset)]
        if left != lines:
            break
    with changed(home, path, left):
        problem = problems(home, file)
    invalid = sum(not well_formed(raw) for raw in offsets(log).values())
    mismatch = f"invalid {invalid}, in the quarantine {invalid - 1}"
    assert problem.startswith(f"{mismatch}; perhaps the blank")


def test_lines_of_nobody(home):
    stray = b"v1:weblog1:ffffffffffffffff:0\t1431939900000\t2015-05-18\t" + (OK % (5, 0, 1, b"x"))
    (plain_file,) = [file_of(home, sources()["weblog2"]["plain.log"])]
    path = next(p for p in master_files(home) if plain_file.encode() in content(home, p))
    beyond = b"v1:weblog2:%s:9999999\t" % plain_file.encode() + stray.split(b"\t", 1)[1]
    with changed(home, path, [*lines_of(home, path), stray, beyond, b"torn"]):
        done = audits.audit(home)
    problem = "\n".join(done.problems)
    assert "weblog1 ffffffffffffffff all: the ledger does not know it: 1 lines at 0-" in problem
    assert "lines beyond the end that the ledger knows" in problem
    assert "weblog2 ? all: lines without a stamp: 1 in the master dataset" in problem


def test_a_line_missing_in_kafka_alone_and_what_retention_has_cut(home):
    records = list(kafka.consume(home))
    gone = next(record for record in records if record.partition == 1)
    _, file, offset = identity(gone.value)
    kept = [record for record in records if record is not gone] + [records[5]]
    other = with_topic(home, "t-audit-other", kept)
    done = audits.audit(other)
    row = next(row for row in done.rows if (row["file"], row["day"]) == (file, ALL))
    assert row["problem"] == f"missing in Kafka: 1 line at {offset}"
    assert sum(row["kafka_copies"] for row in done.rows if row["file"] == ALL) == 1
    assert {problem.split()[1] for problem in done.problems} == {file}
    cut_before(other, 1, 100)
    done = audits.audit(other)
    assert done.problems == []
    assert "retention has cut the Kafka partition of weblog2" in done.notes
    total = sum(record.partition == 1 for record in records)
    assert sum(r["kafka"] for r in done.rows if (r["server"], r["file"]) == ("weblog2", ALL)) == (
        total - 1 - 100
    )


def test_the_batch_views_are_held_against_the_master_dataset(home):
    batch.run(home)
    done = audits.audit(home)
    assert done.problems == []
    assert not any("batch" in note for note in done.notes)
    days = [row for row in done.rows if row["file"] == ALL and row["master"]]
    assert days
    assert all(row["batch"] == row["master"] for row in days)
    with spoiled_views(home, days[0]):
        done = audits.audit(home)
    assert [problem.split(": ")[0] for problem in done.problems] == [
        f"{days[0]['server']} all {days[0]['day']}"
    ]


def test_chosen_days_and_one_server(home):
    done = audits.audit(home, DaySelection(only="2015-05-19"), "weblog2")
    log = sources()["weblog2"]["plain.log"]
    rows = [row for row in done.rows if row["file"] == file_of(home, log)]
    assert [(row["server"], row["day"]) for row in rows] == [
        ("weblog2", ALL),
        ("weblog2", "2015-05-19"),
    ]
    for row in rows:
        assert row["valid"] == row["master"] == row["kafka"] == log.count(b"19/May/2015")
    assert done.problems == []
    assert {row["day"] for row in done.rows} == {ALL, "2015-05-19"}
    with pytest.raises(NoData, match="2016-01-01"):
        audits.audit(home, DaySelection(only="2016-01-01"))
    with pytest.raises(UsageError, match="no server nobody"):
        audits.audit(home, server="nobody")


def test_a_source_that_is_gone_or_another_one(home):
    log = sources()["weblog2"]["plain.log"]
    (known,) = [f for f in audits.read_ledger(home).files if f.bytes == len(log)]
    hdfs = Hdfs.connect(home)
    before = content(home, known.path)
    assert audits.count_source(hdfs, known) == log.count(b"\n")
    for other in (gzip.compress(log[1:]), b"\x1f\x8bbroken", log[:-5], None):
        hdfs.delete(known.path)
        if other is not None:
            hdfs.write(known.path, [other])
        assert audits.count_source(hdfs, known) is None
    done = audits.audit(home, server="weblog2")
    hdfs.write(known.path, [before])
    (row,) = [r for r in done.rows if (r["file"], r["day"]) == (known.file, ALL)]
    assert row["source"] is None
    assert done.problems == []
    assert any("source log was removed" in note for note in done.notes)


def test_what_is_on_its_way_is_in_flight_and_not_lost(home, tmp_path):
    run = runner(home)
    run("ingest", "stop", home.collector)
    late = b"".join(OK % (n % 60, 0, n, b"late") + b"\n" for n in range(50))
    (tmp_path / "late.log").write_bytes(late)
    run("weblog", "put", tmp_path / "late.log", "--server", "weblog1")
    run("ingest", "replay")
    failed = run("audit", "--server", "weblog1", code=1)
    assert "in flight (" in failed.stderr
    assert f"in every store, bytes 0-{len(late) - 1}" in failed.stderr
    assert "missing" not in failed.stderr
    run("ingest", "start")
    run("ingest", "replay", "--wait")
    hdfs = Hdfs.connect(home)
    hdfs.write(f"{home.hdfs.master}/dt=2015-05-18/server=weblog1/_part.9.tmp", [b"being written"])
    shown = run("audit")
    assert "open files in HDFS" in shown.stderr
    assert "_part.9.tmp" in shown.stderr


@pytest.mark.campaign("it prunes the home of this file: nothing may come after it")
def test_pruned_days_are_not_missed_and_their_log_is_not_read_again(home, tmp_path):
    run, hdfs, first = runner(home), Hdfs.connect(home), "2015-05-19"
    hdfs.delete(f"{home.hdfs.master}/dt=2015-05-18/server=weblog1/_part.9.tmp")
    batch.run(home)
    before = audits.read_ledger(home)
    old = {day for day in master.days(hdfs, home.hdfs.master) if day < first}
    shown = run("prune", "--before", first, "--yes")
    assert f"removed {len(old)} days" in shown.stderr
    days = master.days(hdfs, home.hdfs.master)
    assert "2015-05-18" in old
    assert first in days
    assert not old & {*days}
    assert_pruned(home, old, before)
    stamps = [
        line.split(b"\t")[2].decode()
        for path in closed(home, home.hdfs.quarantine)
        for line in lines_of(home, path)
    ]
    assert {day for day in stamps if day < first} <= {"-"}
    log = sources()["weblog2"]["plain.log"]
    (known,) = [each for each in before.files if each.bytes == len(log)]
    hdfs.delete(known.path)
    (tmp_path / "again.log").write_bytes(log)
    assert "stored" in run("weblog", "put", tmp_path / "again.log", "--server", "weblog2").stdout
    run("ingest", "replay", "--wait")
    assert audits.read_ledger(home).counts == before.counts
    assert master.days(hdfs, home.hdfs.master) == days
    assert "nothing to do" in run("prune", "--before", first, "--yes").stderr
    assert_pruned(home, old, before)


def assert_pruned(settings: Settings, old: set[str], before: audits.LedgerState) -> None:
    """The audit, the batch layer and its status call these days pruned, and miss nothing."""
    done = audits.audit(settings)
    assert done.problems == []
    lost = sum(count.lines for count in before.counts if count.day in old)
    totals = [row for row in done.rows if row["day"] == ALL]
    assert sum(row["pruned"] for row in totals) == lost > 0
    assert any(note.startswith("pruned, and not looked for") for note in done.notes)
    states = {row["date"]: row["state"] for row in batch.status(settings)}
    assert {day for day, state in states.items() if state == "pruned"} == old
    assert {state for day, state in states.items() if day not in old} == {"fresh"}
    with pytest.raises(NoData, match="was pruned"):
        batch.run(settings, DaySelection(only="2015-05-18"))
    assert batch.run(settings) == []


def test_without_a_ledger(fresh, run):
    failed = run("audit", code=1)
    assert "there is no ledger" in failed.stderr
    assert "ingest ledger rebuild" in failed.stderr


def test_a_file_left_open_under_its_final_name_is_not_read_beside_closed_ones(tmp_path):
    files = ("server=a/part.1", "server=a/part.2", "server=b/part.1", "server=b/part.2")
    for name in files:
        path = tmp_path / "dt=2015-05-18" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    root = str(tmp_path)
    found = [Entry(f"{root}/dt=2015-05-18/{name}", name[-6:], 1, False, 0) for name in files]
    opened = [found[0].path]
    local = config.load(home=tmp_path / "home", flags={"hdfs.url": "file:"})
    source = master.source(local, root, master.closed(found, opened), opened)
    session = in_process.session()
    stored_lines.configure(session, 1)
    rows = stored_lines.text(session, source).collect()
    assert {tuple(row) for row in rows} == {
        (name, "2015-05-18", name[len("server=")]) for name in files[1:]
    }
