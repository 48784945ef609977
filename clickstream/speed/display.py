"""The speed layer's state: as it changes, and once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clickstream.console import live
from clickstream.console.escape import printable
from clickstream.speed.driver_status import Status, moment

if TYPE_CHECKING:
    from rich.console import Group

LINE_COUNTS = ("rows", "copies", "set_aside", "skipped")
STARTING = "starting"

Watcher = Callable[[Status | None], None]


@contextmanager
def shown() -> Iterator[Watcher]:
    """A function that shows the status on stdout; None is a driver that has not reported yet."""
    with live.display(sys.stdout, transient=False) as display:
        yield watcher(display)


def watcher(display: live.Display) -> Watcher:
    """A function that shows the status, and off a terminal each new notice at once."""
    noted = ""

    def watch(status: Status | None) -> None:
        nonlocal noted
        picture = _picture(status)
        display.show(live_line(status) if status else STARTING, picture)
        if status and status.notice not in ("", noted):
            noted = status.notice
            display.show(f"note: {noted}", picture, now=True)

    return watch


def live_line(status: Status) -> str:
    """The status in one line."""
    if status.batch is None and not status.waiting_since:
        return "waiting for lines"
    totals = [f"{name.replace('_', ' ')} {_total(status, name)}" for name in LINE_COUNTS]
    clocks = [f"{name} {moment(each['latest'])}" for name, each in status.servers.items()]
    return printable("  ".join([*_head(status), *totals, *sorted(clocks)]))


def report_text(report: dict[str, Any]) -> str:
    """`speed status` as text: a line on the driver, one on the views, one per server."""
    driver = f"runs, pid {report['pid']}" if report["running"] else "not running"
    complaint = f"; {report['complaint']}" if report["complaint"] else ""
    batch = "no batch yet" if report["batch"] is None else f"last batch {report['batch']}"
    lines = [f"speed: {driver}{complaint}", f"views: {batch}"]
    if report["behind"] is not None:
        lines.append(
            f"stream: {report['rows_per_s']:.0f} rows/s, batch of {report['batch_ms']} ms,"
            f" {report['behind']} behind, {report['alerts']} open alerts"
        )
    elif report["running"]:
        lines.append("stream: no batch since it was started")
    if report["notice"]:
        lines.append(f"note: {report['notice']}")
    lines += [f"note: {note}" for note in report["notes"]]
    for name, each in sorted(report["servers"].items()):
        line_counts = ", ".join(f"{each[name]} {name.replace('_', ' ')}" for name in LINE_COUNTS)
        lines.append(f"  {name}: {line_counts}; latest {moment(each['latest'])}")
    return printable("\n".join(lines))


def _picture(status: Status | None) -> "Group | str":
    if status is None:
        return STARTING
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("server", *LINE_COUNTS, "latest"):
        table.add_column(name.replace("_", " "), justify="right" if name in LINE_COUNTS else "left")
    for name, each in sorted(status.servers.items()):
        cells = [name, *(str(each[name]) for name in LINE_COUNTS), moment(each["latest"])]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    notice = [Text(f"note: {printable(status.notice)}")] if status.notice else []
    return Group(Text("  ".join(_head(status))), table, *notice)


def _head(status: Status) -> list[str]:
    if status.waiting_since:
        return [f"waiting for Cassandra since {moment(int(status.waiting_since))}"]
    if status.batch is None:
        return ["waiting for lines"]
    return [
        f"batch {status.batch}",
        f"{status.rows} rows in {status.batch_ms} ms",
        f"{status.rows_per_s:.0f} rows/s",
        f"behind {status.behind}",
        f"open alerts {status.alerts}",
    ]


def _total(status: Status, name: str) -> int:
    return sum(each[name] for each in status.servers.values())
