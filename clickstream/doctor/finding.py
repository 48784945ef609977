"""A finding: what was looked at, how it is, and what to do."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from clickstream.config import Settings

OK, WARNING, PROBLEM = "ok", "warning", "problem"
STATES = (OK, WARNING, PROBLEM)


class Finding(NamedTuple):
    """One line: a problem stops something or loses lines, a warning may one day."""

    state: str
    text: str
    hint: str = ""


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(OK, text)


def warning(text: str, hint: str) -> Finding:
    """It works, and may lose lines or time."""
    return Finding(WARNING, text, hint)


def problem(text: str, hint: str) -> Finding:
    """It does not work, or loses lines."""
    return Finding(PROBLEM, text, hint)


Check = Callable[[Settings], Iterable[Finding]]
"""Looks at one part and changes nothing; a ClickstreamError that it raises is its only finding."""
