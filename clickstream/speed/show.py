"""The speed layer's state, as lines for a terminal."""

import datetime
from typing import Any

from clickstream.speed.progress import Status
from clickstream.text import printable

BOOKS = ("rows", "copies", "set_aside", "skipped")


def live_line(status: Status) -> str:
    """One batch in one line."""
    if status.batch is None:
        return "waiting for lines"
    totals = [f"{book.replace('_', ' ')} {_total(status, book)}" for book in BOOKS]
    clocks = [f"{name} {moment(each['latest'])}" for name, each in status.servers.items()]
    head = [
        f"batch {status.batch}",
        f"{status.rows} rows in {status.batch_ms} ms",
        f"behind {status.behind}",
    ]
    return printable("  ".join([*head, *totals, *sorted(clocks)]))


def report_text(report: dict[str, Any]) -> str:
    """`speed status` as text: a line on the driver, one on the views, one per server."""
    driver = f"runs, pid {report['pid']}" if report["running"] else "not running"
    batch = "no batch yet" if report["batch"] is None else f"last batch {report['batch']}"
    lines = [f"speed: {driver}", f"views: {batch}"]
    for name, each in sorted(report["servers"].items()):
        books = ", ".join(f"{each[book]} {book.replace('_', ' ')}" for book in BOOKS)
        lines.append(f"  {name}: {books}; latest {moment(each['latest'])}")
    return printable("\n".join(lines))


def moment(second: int) -> str:
    """An epoch second as ISO UTC; `-` for none."""
    if not second:
        return "-"
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _total(status: Status, book: str) -> int:
    return sum(each[book] for each in status.servers.values())
