"""`clickstream ingest ledger ...`: parse, call, print."""

from typing import Annotated

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The ledger: what was spooled, line by line."
    "\n\nExample: clickstream ingest ledger rebuild",
)


@app.command()
def publish() -> None:
    """Write the line counts (valid lines by log and day) beside the batch views.

    `batch run` does so itself in the home that holds the ledger. On a web host with a ledger of its
    own this shows the batch layer which days are final.

    Example: clickstream ingest ledger publish
    """
    from clickstream.views import batch

    settings = options.settings()
    with batch.BatchViews.connect(settings) as views:
        counts = batch.publish(settings, views)
    days = {each.date for each in counts if each.valid_lines}
    typer.echo(f"{sum(each.valid_lines for each in counts)} valid lines of {len(days)} days")


@app.command()
def rebuild(
    server: Annotated[
        list[str] | None, typer.Option(help="A server of this home; all by default.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    conf: options.Conf = None,
    form: options.Form = "table",
) -> None:
    """Recreate the ledger from the master dataset and the quarantine, where it is lost.

    This home then accounts for the master dataset. The old ledger is kept beside the new one.

    Example: clickstream ingest ledger rebuild --yes
    """
    from clickstream.console import output
    from clickstream.ingest.ledger_rebuild import rebuild as rebuilds

    settings = options.settings(conf)
    if not yes:
        typer.confirm(f"Recreate the ledger of {settings.home}?", abort=True)
    with options.stages(form) as watch:
        rows = rebuilds.rebuild(settings, server or [], watch)
    output.show(rows, rebuilds.COLUMNS, form)
    for row in rows:
        if row["behind"]:
            typer.echo(
                f"Note: {row['server']} {row['file']} is known up to byte {row['bytes']}, where a"
                f" line is missing or damaged; {row['behind']} lines behind it come again when"
                " their log is replayed, under the same ids (copies, counted once)",
                err=True,
            )
