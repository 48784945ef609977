"""`clickstream report all`: a day on one page: for a terminal, a ticket, or a browser.

It stands here, since the file is the dashboard's page.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clickstream.console import options
from clickstream.errors import UsageError
from clickstream.serve.commands import Compare


def all_(
    date: Annotated[
        str | None, typer.Option("--date", help="The day; by default the newest one.")
    ] = None,
    compare: Compare = None,
    form: Annotated[
        Literal["table", "json", "markdown", "html"],
        typer.Option(
            "--format", help="How it is printed; markdown for a ticket, html for a browser."
        ),
    ] = "table",
    to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where html is written.")
    ] = None,
    without_addresses: Annotated[
        bool, typer.Option("--without-addresses", help="Number the clients in html.")
    ] = False,
) -> None:
    """A day on one page: requests, visitors, responses, hours, categories, alerts and health.

    The day is as printed in the logs, for alerts and health the UTC day. A report that cannot be
    answered says why, and takes no other with it; json is an object with each report by its name,
    html the saved page of `clickstream dashboard`.

    Example: clickstream report all --compare previous
    """
    from clickstream.days import one_day

    if (form == "html") != (to is not None):
        raise UsageError("--format html and --output FILE go together")
    if without_addresses and not to:
        raise UsageError("--without-addresses is for --format html")
    if form == "html" and compare:
        raise UsageError("choose one of --format html and --compare")
    day = date and one_day("--date", date)
    if to:
        _write(to, day, not without_addresses)
    else:
        _print(day, bool(compare), form)


def _print(day: str | None, compare: bool, form: str) -> None:
    from clickstream.console import output
    from clickstream.serve import day_page, day_text, heat_map

    page = day_page.page(options.settings(), day, compare)
    if form == "json":
        typer.echo(output.json_line(page.as_dict()))
    elif form == "markdown":
        typer.echo(day_text.as_markdown(page), nl=False)
    else:
        typer.echo(day_text.text(page, output.terminal_width(), heat_map.colours()), nl=False)


def _write(path: Path, day: str | None, addresses: bool) -> None:
    from clickstream.dashboard import saved
    from clickstream.serve import day_page
    from clickstream.serve.layers import connected

    settings = options.settings()
    if day is None:
        with connected(settings) as connections:
            day = day_page.newest(settings, connections)
    typer.echo(saved.save(settings, path, "1d", addresses, day))
