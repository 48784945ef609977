"""Rows: what views, reports and audits hand on, and `console.output` prints."""

from typing import Any, NamedTuple

Row = dict[str, Any]
"""Each column's name and its value."""
Rows = list[Row]

ALL = "all"
"""In the column of a server, file or day: all of them together. No server may have this name."""


class Traffic(NamedTuple):
    """Requests of a server, or of `all`, in a stretch of the clock as printed, by either layer.

    `slot` is a minute (HH:MM) or an hour (0 to 23) of the day, None for the whole of it.
    """

    date: str
    server: str
    slot: str | int | None
    success: int
    failure: int
    other: int
    requests: int
