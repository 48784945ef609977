"""The files of the jobs' SQL: each has its heading and its job, and only what is ours is put in."""

from pathlib import Path

import pytest

import clickstream
from clickstream.spark import sql

PACKAGE = Path(clickstream.__file__).parent
FILES = sorted(PACKAGE.rglob("*.sql"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_query_says_what_it_is_for_and_is_asked_by_a_job_beside_it(path):
    first, second = path.read_text().split("\n")[:2]
    assert first.startswith("-- ")
    assert second.startswith("--")
    assert any(f'"{path.stem}"' in job.read_text() for job in path.parent.glob("*.py"))


def test_what_is_to_be_put_in_is_put_in_and_nothing_else_is_taken():
    assert "at div 7)" in sql.query("clickstream.batch", "copies", chunk=7)
    with pytest.raises(KeyError, match="chunk"):
        sql.query("clickstream.batch", "copies")
    with pytest.raises(ValueError, match="has no place for day, lines"):
        sql.query("clickstream.batch", "copies", chunk=7, lines="x", day="y")


def test_every_query_was_found():
    assert {"day_counts", "parse", "count", "stored_copies", "evidence"} <= {
        path.stem for path in FILES
    }
