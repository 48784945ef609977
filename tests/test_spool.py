"""Drafts and the spooling directory."""

import io
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clickstream.ingest.logs import Hashed
from clickstream.ingest.spool import Limits, Spool, drafts
from clickstream.ledger import VALID, Chunk
from clickstream.weblog import MAX_LINE_BYTES, stamp

GOOD = b'1.2.3.4 - - [18/May/2015:09:05:%02d +0000] "GET / HTTP/1.1" 200 1'
FILE = "0123456789abcdef"
ANY = Limits(10**9, 10**9)


def cut(content, limits=ANY, offset=0):
    return list(drafts(io.BytesIO(content), "weblog1", FILE, offset, limits))


def test_every_line_is_stamped_with_its_offset():
    content = GOOD % 1 + b"\r\n\n" + GOOD % 2
    (draft,) = cut(content, offset=10)
    second = 10 + len(GOOD % 1) + 2
    assert bytes(draft.body) == b"".join(
        stamp("weblog1", FILE, offset, raw) + b"\n"
        for offset, raw in ((10, GOOD % 1), (second, b""), (second + 1, GOOD % 2))
    )
    assert draft.counts == {("2015-05-18", VALID): 2, ("-", "blank"): 1}
    assert (draft.start, draft.stop, draft.open_tail) == (10, 10 + len(content), True)


@given(st.integers(1, 5), st.integers(1, 400), st.integers(0, 20))
def test_limits_never_change_the_lines(lines, size, span):
    content = b"".join(GOOD % (i % 60) + b"\n" for i in range(20)) + b"tail"
    whole = cut(content)[0]
    pieces = cut(content, Limits(lines, size, span))
    assert b"".join(piece.body for piece in pieces) == bytes(whole.body)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert sum((piece.counts for piece in pieces), Counter()) == whole.counts
    assert all(piece.counts.total() <= lines for piece in pieces)


def test_a_draft_is_yielded_before_more_is_read():
    import hashlib

    content = GOOD % 1 + b"\n" + GOOD % 2 + b"\n"
    hashed = Hashed(io.BytesIO(content), hashlib.sha256())
    for draft in drafts(hashed, "weblog1", FILE, 0, Limits(1, 10**6)):
        assert hashed.digest.hexdigest() == hashlib.sha256(content[: draft.stop]).hexdigest()


def test_event_time_never_goes_back():
    content = GOOD % 30 + b"\n" + GOOD % 10 + b"\n" + GOOD % 40 + b"\n"
    found = [(draft.first, draft.last) for draft in cut(content, Limits(1, 10**6))]
    assert found == [(1431939930, 1431939930), (1431939930, 1431939930), (1431939930, 1431939940)]


def test_a_line_too_long_never_reaches_an_agent():
    content = b"x" * (MAX_LINE_BYTES + 1) + b"\n" + GOOD % 1 + b"\n"
    (draft,) = cut(content)
    assert draft.counts["-", "too-long"] == 1
    assert b"xxx" not in draft.body
    assert [(offset, big.read()) for offset, big in draft.big] == [(0, b"x" * (MAX_LINE_BYTES + 1))]


def test_a_chunk_appears_whole_and_behind_its_predecessors(tmp_path):
    spool = Spool(tmp_path / "weblog1")
    spool.make()
    chunks = [Chunk(seq, "weblog1", FILE, 0, 1, 1, "planned") for seq in (2, 1)]
    for chunk in chunks:
        spool.place(chunk, b"line\n")
    oldest = min(spool.directory.iterdir(), key=lambda path: path.stat().st_mtime)
    assert oldest.name == chunks[1].name
    assert oldest.read_bytes() == b"line\n"
    assert spool.state(chunks[0]) == "waiting"


def test_what_the_agent_has_taken_is_removed(tmp_path):
    spool = Spool(tmp_path / "weblog1")
    spool.make()
    chunk = Chunk(1, "weblog1", FILE, 0, 1, 1, "spooled")
    spool.place(chunk, b"line\n")
    path = spool.directory / chunk.name
    path.rename(f"{path}.COMPLETED")
    assert spool.state(chunk) == "completed"
    spool.remove_completed(chunk)
    assert spool.state(chunk) == "absent"
