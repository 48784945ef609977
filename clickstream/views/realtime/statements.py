"""Rows to be written, and the statements in which they go to Cassandra together."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cassandra.query import BatchStatement, BatchType, PreparedStatement

MAX_CHARS = 1_000_000
MAX_ROWS = 300


class Row(NamedTuple):
    """One row's statement: `partition` says which rows go to the same partition."""

    cql: str
    partition: object
    values: tuple[Any, ...]


def of(
    rows: Iterable[Row], prepared: Callable[[str], PreparedStatement]
) -> Iterator[BatchStatement]:
    """The rows of one partition together, in as few statements as are taken."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.partition, []).append(row)
    for group in groups.values():
        for chunk in _chunks(group):
            statement = BatchStatement(BatchType.UNLOGGED)
            for row in chunk:
                statement.add(prepared(row.cql), row.values)
            statement.is_idempotent = True
            yield statement


def _chunks(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows of one partition in groups that stay far below Cassandra's largest mutation."""
    chunk: list[Row] = []
    chars = 0
    for row in rows:
        size = sum(len(value) for value in row.values if isinstance(value, str))
        if chunk and (chars + size > MAX_CHARS or len(chunk) == MAX_ROWS):
            yield chunk
            chunk, chars = [], 0
        chunk.append(row)
        chars += size
    yield chunk
