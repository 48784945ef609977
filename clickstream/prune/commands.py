"""`clickstream prune`: parse, ask, call, print."""

from typing import Annotated

import typer

from clickstream.console import options


def prune(
    before: Annotated[
        str, typer.Option("--before", help="The first day to keep; earlier ones go.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    form: options.Form = "table",
) -> None:
    """Remove the days before a day for good: from master dataset, quarantine and batch views.

    It first shows how much that is, and asks. The ledger still knows their logs, so nothing of them
    is read again; audit, prove and the batch layer call these days pruned. Real-time views go by
    cassandra.ttl_days, and the topic by its own retention.

    Example: clickstream prune --before 2015-05-18
    """
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.days import one_day
    from clickstream.prune import run

    settings, day = options.settings(), one_day("--before", before)
    with options.stages(form) as watch:
        todo = run.plan(settings, day, watch)
    if todo.is_empty:
        typer.echo(f"nothing to do: no store has anything before {day}", err=True)
    if not todo.is_empty or form != "table":
        output.show(todo.rows(), run.COLUMNS, form)
    if todo.is_empty:
        return
    for note in run.remaining(settings, day):
        typer.echo(f"Not removed: {printable(note)}", err=True)
    if not yes:
        typer.confirm(f"Remove {_named(todo.days)} for good?", abort=True, err=True)
    with options.stages(form) as watch:
        days = run.prune(settings, day, watch)
    typer.echo(f"removed {_named(days)}", err=True)


def _named(days: list[str]) -> str:
    """`2 days, 2015-05-17 to 2015-05-18`; lines without a day may be all there is."""
    if not days:
        return "rejected lines without a day"
    return f"{len(days)} days, {days[0]} to {days[-1]}" if len(days) > 1 else days[0]
