"""`clickstream speed`: the real-time layer."""

import json
from typing import Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The speed layer: the topic's lines, counted each second into the real-time views.\n\n"
    "Example: clickstream speed run",
)


@app.command()
def run(
    available_now: Annotated[
        bool, typer.Option("--available-now", help="Take what is in the topic, then end.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once the stream has started.")
    ] = False,
    max_rows: Annotated[
        int | None, typer.Option(min=1, help="Most records of one batch, before the setting.")
    ] = None,
    conf: options.Conf = None,
) -> None:
    """Count the topic's lines until Ctrl-C, each second, and show the progress.

    While Cassandra is unavailable the stream waits. Counts of other settings, another build or
    another topic are refused, not added to.

    Example: clickstream speed run --detach
    """
    from clickstream.speed import control, display

    settings = options.settings(conf)
    driver = control.launch(settings, available_now, max_rows)
    if detach:
        control.wait_first(settings, driver)
        typer.echo(f"speed runs; log: {driver.log}")
    else:
        with display.shown() as watch:
            control.attend(settings, driver, watch)


@app.command()
def status(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless it runs and is healthy.")
    ] = False,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
) -> None:
    """Show whether it runs, its health, and how far the stream came.

    It is unhealthy when no batch ended for a while although there was something to do, or while it
    waits for Cassandra. The exit code is 0 either way, unless --check is given.

    Example: clickstream speed status --format json
    """
    from clickstream.speed import control, display

    report = control.report(options.settings())
    typer.echo(json.dumps(report) if form == "json" else display.report_text(report))
    if check and not report["healthy"]:
        raise typer.Exit(1)


@app.command()
def stop() -> None:
    """End the running stream, between two batches.

    Example: clickstream speed stop
    """
    from clickstream.speed import control

    ended = control.stop(options.settings())
    typer.echo(f"speed stopped (pid {ended.pid})" if ended else "speed was not running")


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Forget what was counted: checkpoint and real-time views. The topic stays.

    Example: clickstream speed reset --yes
    """
    from clickstream.speed import control

    settings = options.settings()
    if not yes:
        typer.confirm("Remove the checkpoint and every real-time view?", abort=True)
    control.reset(settings)
    typer.echo("speed: checkpoint and real-time views are empty")


@app.command()
def rebuild(
    date: Annotated[str, typer.Option("--date", help="The day.")],
    conf: options.Conf = None,
    form: options.Form = "table",
) -> None:
    """Count a day of the real-time views again, from the master dataset; the stream must not run.

    Takes the lines that the stream has read, and rejects accepted since. The day is the UTC day
    for popularity, ddos and health, the printed one for traffic.

    Example: clickstream speed rebuild --date 2015-05-18
    """
    from clickstream.console import output
    from clickstream.days import one_day
    from clickstream.speed import rebuild

    day = one_day("--date", date)
    with options.stages(form) as watch:
        row = rebuild.rebuild(options.settings(conf), day, watch)
    output.show([row], rebuild.COLUMNS, form)
