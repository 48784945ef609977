"""`clickstream config ...`: parse, call, print."""

from typing import Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The configuration in force.\n\nExample: clickstream config show",
)


@app.command()
def show(
    form: Annotated[
        Literal["table", "json", "csv"], typer.Option("--format", help="How rows are printed.")
    ] = "table",
) -> None:
    """Every key, its value, and where it came from; passwords are masked.

    Example: clickstream --set kafka.topic=clicks config show
    """
    from clickstream import config
    from clickstream.console import output

    settings = options.settings()
    rows = [each._asdict() for each in config.shown(settings)]
    footer = f"file: {settings.origin.file or 'none'}"
    output.show(rows, config.Shown._fields, form, footer=footer)
