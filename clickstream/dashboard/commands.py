"""`clickstream dashboard`: parse, serve, print."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clickstream.console import options

if TYPE_CHECKING:
    from clickstream.config import Settings


def dashboard(
    host: Annotated[str | None, typer.Option(help="Where it listens; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0: a free one.")] = None,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Make the addresses given out before useless.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page to one file, and end.")
    ] = None,
    last: Annotated[str, typer.Option(help="The days of a saved page: 14d, or all.")] = "14d",
    without_addresses: Annotated[
        bool, typer.Option("--without-addresses", help="Number clients in a saved page.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """One page that answers from both layers, until Ctrl-C.

    The address that it prints holds a token: whoever has it sees the addresses of visitors.

    Example: clickstream dashboard --open
    """
    settings = options.settings()
    if save:
        from clickstream.dashboard import saved

        typer.echo(saved.save(settings, save, last, not without_addresses))
    else:
        _serve(settings, host, port, new_token, open_)


def _serve(
    settings: "Settings", host: str | None, port: int | None, new_token: bool, open_: bool
) -> None:
    from clickstream.dashboard import run

    settings.dashboard.host = settings.dashboard.host if host is None else host
    settings.dashboard.port = settings.dashboard.port if port is None else port
    run.token(settings, new_token)

    run.serve(settings, opener(open_))


def opener(open_: bool) -> Callable[[str], None]:
    """A function that tells the address of a page that answers, and opens it where that is wished
    for."""

    def started(address: str) -> None:
        typer.echo(f"the dashboard answers at {address}\nCtrl-C ends it")
        if open_:
            typer.launch(address)

    return started
