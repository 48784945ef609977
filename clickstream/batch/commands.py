"""`clickstream batch ...`: parse, compute, print."""

from typing import Annotated

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The batch layer: exact figures per day.\n\nExample: clickstream batch run",
)

SUMMARY = ("date", "lines", "copies", "unique_visitors", "files", "seconds", "final")
STATUS = ("date", "state", "final", "lines", "copies", "rejects", "finished", "why")


@app.command()
def run(
    date: Annotated[
        str | None, typer.Option("--date", help="One day, or yesterday (UTC), or latest.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Every day of the master dataset.")] = False,
    every: Annotated[
        str | None,
        typer.Option("--every", help="Run again and again: 90s, 5m, 1h. Ctrl-C ends it."),
    ] = None,
    conf: options.Conf = None,
    form: options.Form = "table",
) -> None:
    """Count days again from the closed files of the master dataset; alone: missing and dirty days.

    Each day's figures are replaced in one transaction: any day, in any order, any number of times.
    With --every a run that fails is reported, and tried again at the next turn.

    Example: clickstream batch run --date 2015-05-18
    """
    from clickstream.batch import run as batch
    from clickstream.console import output
    from clickstream.days import DaySelection, seconds

    selection = DaySelection.for_batch(date, first, last, whole)
    settings = options.settings(conf)

    def turn() -> None:
        days, notes = batch.resolved(settings, selection)
        for note in notes:
            typer.echo(note, err=True)
        with options.stages(form) as watch:
            rows = batch.run(settings, days, watch)
        if not rows:
            typer.echo("nothing to do: every chosen day is up to date", err=True)
        if rows or form != "table":
            output.show(rows, SUMMARY, form)

    if every is None:
        turn()
    else:
        batch.repeat(turn, seconds("--every", every), options.report_error)


@app.command()
def status(form: options.Form = "table") -> None:
    """The state of each day: fresh, dirty (and why), missing, gone or pruned; whether it is final.

    Example: clickstream batch status
    """
    from clickstream.batch import run as batch
    from clickstream.console import output

    output.show(batch.status(options.settings()), STATUS, form)


@app.command()
def drop(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove every table of the batch views; `batch run --all` computes them again.

    Example: clickstream batch drop
    """
    from clickstream.views import batch

    settings = options.settings()
    if not yes:
        typer.confirm("Remove the batch views?", abort=True)
    batch.drop(settings)
