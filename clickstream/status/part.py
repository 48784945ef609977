"""One part of the status: what it is, in one line and in rows, and what is wrong with it."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.rows import Row

NAMED = 3


class Problem(NamedTuple):
    """Something that somebody should see to, and what to do.

    `wrong`: something that should work does not, or lines wait where nobody takes them; else it
    is work that is due.
    """

    text: str
    hint: str = ""
    wrong: bool = True


class Part(NamedTuple):
    """`summary` is one line for a person; `rows` are flat, the same keys in each, for a program.

    `error` says why the part could not be read; `rows` are empty then.
    """

    summary: str
    rows: Sequence[Row] = ()
    problems: Sequence[Problem] = ()
    error: str = ""


Read = Callable[[Settings], Part]
"""Reads one part; a ClickstreamError that it raises becomes the part's `error`."""


def counted(number: int, noun: str) -> str:
    """`1 chunk`, `2,000 chunks`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def named(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = len(every) - NAMED
    return ", ".join(every[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def size(amount: int) -> str:
    """Bytes as `1.2 MB`."""
    return f"{amount / 1e6:,.1f} MB"
