"""The ledger: chunks, counts and identities survive being closed."""

import sqlite3

import pytest

from clickstream.errors import ClickstreamError
from clickstream.ledger import VALID, Count, Ledger, LogFile

LOG = LogFile("weblog1", "0123456789abcdef", "/source/weblog1/a", 100, "d1", False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "ledger.db"


def plan(ledger, log, start, counts, checksums=b""):
    return ledger.plan(log, start, counts, checksums, sum(counts.values()))


def test_a_planned_chunk_is_there_after_a_crash(path):
    with Ledger.open(path) as ledger:
        planned = plan(ledger, LOG, 0, {("2015-05-18", VALID): 3, ("-", "blank"): 1})
    with Ledger.open(path) as ledger:
        assert ledger.open_chunks() == ledger.open_chunks("weblog1") == [planned]
        assert ledger.open_chunks("weblog2") == []
        assert (planned.start, planned.stop, planned.lines) == (0, 100, 4)
        assert ledger.files() == [LOG]


def test_lines_that_go_into_no_chunk_are_counted(path):
    with Ledger.open(path) as ledger:
        assert ledger.plan(LOG, 0, {("-", "too-long"): 1}, b"", 0) is None
        assert ledger.totals() == {"too-long": 1}
        assert ledger.open_chunks() == []


def test_names_are_never_used_twice(path):
    names = set()
    for opening in range(2):
        with Ledger.open(path) as ledger:
            for turn in range(2):
                log = LOG._replace(bytes=100 + 2 * opening + turn)
                chunk = plan(ledger, log, log.bytes - 1, {("2015-05-18", VALID): 1})
                names.add(chunk.seq)
                ledger.finish(chunk)
            assert ledger.open_chunks() == []
    assert len(names) == 4


def test_a_new_ledger_gives_other_names_than_an_old_one(path, monkeypatch):
    names = []
    for now in (1000.0, 2000.0):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with Ledger.open(path) as ledger:
            names.append(plan(ledger, LOG, 0, {("2015-05-18", VALID): 1}).name)
        path.unlink()
    assert names[0] != names[1]


def test_counts_add_up_over_chunks_and_servers(path):
    other = LOG._replace(server="weblog2")
    with Ledger.open(path) as ledger:
        plan(ledger, LOG, 0, {("2015-05-18", VALID): 3, ("-", "blank"): 1})
        plan(ledger, LOG._replace(bytes=200), 100, {("2015-05-18", VALID): 2})
        plan(ledger, other, 0, {("2015-05-19", VALID): 7})
        assert ledger.totals("weblog1") == {VALID: 5, "blank": 1}
        assert ledger.totals() == {VALID: 12, "blank": 1}
        assert ledger.line_counts() == [
            ("weblog1", LOG.file, "2015-05-18", 5, 0),
            ("weblog2", LOG.file, "2015-05-19", 7, 0),
        ]
        assert ledger.counts("weblog1") == [
            Count("weblog1", LOG.file, "-", "blank", 1),
            Count("weblog1", LOG.file, "2015-05-18", VALID, 5),
        ]


def test_the_line_counts_hold_the_rejects_of_a_day(path):
    lines = {("2015-05-18", VALID): 3, ("2015-05-18", "binary"): 2, ("2015-05-18", "blank"): 4}
    with Ledger.open(path) as ledger:
        plan(ledger, LOG, 0, lines | {("2015-05-17", "blank"): 1, ("-", "blank"): 9})
        assert ledger.line_counts() == [
            ("weblog1", LOG.file, "2015-05-17", 0, 1),
            ("weblog1", LOG.file, "2015-05-18", 3, 6),
        ]


def test_marks_are_found_at_their_line_ends_only(path):
    checksums = [bytes([number]) * 8 for number in range(6)]
    with Ledger.open(path) as ledger:
        plan(ledger, LOG._replace(bytes=20), 0, {("-", "blank"): 2}, checksums[0] + checksums[1])
        plan(ledger, LOG._replace(bytes=40), 20, {("-", "blank"): 2}, checksums[2] + checksums[3])
        big = bytes(40_000)
        plan(ledger, LOG._replace(bytes=60), 40, {("-", "blank"): 2}, checksums[4] + big)
        assert all(ledger.has_checksum(LOG, 35, checksum) for checksum in checksums[:4])
        assert ledger.has_checksum(LOG, 50, checksums[4])
        assert not ledger.has_checksum(LOG, 50, checksums[1])
        assert not ledger.has_checksum(LOG, 35, checksums[0][:4] + checksums[1][:4])
        assert not ledger.has_checksum(LOG, 61, checksums[4])
        assert not ledger.has_checksum(LOG._replace(server="weblog2"), 35, checksums[0])


def test_a_restored_log_is_as_the_lost_one(path):
    counts = {("2015-05-18", VALID): 3, ("-", "blank"): 1}
    with Ledger.open(path) as ledger:
        ledger.restore(LOG, counts, [(50, b"1" * 8), (100, b"2" * 16)], [7, 9])
        assert ledger.files() == [LOG]
        assert ledger.totals() == {VALID: 3, "blank": 1}
        assert ledger.has_checksum(LOG, 100, b"2" * 8)
        assert [offset for _, _, offset in ledger.reprocessed("weblog1")] == [7, 9]
        assert list(ledger.reprocessed("weblog2")) == []


def test_the_identity_stays(path):
    with Ledger.open(path) as ledger:
        identity = ledger.uuid
    with Ledger.open(path) as ledger:
        assert ledger.uuid == identity


def test_another_schema_is_refused(path):
    with Ledger.open(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(ClickstreamError, match="schema 99"), Ledger.open(path):
        pass


def test_a_file_that_is_no_ledger(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ClickstreamError, match="cannot be used"), Ledger.open(path):
        pass
