"""Drafts and the spooling directory."""

import hashlib
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.ingest.spool.chunks import Chunker, Limits, Spool
from clickstream.ledger import CHECKSUM_BYTES, VALID, Chunk
from clickstream.weblog import COMBINED, MAX_LINE_BYTES, judge, stamp

GOOD = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET / HTTP/1.1" 200 1'
FILE = "0123456789abcdef"
ANY = Limits(10**9, 10**9)


def cut(content, limits=ANY, offset=0, accept_partial_line=True):
    chunker = Chunker("weblog1", FILE, COMBINED, hashlib.sha256())
    return list(
        chunker.chunks(io.BytesIO(content), offset, limits, accept_partial_line=accept_partial_line)
    )


def test_every_line_is_stamped_with_its_offset():
    content = GOOD % 1 + b"\r\n\n" + GOOD % 2
    (chunk,) = cut(content, offset=10)
    second = 10 + len(GOOD % 1) + 2
    assert bytes(chunk.body) == b"".join(
        stamp("weblog1", FILE, offset, raw) + b"\n"
        for offset, raw in ((10, GOOD % 1), (second, b""), (second + 1, GOOD % 2))
    )
    assert chunk.counts == {("2015-05-18", VALID): 2, ("-", "blank"): 1}
    assert (chunk.start, chunk.stop, chunk.open_tail) == (10, 10 + len(content), True)


@given(st.integers(1, 5), st.integers(1, 400), st.integers(0, 20))
def test_limits_never_change_the_lines(lines, size, span):
    content = b"".join(GOOD % (i % 60) + b"\n" for i in range(20)) + b"tail"
    whole = cut(content)[0]
    pieces = cut(content, Limits(lines, size, span))
    assert b"".join(piece.body for piece in pieces) == bytes(whole.body)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert sum((piece.counts for piece in pieces), Counter()) == whole.counts
    assert all(piece.counts.total() <= lines for piece in pieces)


KINDS = (
    GOOD,
    GOOD.replace(b"/ HTTP", b"/\\x16 HTTP"),
    GOOD.replace(b'1.1"', b'1.1\\"'),
    GOOD.replace(b"- - [", b"- a b ["),
    GOOD.replace(b"18/May", b"31/Feb"),
    GOOD.replace(b"18/May", b"17/May"),
    b"%d is no line",
)


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(1, 150), st.sampled_from([b"\n", b"\r\n"])),
        max_size=6,
    ),
    st.sampled_from([1, 7, 200, 10**9]),
    st.sampled_from([500, 10**9]),
    st.sampled_from([0, 3]),
)
def test_runs_of_any_lines_are_cut_as_one_by_one(runs, lines, size, span):
    every = [(kind % (i % 60), end) for kind, times, end in runs for i in range(times)]
    chunks = iter(cut(b"".join(raw + end for raw, end in every), Limits(lines, size, span)))
    total = sum(len(raw + end) for raw, end in every)
    chunk, at, first, last = None, 0, 0, 0
    for raw, end in every:
        if chunk is None:
            chunk, body, counts, first = next(chunks), b"", Counter(), last
            assert chunk.start == at
        verdict = judge(raw)
        body += stamp("weblog1", FILE, at, raw) + b"\n"
        counts[verdict.day or "-", verdict.reason or VALID] += 1
        at += len(raw + end)
        if verdict.reason is None:
            last = max(last, verdict.instant)
            first = first or last
        full = counts.total() == lines or len(body) >= size or last - first >= span > 0
        if full or at == total:
            assert chunk.stop == at
            assert (bytes(chunk.body), chunk.counts) == (body, counts)
            assert (chunk.first, chunk.last, chunk.open_tail) == (first, last, False)
            assert len(chunk.checksums) == counts.total() * CHECKSUM_BYTES
            chunk = None
    assert next(chunks, None) is None


def test_a_chunk_knows_the_digest_of_the_log_up_to_its_end():
    long = b"x" * (MAX_LINE_BYTES + 1)
    content = GOOD % 1 + b"\r\n" + long + b"\n" + GOOD % 2 + b"\n" + b"tail"
    for lines in (1, 2, 9):
        checksums = b""
        for chunk in cut(content, Limits(lines, 10**6)):
            assert chunk.digest == hashlib.sha256(content[: chunk.stop]).hexdigest()
            checksums += chunk.checksums
        ends = [at + 1 for at, byte in enumerate(content) if byte == 10]
        assert checksums == b"".join(
            hashlib.sha256(content[:end]).digest()[:CHECKSUM_BYTES] for end in ends
        )


def test_a_partial_line_is_left_out_unless_accepted():
    (chunk,) = cut(GOOD % 1 + b"\nta", accept_partial_line=False)
    assert (chunk.stop, chunk.counts.total()) == (len(GOOD % 1) + 1, 1)
    assert cut(b"ta", accept_partial_line=False) == []


def test_event_time_never_goes_back():
    content = GOOD % 30 + b"\n" + GOOD % 10 + b"\n" + GOOD % 40 + b"\n"
    found = [(chunk.first, chunk.last) for chunk in cut(content, Limits(1, 10**6))]
    assert found == [(1431939930, 1431939930), (1431939930, 1431939930), (1431939930, 1431939940)]


def test_a_line_too_long_never_reaches_an_agent():
    fits = (GOOD % 1).replace(b"- -", b"- " + b"x" * (MAX_LINE_BYTES + 1 - len(GOOD % 1)))
    long = fits.replace(b"- x", b"- xx")
    (chunk,) = cut(fits + b"\n" + long + b"\n" + GOOD % 1 + b"\n")
    assert chunk.counts == {("2015-05-18", VALID): 2, ("-", "too-long"): 1}
    assert bytes(chunk.body).count(b"\n") == 2
    assert [(offset, big.read()) for offset, big in chunk.big] == [(len(fits) + 1, long)]


@pytest.fixture
def spool(tmp_path):
    made = Spool(tmp_path / "weblog1")
    made.make()
    return made


def staged(spool, chunk, body=b"line\n"):
    spool.stage(chunk.file, chunk.start, chunk.stop, body)
    return chunk


def test_a_chunk_appears_whole_and_behind_its_predecessors(spool):
    chunks = [Chunk(seq, "weblog1", FILE, seq, seq + 1, 1) for seq in (2, 1)]
    for chunk in chunks:
        spool.keep(staged(spool, chunk))
    oldest = min(spool.directory.iterdir(), key=lambda path: path.stat().st_mtime)
    assert oldest.name == chunks[1].name
    assert oldest.read_bytes() == b"line\n"
    assert spool.state(chunks[0]) == "waiting"


def test_what_the_agent_has_taken_is_removed(spool):
    chunk = Chunk(1, "weblog1", FILE, 0, 1, 1)
    spool.keep(staged(spool, chunk))
    path = spool.directory / chunk.name
    path.rename(f"{path}.COMPLETED")
    assert spool.state(chunk) == "completed"
    spool.remove_completed(chunk)
    assert spool.state(chunk) == "absent"


def test_recovery_lets_planned_chunks_appear_and_removes_what_is_over(spool):
    planned = Chunk(1, "weblog1", FILE, 0, 1, 1)
    staged(spool, planned)
    staged(spool, Chunk(2, "weblog1", FILE, 1, 2, 1), b"never planned\n")
    over = spool.directory / f"{Chunk(3, 'weblog1', FILE, 2, 3, 1).name}.COMPLETED"
    over.write_bytes(b"")
    strange = spool.directory / "strange.COMPLETED"
    strange.write_bytes(b"")
    spool.recover([planned])
    assert {path.name for path in spool.directory.iterdir()} == {planned.name, strange.name}
    assert list(spool._staging.iterdir()) == []
    spool.recover([planned])
