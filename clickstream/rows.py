"""Rows: what views, reports and audits hand on, and `console.output` prints."""

from typing import Any

Row = dict[str, Any]
"""Each column's name and its value."""
Rows = list[Row]

ALL = "all"
"""In the column of a server, file or day: all of them together. No server may have this name."""
