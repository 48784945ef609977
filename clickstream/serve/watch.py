"""A real-time report that is repeated each second: in place on a terminal, else one by one.

It ends by Ctrl-C, with the exit code that Ctrl-C has everywhere.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clickstream.console import live, output
from clickstream.errors import NoData, UsageError
from clickstream.serve.reports import COLUMNS, Answer, Question, from_realtime

if TYPE_CHECKING:
    from clickstream.config import Settings

INTERVAL_S = 1.0


def answers(settings: "Settings", report: str, question: Question) -> Iterator[Answer]:
    """The report as of each second, over one connection, without end.

    Before there is data, answers without rows that say so. Raises NotRunning where the database
    cannot be reached.
    """
    from clickstream.views.realtime import RealTime

    with RealTime.connect(settings, reader=True) as views:
        while True:
            began = time.monotonic()
            try:
                answer = from_realtime(views, report, question)
            except NoData as nothing:
                answer = Answer([], COLUMNS[report], "", nothing.message)
            yield answer
            time.sleep(max(0.0, began + INTERVAL_S - time.monotonic()))


def show(answers: Iterator[Answer], form: output.Format) -> None:
    """Print each answer: json as an array on one line; a table in place of the one before on a
    terminal, else behind it. Raises UsageError for csv, which has no way to hold several.
    """
    if form == "csv":
        raise UsageError("--watch prints tables or json", "--format json: an array on each line")
    if form == "json":
        for answer in answers:
            print(_text(answer, "json").replace("\n ", " "), end="", flush=True)
    elif sys.stdout.isatty():
        _in_place(answers)
    else:
        for answer in answers:
            print(_text(answer, "table"), flush=True)


def _in_place(answers: Iterator[Answer]) -> None:
    from rich.text import Text

    with live.display(sys.stdout, transient=False) as display:
        for answer in answers:
            page = _text(answer, "table", shutil.get_terminal_size().columns)
            display.show(answer.layer, Text.from_ansi(page))


def _text(answer: Answer, form: output.Format, width: int | None = None) -> str:
    rows, columns = answer.rows, answer.columns
    return output.text(rows, columns, form, bar=answer.bar, footer=answer.footer, width=width)
