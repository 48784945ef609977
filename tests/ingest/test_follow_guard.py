"""A followed log is judged as one that is put: by its first lines, and then by its last ones."""

import pytest

from clickstream.errors import BadInput
from clickstream.ingest.follow import guard, record
from tests.cases import log, needs_cases
from tests.ingest.test_follow import SERVER, Home

GOOD = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET /%d HTTP/1.1" 200 1\n'


def good(number):
    return b"".join(GOOD % n for n in range(number))


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    made.end()


def append(home, content):
    with home.path.open("ab") as file:
        file.write(content)


@needs_cases
def test_a_log_of_another_format_is_refused_before_a_line_is_taken(home):
    append(home, log("live-vhost").read_bytes())
    home.begin()
    with pytest.raises(BadInput) as caught:
        home.settle()
    assert "format" in caught.value.hint
    assert home.spooled() == []
    home.end()
    (reported,) = record.problems(home.settings)
    assert caught.value.message in reported


def test_a_log_without_a_valid_line_is_refused_with_the_reason(home):
    append(home, b"junk\n" * 10)
    home.begin()
    with pytest.raises(BadInput, match=r"10 of the 10 lines .* not-a-log-line, .*; byte 0: junk"):
        home.settle()
    assert home.spooled() == []


def test_a_kind_that_is_no_text_is_refused_by_name(home):
    append(home, good(20).decode().encode("utf-16"))
    home.begin()
    with pytest.raises(BadInput, match="is UTF-16 text"):
        home.settle()
    home.end()
    assert "is UTF-16 text" in record.problems(home.settings)[0]


def test_a_log_that_is_right_again_is_admitted_from_its_start(home):
    append(home, b"junk\n" * 10)
    home.begin()
    with pytest.raises(BadInput):
        home.settle()
    home.path.write_bytes(good(12))
    home.begin()
    home.settle()
    assert len(home.spooled()) == 12
    home.end()
    assert record.problems(home.settings) == []


def test_too_few_lines_to_judge_are_taken_and_told(home):
    append(home, b"junk\n" * 3)
    home.begin()
    home.settle()
    assert home.messages == [
        f"{home.path}: 3 of the last 3 lines are not valid combined lines (not-a-log-line 3)"
    ]
    append(home, b"junk\n" * 3)
    home.settle()
    assert len(home.messages) == 1
    home.end()
    assert record.problems(home.settings) == [
        f"follow of {SERVER}: {home.path}: 6 of the last 6 lines are not valid combined lines"
        " (not-a-log-line 6)"
    ]


def test_a_format_that_changes_amid_a_log_is_reported_and_so_is_its_end(home):
    append(home, good(5000))
    home.begin()
    home.settle()
    append(home, b"junk\n" * 499)
    home.settle()
    assert home.messages == []
    append(home, b"junk\n" * 600)
    home.settle()
    assert "of the last 1," in home.messages[-1]
    append(home, good(1100))
    home.settle()
    assert home.messages[-1] == f"{home.path}: the last lines are valid again"
    home.end()
    assert record.problems(home.settings) == []


@pytest.mark.parametrize("junk", [400, 700])
def test_of_a_large_chunk_its_end_counts(home, junk):
    append(home, good(4000) + b"junk\n" * junk)
    home.begin()
    home.settle()
    assert bool(home.messages) == (junk > guard.LAST_LINES / 2)
    if home.messages:
        assert "700 of the last 1,000 lines" in home.messages[0]


def test_what_put_takes_is_taken(home):
    append(home, good(6) + b"junk\n" * 6)
    home.begin()
    home.settle()
    assert len(home.spooled()) == 12
