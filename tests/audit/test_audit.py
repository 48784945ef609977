"""The audit's pure part: rows and problems out of the ledger's numbers and the job's rows."""

import gzip
import hashlib
from contextlib import contextmanager
from io import BytesIO

import pytest

from clickstream import config
from clickstream.audit import collect as audits
from clickstream.audit.job import ALTERED, NO_KAFKA, NO_MASTER, RANGES
from clickstream.audit.reconcile import (
    ALL,
    COLUMNS,
    TABLE,
    LedgerState,
    Stores,
    compare,
    log_faults,
)
from clickstream.ledger import Count, LogFile
from tests.hdfs_in_memory import HdfsInMemory

FILE = "0123456789abcdef"
DAY = "2015-05-18"
LOG = LogFile("weblog1", FILE, "/source/weblog1/a.log", 31, "", False)


def row(**fields) -> dict:
    """The job's row of a log of three lines of 9 bytes each, all valid and everywhere."""
    whole = {"server": "weblog1", "file": FILE, "bucket": 0, "day": DAY, "ids": 3}
    whole |= dict.fromkeys(("master", "kafka", "m", "k"), 3)
    whole |= dict.fromkeys(("quarantine", "q", "drained", "crlf"), 0)
    whole |= dict.fromkeys(("master_copies", "quarantine_copies", "kafka_copies"), 0)
    return whole | {"first": 0, "stop": 29, "missing": [], "wrong": [], "doubtful": []} | fields


def ledger_state(in_flight: str = "", **reasons: int) -> LedgerState:
    counts = [Count("weblog1", FILE, DAY, "", 3)]
    counts += [Count("weblog1", FILE, "-", reason, n) for reason, n in reasons.items()]
    return LedgerState([LOG._replace(bytes=30)], counts, {}, {"weblog1": in_flight})


def mark(fault, run, offset, position, starts=True, ends=True) -> dict:
    names = ("fault", "run", "offset", "position", "starts", "ends")
    return dict(zip(names, (fault, run, offset, position, starts, ends), strict=True))


def audited(stores: Stores, ledger: LedgerState | None = None) -> dict[tuple[str, str], dict]:
    done = compare(ledger or ledger_state(), stores, whole=True)
    return {(each["file"], each["day"]): each for each in done.rows}


def test_a_ledger_and_stores_that_agree():
    found = Stores([row()], sources={("weblog1", FILE): 3}, batch={("weblog1", DAY): 3})
    done = compare(ledger_state(), found, whole=True)
    assert done.problems == []
    assert [(each["file"], each["day"]) for each in done.rows] == [
        (FILE, ALL),
        (FILE, DAY),
        (ALL, DAY),
    ]
    assert [each["source"] for each in done.rows] == [3, None, None]
    assert [each["batch"] for each in done.rows] == [None, None, 3]
    assert {each["ledger"] for each in done.rows} == {3}
    for names in (COLUMNS, TABLE):
        assert set(names) <= set(done.rows[0])


def test_a_log_of_which_nothing_came_and_one_that_is_empty():
    done = audited(Stores([]))
    assert done[FILE, ALL]["problem"] == "missing in every store, bytes 0-29"
    assert done[FILE, DAY]["problem"] == "valid 3, in the master dataset 0; valid 3, in Kafka 0"
    pending = audited(Stores([]), ledger_state("3 lines in the spool"))
    assert pending[FILE, ALL]["problem"].startswith("in flight (3 lines in the spool) in every")
    assert "missing" not in pending[FILE, DAY]["problem"]
    nothing = LedgerState([LOG._replace(bytes=0)], [], {}, {})
    assert compare(nothing, Stores([]), whole=True).problems == []


def test_one_missing_and_one_too_many_do_not_cancel_out():
    gone = row(kafka=3, m=3, wrong=[mark(NO_MASTER, 1, 10, 2), mark(NO_KAFKA, 2, 20, 3)])
    done = audited(Stores([gone]))
    assert done[FILE, ALL]["problem"] == (
        "missing in the master dataset: 1 line at 10; missing in Kafka: 1 line at 20"
    )
    assert done[FILE, DAY]["problem"] == ""


def test_ranges_whose_ends_lie_in_rows_of_two_days():
    first = row(wrong=[mark(ALTERED, 1, 0, 1, ends=False)])
    second = row(day="2015-05-19", wrong=[mark(ALTERED, 1, 20, 3, starts=False)])
    assert log_faults(LOG._replace(bytes=30), [first, second], "") == ["altered: 3 lines at 0-20"]


def test_rejects_by_reason_and_drained_ones():
    both = row(quarantine=3, q=3, drained=1)
    done = audited(Stores([both]), ledger_state(blank=1, binary=1))
    assert done[FILE, ALL]["rejects"] == "binary=1, blank=1"
    assert done[FILE, ALL]["problem"] == ""
    assert done[FILE, "-"]["problem"] == "invalid 2, in the quarantine 0"
    assert done[FILE, DAY]["problem"] == "invalid 0, in the quarantine 2"


def test_what_retention_has_cut_is_not_held_against_the_stores():
    found = row(kafka=1, k=1)
    assert audited(Stores([found]))[FILE, ALL]["problem"]
    done = compare(ledger_state(), Stores([found], frozenset({"weblog1"})), whole=True)
    assert done.problems == []
    assert done.rows[0]["kafka"] == 1


@pytest.mark.parametrize(
    ("found", "log", "problem"),
    [
        ([row()], LOG._replace(bytes=30), ""),
        ([row()], LOG._replace(bytes=31), ""),
        ([row()], LOG._replace(bytes=29, open_tail=True), ""),
        ([row()], LOG._replace(bytes=31, open_tail=True), "missing in every store, bytes 30"),
        ([row()], LOG._replace(bytes=32), "missing in every store, bytes 30-31"),
        ([row(first=10)], LOG._replace(bytes=30), "missing in every store, bytes 0-9"),
        ([row(first=2)], LOG._replace(bytes=30), "missing in every store, bytes 0-1"),
        ([row()], LOG._replace(bytes=20), "beyond the end that the ledger knows, bytes 20-29"),
        (
            [row(missing=[{"before": 9, "offset": 20}])],
            LOG._replace(bytes=30),
            "missing in every store, bytes 10-19",
        ),
        (
            [row(crlf=2, missing=[{"before": 9, "offset": 20}])],
            LOG._replace(bytes=31),
            "missing in every store, bytes 11-19",
        ),
        (
            [row(missing=[{"before": 9, "offset": 5}])],
            LOG._replace(bytes=30),
            "a line begins within another, at 5",
        ),
        ([row(), row(bucket=1, first=30, stop=40)], LOG._replace(bytes=41), ""),
        (
            [row(), row(bucket=2, first=60, stop=90)],
            LOG._replace(bytes=91),
            "missing in every store, bytes 30-59",
        ),
        ([row()], None, "the ledger does not know it: 3 lines at 0-29"),
    ],
)
def test_gaps(found, log, problem):
    faults = log_faults(log, found, "")
    assert len(faults) == bool(problem)
    assert problem in "".join(faults)


def test_of_selected_days_gaps_are_not_reported_but_differing_lines_are():
    found = [row(first=10, missing=[{"before": 19, "offset": 25}], wrong=[mark(ALTERED, 1, 10, 2)])]
    done = compare(ledger_state(), Stores(found), whole=False)
    assert done.problems == [f"weblog1 {FILE} all: altered: 1 line at 10"]


def test_no_more_than_some_ranges_are_named():
    many = [mark(NO_KAFKA, n, n * 10, n) for n in range(1, RANGES + 5)]
    (problem,) = log_faults(LOG._replace(bytes=30), [row(wrong=many)], "")
    assert problem.endswith(f"{RANGES * 10}, …")


def test_a_lost_blank_line_has_no_gap_but_an_offset():
    found = row(quarantine=0, doubtful=[11], crlf=1)
    done = audited(Stores([found]), ledger_state(blank=1))
    assert done[FILE, ALL]["problem"] == (
        "invalid 1, in the quarantine 0; perhaps the blank line at 10"
    )


def test_source_and_batch_are_held_against_the_rest():
    found = Stores([row()], sources={("weblog1", FILE): 4}, batch={("weblog1", DAY): 2})
    done = compare(ledger_state(), found, whole=True)
    assert done.problems == [
        f"weblog1 {FILE} all: the source log has 4 lines, the ledger 3",
        f"weblog1 all {DAY}: the master dataset has 3 lines, the batch views count 2",
    ]
    gone = Stores([row()], sources={("weblog1", FILE): None})
    assert compare(ledger_state(), gone, whole=True).problems == []


def test_lines_without_a_stamp_are_a_problem_of_their_own():
    stray = row(file="?", day="-", bucket=-1, m=2, q=1, k=0, ids=1, first=None, stop=None)
    done = compare(ledger_state(), Stores([row(), stray]), whole=True)
    problem = "lines without a stamp: 2 in the master dataset, 1 in the quarantine"
    assert set(done.problems) == {
        f"weblog1 ? all: {problem}",
        f"weblog1 ? -: {problem}",
    }


class Shelf:
    """Stands for HDFS: one file's bytes, or none."""

    def __init__(self, content: bytes | None) -> None:
        self._content = content

    def stat(self, path):
        return self._content

    @contextmanager
    def open(self, path):
        yield BytesIO(self._content)


@pytest.mark.parametrize(
    ("spooled", "lines"),
    [(b"a\nb\n", 2), (b"a\nb", 2), (b"\n\r\n", 2), (b"x" * 3_000_000 + b"\ny", 2)],
)
def test_a_source_is_counted_by_its_line_ends(spooled, lines):
    log = LOG._replace(bytes=len(spooled), digest=hashlib.sha256(spooled).hexdigest())
    packed = gzip.compress(spooled[:2]) + gzip.compress(spooled[2:] + b"later\n")
    for content in (spooled, spooled + b"later\n", packed):
        assert audits.count_source(Shelf(content), log) == lines
    for content in (None, b"z" + spooled, packed[:15], spooled[:-1]):
        assert audits.count_source(Shelf(content), log) is None


def test_a_source_of_this_machine(tmp_path):
    path = tmp_path / "a b.log"
    path.write_bytes(b"a\nb\n")
    log = LogFile("w", FILE, f"file://{path}", 4, hashlib.sha256(b"a\nb\n").hexdigest(), False)
    assert audits.count_source(Shelf(None), log) == 2


def test_what_is_open_under_its_final_name_is_in_use_and_not_read(tmp_path):
    partition = f"/master/dt={DAY}/server=weblog1"
    hdfs = HdfsInMemory({f"{partition}/part.{n}": b"line" for n in (1, 2)})
    hdfs.opened = (f"{partition}/part.2",)
    found = audits._files(hdfs, config.load(home=tmp_path), audits.Scope(None, None))
    assert [entry.path for entry in found.master] == [f"{partition}/part.1"]
    assert found.in_use == [f"{partition}/part.2"]
