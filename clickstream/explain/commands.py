"""`clickstream explain ...`: parse, call, print."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App

if TYPE_CHECKING:
    from clickstream.explain.figure import Figure
    from clickstream.explain.line import Explanation

app = App(
    help="Why is it so? A line, its way through the stores, or a figure of a report.\n\n"
    "Example: clickstream explain line 'a line of a log' --server weblog1",
)

Form = Annotated[
    Literal["table", "json"], typer.Option("--format", help="How it is printed; json: an object.")
]


@app.command()
def line(
    raw: Annotated[
        str, typer.Argument(metavar="LINE", help="A line of a log, in quotes; - reads them.")
    ],
    server: Annotated[str | None, typer.Option(help="The web server that wrote it.")] = None,
    form: Form = "table",
) -> None:
    """How a log line is read: its fields, verdict, times, category, and the counts it enters.

    With - each line of the standard input is explained; json is then an object on each line.

    Example: clickstream explain line 'h - - [18/May/2015:09:05:59 +0200] "GET / HTTP/1.1" 200 1'
    """
    from clickstream.console import output
    from clickstream.explain import line as lines

    settings = options.settings()
    for number, each in enumerate(_given(raw)):
        found = lines.explain(settings, each, server)
        if form == "json":
            typer.echo(output.json_line(found.as_dict()))
        else:
            typer.echo("\n" * bool(number), nl=False)
            _show_line(found)


@app.command("id")
def id_(
    name: Annotated[str, typer.Argument(metavar="ID", help="As v1:server:file:offset.")],
    form: Form = "table",
) -> None:
    """A line's way through ledger, spool, channels, topic, files, batch views and speed layer.

    Its server's partition of the topic, and the files of its day, are read from end to end. A stage
    that cannot be asked says so.

    Example: clickstream explain id v1:weblog1:0123456789abcdef:1234
    """
    from clickstream.console import output
    from clickstream.explain import identity

    settings, wanted = options.settings(), identity.parse(name)
    with options.stages(form) as watch:
        way = identity.trace(settings, wanted, watch)
    if form == "json":
        typer.echo(output.json_line(way.as_dict()))
        return
    if way.raw is not None:
        typer.echo(way.raw)
    if way.line is not None:
        reason = way.line.reason and f": {way.line.reason}, {way.line.why}"
        typer.echo(f"{'invalid' if reason else 'valid'}{reason}; {way.line.instant or 'no time'}")
    rows = [stage._asdict() for stage in way.stages]
    output.show(rows, identity.STAGES, "table")


@app.command()
def report(
    name: Annotated[
        Literal["hourly", "responses", "categories", "popularity", "visitors"],
        typer.Argument(metavar="REPORT", help="Which report the figure is of."),
    ],
    date: Annotated[str | None, typer.Option("--date", help="The day of the figure.")] = None,
    hour: Annotated[int | None, typer.Option(min=0, max=23, help="The hour (hourly).")] = None,
    server: Annotated[str, typer.Option(help="One server's name, or all.")] = "all",
    category: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="As the report shows it (categories, popularity)."),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="End of the window (popularity).")] = None,
    lines: Annotated[
        int, typer.Option(min=0, help="So many of the lines behind it, by a Spark job.")
    ] = 0,
    conf: options.Conf = None,
    form: Form = "table",
) -> None:
    """A figure of a report: which layer counted which minutes of it, up to where, and the sum.

    With --lines the first lines behind it, each with its id, from the master dataset.

    Example: clickstream explain report hourly --date 2015-05-18 --hour 14 --server weblog1
    """
    from clickstream.console import output
    from clickstream.explain import figure

    asked = figure.Asked(name, date, server, hour, category, at)
    with options.stages(form) as watch:
        found = figure.explain(options.settings(conf), asked, lines, watch)
    if form == "json":
        typer.echo(output.json_line(found.as_dict()))
    else:
        _show_figure(found)


def _show_figure(found: "Figure") -> None:
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.explain.figure import LINES, PARTS

    answer, asked = found.answer, found.asked
    said = {"hour": asked.hour, "server": asked.server, "category": asked.category}
    named = (f"{key} {value}" for key, value in said.items() if value is not None)
    typer.echo(printable(" ".join([asked.report, asked.date or "", *named]).replace("  ", " ")))
    output.show(answer.rows, answer.columns, "table", footer=answer.footer)
    output.show(found.parts, PARTS, "table", footer=f"sum: {found.sum:,} requests")
    if found.lines is not None:
        number = f"{found.lines.found:,} distinct lines of {found.lines.visitors:,} visitors"
        where = "in closed files of the master dataset"
        output.show(found.lines.rows, LINES, "table", footer=f"{number} {where}")


def _given(raw: str) -> Iterator[bytes]:
    """The lines without their ends: the argument's, or those of the standard input."""
    if raw != "-":
        yield os.fsencode(raw).removesuffix(b"\n").removesuffix(b"\r")
        return
    for piece in sys.stdin.buffer:
        yield piece.removesuffix(b"\n").removesuffix(b"\r")


def _show_line(found: "Explanation") -> None:
    from clickstream.console import output
    from clickstream.explain.line import COUNTS

    explained = found.as_dict()
    names = ("server", "format", "verdict", "reason", "why", "instant", "printed", "category")
    rows = [{"field": key, "value": str(explained[key])} for key in names if explained[key]]
    if found.reason and found.valid_as:
        rows.append({"field": "valid as", "value": ", ".join(found.valid_as)})
    rows += [{"field": f"  {key}", "value": value} for key, value in found.fields.items()]
    output.show(rows, ("field", "value"), "table")
    if found.counts:
        output.show(found.counts, COUNTS, "table")
    else:
        typer.echo("It enters no count: an invalid line is kept in the quarantine.")
