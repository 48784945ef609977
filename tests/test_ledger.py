"""The ledger: chunks, counts and identities survive being closed."""

import sqlite3

import pytest

from clickstream.errors import ClickstreamError
from clickstream.ledger import VALID, Ledger, LogFile

LOG = LogFile("weblog1", "0123456789abcdef", "/source/weblog1/a", 100, "d1", False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "ledger.db"


def test_a_planned_chunk_is_there_after_a_crash(path):
    with Ledger.open(path) as ledger:
        planned = ledger.plan(LOG, 0, {("2015-05-18", VALID): 3, ("-", "blank"): 1})
    with Ledger.open(path) as ledger:
        assert ledger.open_chunks() == [planned]
        assert (planned.start, planned.stop, planned.lines) == (0, 100, 4)
        assert ledger.files() == [LOG]


def test_names_are_never_used_twice(path):
    with Ledger.open(path) as ledger:
        first = ledger.plan(LOG, 0, {("2015-05-18", VALID): 1})
        ledger.mark(first, "done")
        second = ledger.plan(LOG._replace(bytes=150), 100, {("2015-05-18", VALID): 1})
    assert first.name != second.name


def test_marks_move_a_chunk_on(path):
    with Ledger.open(path) as ledger:
        chunk = ledger.plan(LOG, 0, {("2015-05-18", VALID): 1})
        ledger.mark(chunk, "spooled")
        assert [each.state for each in ledger.open_chunks()] == ["spooled"]
        ledger.mark(chunk, "done")
        assert ledger.open_chunks() == []


def test_counts_add_up_over_chunks_and_servers(path):
    other = LOG._replace(server="weblog2")
    with Ledger.open(path) as ledger:
        ledger.plan(LOG, 0, {("2015-05-18", VALID): 3, ("-", "blank"): 1})
        ledger.plan(LOG._replace(bytes=200), 100, {("2015-05-18", VALID): 2})
        ledger.plan(other, 0, {("2015-05-19", VALID): 7})
        assert ledger.totals("weblog1") == {VALID: 5, "blank": 1}
        assert ledger.totals() == {VALID: 12, "blank": 1}
        assert ledger.books() == [
            ("weblog1", LOG.file, "2015-05-18", 5),
            ("weblog2", LOG.file, "2015-05-19", 7),
        ]


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
