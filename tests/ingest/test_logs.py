"""A log's bytes: lines, gzip, and being known again."""

import gzip
import io
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.errors import BadInput
from clickstream.ingest.spool import logs
from clickstream.weblog import MAX_LINE_BYTES


def opener(content):
    return lambda: nullcontext(io.BytesIO(content))


@given(st.lists(st.binary(max_size=20).filter(lambda raw: b"\n" not in raw)), st.booleans())
def test_lines_cover_every_byte(parts, ended):
    content = b"\n".join(parts) + (b"\n" if ended else b"")
    found = list(logs.lines(io.BytesIO(content), 7))
    assert b"".join(content[line.offset - 7 : line.stop - 7] for line in found) == content
    expected = content.split(b"\n")
    last = expected.pop()
    raws = [raw.removesuffix(b"\r") for raw in expected] + ([last] if last else [])
    assert [line.raw for line in found] == raws


def test_line_ends():
    found = [line.raw for line in logs.lines(io.BytesIO(b"a\r\nb\r\r\nc\rd\n\n\r\ne\r"))]
    assert found == [b"a", b"b\r", b"c\rd", b"", b"", b"e\r"]


def test_only_a_last_line_is_unterminated():
    assert [line.terminated for line in logs.lines(io.BytesIO(b"a\nb"))] == [True, False]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_longest_line_and_one_more(end):
    whole, more = b"x" * MAX_LINE_BYTES, b"y" * (MAX_LINE_BYTES + 1)
    found = list(logs.lines(io.BytesIO(whole + b"\r\n" + more + end)))
    assert found[0].raw == whole
    assert found[0].big is None
    assert found[1].big.read() == more
    assert found[1].stop == len(whole) + 2 + len(more) + len(end)


def test_a_line_after_a_huge_one_is_found():
    content = b"z" * 1_500_000 + b"\nnext\n"
    huge, after = logs.lines(io.BytesIO(content))
    assert huge.big is not None
    assert (after.raw, after.offset) == (b"next", 1_500_001)


def test_gzip_of_several_members_reads_as_one():
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    with logs.plain(opener(packed), "log.gz") as stream:
        assert stream.read() == b"one\ntwo\n"


def test_a_cut_gzip_is_refused():
    packed = gzip.compress(bytes(range(256)) * 100)[:-20]
    with (
        pytest.raises(BadInput, match=r"log\.gz is a gzip file that is cut off"),
        logs.plain(opener(packed), "log.gz") as stream,
    ):
        stream.read()


def test_a_log_that_begins_like_another_gets_another_name():
    head = b"a" * 5000
    first = logs.file_id("weblog1", head + b"old", set())
    assert logs.file_id("weblog1", head + b"new", set()) == first
    assert logs.file_id("weblog2", head, set()) != first
    second = logs.file_id("weblog1", head, {first})
    assert second not in ("", first)
    assert logs.file_id("weblog1", head, {first, second}) not in (first, second)
