"""`clickstream status`: parse, call, print."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clickstream.console import options

if TYPE_CHECKING:
    from clickstream.status.collector import Collector, Status

INTERVAL_S = 1.0


def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 where something is wrong, and say what.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again each second until Ctrl-C; json: a line each.")
    ] = False,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
) -> None:
    """Everything on one screen: the services, and the way of a line with its lag at each stage.

    Wrong is what should work and does not, or lines that wait where nobody takes them; due is work
    to be done. What does not answer within two seconds (ten with --check) is left out, and said.

    Example: clickstream status --check
    """
    from clickstream.errors import ClickstreamError, UsageError
    from clickstream.status.collector import CERTAIN_S, DEADLINE_S, Collector

    if check and watch:
        raise UsageError("choose one of --check and --watch")
    collector = Collector(options.settings())
    if watch:
        _watch(collector, form)
        return
    found = collector.collect(CERTAIN_S if check else DEADLINE_S)
    typer.echo(_text(found, form), nl=False)
    if check and found.wrong:
        first = found.wrong[0].problem
        raise ClickstreamError(first.text, first.hint)


def _watch(collector: "Collector", form: str) -> None:
    """Ask again each second: a table in place of the one before on a terminal, else behind it."""
    if form == "table" and sys.stdout.isatty():
        from rich.text import Text

        from clickstream.console import live

        with live.display(sys.stdout, transient=False) as display:
            for found in _repeated(collector):
                page = _text(found, form)
                display.show(page, Text(page))
    for found in _repeated(collector):
        print(_text(found, form), end="", flush=True)


def _repeated(collector: "Collector") -> Iterator["Status"]:
    while True:
        began = time.monotonic()
        yield collector.collect()
        time.sleep(max(0.0, began + INTERVAL_S - time.monotonic()))


def _text(found: "Status", form: str) -> str:
    from clickstream.console import output
    from clickstream.status import page

    return f"{output.json_line(found.as_dict())}\n" if form == "json" else page.text(found)
