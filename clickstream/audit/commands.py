"""`clickstream audit`: parse, call, print."""

from typing import Annotated

import typer

from clickstream.console import options


def audit(
    server: Annotated[str | None, typer.Option(help="One server; all by default.")] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="One day, or yesterday (UTC), or latest.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    conf: options.Conf = None,
    form: options.Form = "table",
) -> None:
    """Account for every line of every spooled log: source, ledger, Kafka, master dataset,
    quarantine, batch views, and the extra copies in each. Exit code 1 on a mismatch.

    Run it after `ingest replay --wait`: what is on its way is reported as in flight.

    Example: clickstream audit --server weblog1
    """
    from clickstream.audit import collect as audits
    from clickstream.audit import reconcile
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.days import DaySelection
    from clickstream.errors import ClickstreamError

    selection = DaySelection.for_batch(date, first, last, False)
    if selection.yesterday_hint():
        typer.echo(selection.yesterday_hint(), err=True)
    with options.stages(form) as watch:
        done = audits.audit(options.settings(conf), selection, server, watch)
    output.show(done.rows, reconcile.TABLE if form == "table" else reconcile.COLUMNS, form)
    for note in done.notes:
        typer.echo(f"Note: {printable(note)}", err=True)
    for problem in done.problems:
        typer.echo(printable(problem), err=True)
    if number := len(done.problems):
        raise ClickstreamError(
            f"audit failed: {number} mismatch{'es' * (number > 1)}",
            "the offsets above are bytes of the logs; what runs: clickstream ingest status",
        )
