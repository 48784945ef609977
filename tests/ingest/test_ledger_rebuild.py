"""A log's record recreated from its stamped lines is the one that the spooler made of the log."""

import hashlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.ingest.ledger_rebuild.record import MASTER, QUARANTINE, Record, Stored, record
from clickstream.ingest.spool.chunks import Chunker, Limits
from clickstream.ledger import Ledger, LogFile, line_end_checksum
from clickstream.weblog import COMBINED, COMMON, MAX_LINE_BYTES, VHOST_COMBINED, judge

SERVER, FILE = "weblog1", "0123456789abcdef"
OK = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET /a HTTP/1.1" 200 12 "-" "%s"'
HOSTILE = (b"", b"\r", b"x\ry", b"junk \xff\x00", OK % (1, b"caf\xe9"), OK % (2, b"a\tb"))
raws = st.one_of(st.sampled_from(HOSTILE), st.builds(lambda n: OK % (n, b"g"), st.integers(0, 59)))
logs = st.builds(
    lambda lines, tail: b"".join(raw + end for raw, end in lines) + tail,
    st.lists(st.tuples(raws, st.sampled_from((b"\n", b"\r\n"))), min_size=1, max_size=30),
    st.sampled_from((b"", OK % (3, b"no end"))),
)


def stored(log: bytes) -> list[Stored]:
    """The lines of a log in the master dataset and the quarantine."""
    found, offset = [], 0
    for piece in BytesIO(log):
        raw = piece.removesuffix(b"\n").removesuffix(b"\r") if piece[-1:] == b"\n" else piece
        verdict = judge(raw)
        store = QUARANTINE if verdict.reason else MASTER
        found.append(Stored(store, SERVER, FILE, offset, verdict.day or "-", raw))
        offset += len(piece)
    return found


def spooled(log: bytes):
    """The record that the spooler makes: the log's end, digest, checksums and counts."""
    chunker = Chunker(SERVER, FILE, COMBINED, hashlib.sha256())
    (chunk,) = chunker.chunks(BytesIO(log), 0, Limits(10**6, 2**40))
    return chunk


def checksums(made: Record) -> bytes:
    return b"".join(digests for _, digests in made.checksums.rows())


@given(logs)
def test_a_record_made_anew_is_the_spoolers(log):
    made, chunk, last = record(stored(log), COMBINED), spooled(log), stored(log)[-1]
    assert made.digest.digest() == hashlib.sha256(log[: made.bytes]).digest()
    if last.raw.endswith(b"\r"):
        assert (made.bytes, made.behind) == (last.offset, 1)
    else:
        assert log[made.bytes :] in (b"", b"\n", b"\r\n")
        assert (made.counts, made.behind) == (chunk.counts, 0)
    whole = bytes(chunk.checksums)
    assert whole.startswith(checksums(made))
    assert len(whole) - len(checksums(made)) <= 16


@given(logs, st.data())
def test_copies_change_nothing_and_a_missing_line_ends_what_is_known(log, data):
    every = stored(log)
    whole = record(every, COMBINED)
    twice = record([line for line in every for _ in range(2)], COMBINED)
    assert (twice.bytes, twice.digest.digest(), twice.counts, twice.behind) == (
        whole.bytes,
        whole.digest.digest(),
        whole.counts,
        whole.behind,
    )
    gone = data.draw(st.integers(0, len(every) - 1))
    left = every[:gone] + every[gone + 1 :]
    made = record(left, COMBINED)
    assert made.bytes <= every[gone].offset or gone == len(every) - 1 or every[gone].raw == b""
    if every[gone].raw:
        assert made.digest.digest() == hashlib.sha256(log[: made.bytes]).digest()
        assert made.counts.total() + made.behind == len(left)


def test_a_line_whose_copies_differ_ends_what_is_known():
    log = b"".join(OK % (n, b"g") + b"\n" for n in range(5))
    every = stored(log)
    altered = every[2]._replace(raw=b"x" + every[2].raw[1:])
    made = record([*every[:3], altered, *every[3:]], COMBINED)
    assert made.bytes == every[2].offset
    assert (made.counts.total(), made.behind) == (2, 3)


def test_a_line_in_both_stores_was_reprocessed_and_counts_as_valid():
    line = stored(OK % (1, b"g") + b"\n")[0]
    rejected = line._replace(store=QUARANTINE, day="-")
    made = record([line, line, rejected], COMBINED)
    assert dict(made.counts) == {("2015-05-18", ""): 1}
    assert list(made.reprocessed) == [0]


@pytest.mark.parametrize(
    ("raw", "form", "reason"),
    [
        (b"", COMBINED, "blank"),
        (b"x" * (MAX_LINE_BYTES + 1), COMBINED, "too-long"),
        (OK % (1, b"g"), COMMON, "other-format"),
        (OK % (1, b"g"), COMBINED, "other-format"),
        (b"www:80 " + OK % (1, b"g"), VHOST_COMBINED, "other-format"),
        (OK.replace(b"18/May", b"31/Feb") % (1, b"g"), COMBINED, "impossible-time"),
    ],
)
def test_the_reason_of_a_reject(raw, form, reason):
    made = record([Stored(QUARANTINE, SERVER, FILE, 0, "-", raw)], form)
    assert dict(made.counts) == {("-", reason): 1}


def test_a_restored_ledger_knows_the_log_and_each_of_its_line_ends(tmp_path):
    log = b"".join(OK % (n % 60, b"%d" % n) + b"\n" for n in range(10_000))
    made = record(stored(log), COMBINED)
    known = LogFile(SERVER, FILE, "/gone", made.bytes, made.digest.hexdigest(), made.open_tail)
    digest, stop = hashlib.sha256(), 0
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.restore(known, made.counts, made.checksums.rows(), made.reprocessed)
        assert ledger.files() == [known]
        assert ledger.totals(SERVER).total() == 10_000
        for number, piece in enumerate(list(BytesIO(log))[:-1]):
            digest.update(piece)
            stop += len(piece)
            if number % 999 == 0:
                assert ledger.has_checksum(known, stop, line_end_checksum(digest))
