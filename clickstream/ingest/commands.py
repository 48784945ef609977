"""`clickstream weblog ...` and `clickstream ingest ...`: parse, call, print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App
from clickstream.console.escape import printable

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.ingest.replay import Progress

weblog_app = App(
    help="Web logs: made with known answers, or put into the source location in HDFS."
    "\n\nExample: clickstream weblog put access.log --server weblog1",
)
app = App(
    help="Ingest: the Flume agents, and the replay of logs through them."
    "\n\nExample: clickstream ingest start",
)

Agents = Annotated[
    list[str] | None, typer.Argument(metavar="AGENT", help="Agents by name; all by default.")
]


@weblog_app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Directory for the logs and truth.json.")],
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes.")] = 1,
    scenario: Annotated[
        Literal["demo", "small", "load"], typer.Option(help="Which story the logs tell.")
    ] = "demo",
    lines: Annotated[int, typer.Option(min=1, help="Lines per log (load only).")] = 100_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace other logs.")] = False,
) -> None:
    """Make two web logs, and the truth about them out of the plan they were made from.

    Example: clickstream weblog generate --out logs --seed 7 --scenario demo
    """
    from clickstream import scenario as scenarios

    generated = scenarios.generate(out, seed, scenario, overwrite=overwrite, lines=lines)
    for path in (*generated.paths.values(), generated.truth_path):
        typer.echo(path)


@weblog_app.command()
def put(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Log files, plain or gzipped; - is standard input."),
    ],
    server: Annotated[str, typer.Option(help="The web server that wrote them.")],
    name: Annotated[str | None, typer.Option("--as", help="Store under another name.")] = None,
    form: options.Form = "table",
) -> None:
    """Store logs in HDFS as sources of a replay; a log that is put is final.

    A log is known by its content: what is stored already is reported, a log that has grown replaces
    what it was, and new content under a name that is in use gets a name of its own. So the same
    command takes the logs of a numbered rotation every night. One that cannot be stored does not
    stop the others; the exit code is 1 then. What comes through a pipe needs --as.

    Example: clickstream weblog put access.log* --server weblog1
    """
    from clickstream.console.output import show
    from clickstream.errors import UsageError
    from clickstream.ingest import source

    if name and len(files) > 1:
        raise UsageError("--as names one log, but several are given")
    settings, done = options.settings(), list[source.Put]()
    try:
        if len(files) == 1:
            done += [source.put(settings, files[0], server, name)]
        else:
            done.extend(source.put_each(settings, files, server))
    finally:
        if done:
            columns = source.TABLE if form == "table" else source.Put._fields
            show([each._asdict() for each in done], columns, form)
    source.report_not_stored(done)


@weblog_app.command("list")
def list_(form: options.Form = "table") -> None:
    """The source logs in HDFS.

    Example: clickstream weblog list
    """
    from clickstream.console.output import show
    from clickstream.ingest import source

    rows = [row._asdict() for row in source.listing(options.settings())]
    show(rows, source.Source._fields, form)


@weblog_app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A log file, plain or gzipped; - is standard input.")
    ],
    server: Annotated[str | None, typer.Option(help="Read it as this server's log.")] = None,
    as_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Read it in this format, as in servers.NAME.format; by default in the one"
            " detected.",
        ),
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="Lines shown field by field.")] = 3,
    form: options.Form = "table",
) -> None:
    """Inspect a log: its format, its first lines field by field, its invalid lines and why.

    Exit code 1 when `weblog put` would refuse it. Example: clickstream weblog check access.log
    """
    from clickstream.console.output import show
    from clickstream.ingest import inspection as checks

    result = checks.check(options.settings(), file, server, as_format, lines)
    show(result.rows, checks.COLUMNS, form)
    if result.problem:
        raise result.problem


@app.command()
def render(
    agents: Agents = None,
    out: Annotated[Path | None, typer.Option(help="Directory; the agents' own by default.")] = None,
) -> None:
    """Write the agents' configuration files, and check them.

    Example: clickstream ingest render agent1 --out conf
    """
    from clickstream.ingest.flume import agents as flume_agents

    for path in flume_agents.render(options.settings(), agents or [], out):
        typer.echo(path)


@app.command()
def start(
    agents: Agents = None,
    supervise: Annotated[
        bool, typer.Option("--supervise", help="Stay, and start again what dies; Ctrl-C stops all.")
    ] = False,
) -> None:
    """Start the agents that do not run or have a part down, and wait until every component is up.

    With --supervise it stays in the foreground and starts an agent again that dies, after 1, 2, 4 …
    seconds (flume.restart_*). Ctrl-C or SIGTERM stops the agents and exits with 130; an agent that
    cannot be kept up stops them too, and exits with 1. One that `ingest stop` ends rests.

    Example: clickstream ingest start --supervise
    """
    from clickstream.ingest.flume import agents as flume_agents
    from clickstream.ingest.flume import supervise as supervision

    if supervise:
        supervision.supervise(options.settings(), agents or [], typer.echo)
        return
    started = flume_agents.start(options.settings(), agents or [], typer.echo)
    typer.echo(f"started {', '.join(started)}" if started else "already running")


@app.command()
def stop(agents: Agents = None) -> None:
    """Stop the agents; what they hold stays in their channels.

    Example: clickstream ingest stop
    """
    from clickstream.ingest.flume import agents as flume_agents

    stopped = flume_agents.stop(options.settings(), agents or [])
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(
    agents: Agents = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless every component is up.")
    ] = False,
    form: options.Form = "table",
) -> None:
    """Each agent's components: up or down, events in and out, fill and guarantee of the channels.

    Below the table: the last error of an agent since its start, a configuration that differs from
    the settings, and what is wrong with a followed log: refused, mostly invalid, or gone before it
    was read to its end (with --format these are on stderr). The exit code is 0 whatever the answer;
    --check makes it 1 when a component is down.

    Example: clickstream ingest status agent3
    """
    from clickstream.console.output import show
    from clickstream.ingest.flume import status as agent_status
    from clickstream.ingest.follow import record

    settings = options.settings()
    rows = agent_status.status(settings, agents or [])
    notes = [agent_status.notes(rows), *record.problems(settings)]
    columns = agent_status.TABLE if form == "table" else agent_status.Status._fields
    footer = "\n".join(filter(None, notes))
    show([row._asdict() for row in rows], columns, form, footer=footer)
    if form != "table":
        for note in notes[1:]:
            typer.echo(printable(note), err=True)
    if check and not agent_status.all_up(rows):
        raise typer.Exit(1)


@app.command()
def replay(
    speed: Annotated[float | None, typer.Option(min=0.001, help="So many times real time.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="So many lines a second.")] = None,
    max_gap: Annotated[
        float | None, typer.Option(min=0, help="Shorten longer silences, in seconds of the log.")
    ] = None,
    rejects: Annotated[
        bool, typer.Option("--rejects", help="Of the quarantine, instead, what is valid by now.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until all lines are in Kafka and in closed files.")
    ] = False,
) -> None:
    """Replay the source logs into the spooling directories; as fast as the agents take them.

    Goes on where it stopped. Example: clickstream ingest replay --speed 60 --max-gap 30
    """
    from clickstream.errors import UsageError
    from clickstream.ingest import flow, replay_display
    from clickstream.ingest import replay as replays

    if speed and rate:
        raise UsageError("--speed and --rate exclude each other")
    if rejects and (speed or rate or max_gap):
        raise UsageError("--rejects are replayed as fast as the agents take them")
    settings = options.settings()
    if rejects:
        _replay_rejects(settings, wait)
        return
    with replay_display.shown() as observe:
        done = replays.replay(settings, replays.Pace(speed, rate, max_gap), observe)
        if wait:
            flow.drain(settings, lambda where: observe(_waiting(done, where)))
    typer.echo(replay_display.summary(done))
    replays.report_refused(done)


@app.command("rejects")
def list_rejects(
    server: Annotated[str | None, typer.Option(help="Of one server.")] = None,
    reason: Annotated[str | None, typer.Option(help="Of one reason, as the list shows it.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="A row for each reject.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the lines to a new file, byte for byte.")
    ] = None,
    form: options.Form = "table",
) -> None:
    """List the quarantine by reason, server and log, with the first line of each.

    `valid-now` is what `ingest replay --rejects` would bring back after a change of format.
    Example: clickstream ingest rejects --reason bad-quoting --lines
    """
    from clickstream.console.output import show
    from clickstream.ingest import rejects

    settings, chosen = options.settings(), rejects.Chosen(server, reason)
    if export:
        typer.echo(f"{rejects.export(settings, chosen, export)} lines written to {export}")
    elif lines:
        show(rejects.listed(settings, chosen), rejects.LINES, form)
    else:
        show(rejects.grouped(settings, chosen), rejects.GROUPS, form)
        if chosen == rejects.Chosen():
            rejects.remember_listed(settings)


def _replay_rejects(settings: "Settings", wait: bool) -> None:
    from clickstream.ingest import flow, rejects, replay_display

    with replay_display.shown() as observe:
        done = rejects.reprocess(settings, observe)
        if wait:
            flow.drain(settings, lambda where: observe(_waiting(done, where)))
    typer.echo(f"{done.lines} lines taken out of the quarantine")


@app.command()
def follow(
    log: Annotated[Path, typer.Argument(help="The log that the web server writes, plain.")],
    server: Annotated[str, typer.Option(help="The web server that writes it.")],
    until_idle: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds without a new line.")
    ] = None,
) -> None:
    """Spool the lines of a growing log within a second of their being written, across rotations.

    Goes on where it stopped.

    Example: clickstream ingest follow --server weblog1 /var/log/nginx/access.log
    """
    from clickstream.ingest.follow import display
    from clickstream.ingest.follow import run as follows

    settings = options.settings()
    with display.shown() as shown:
        done = follows.follow(settings, server, log, shown.observe, shown.notify, until_idle)
    typer.echo(display.summary(done))
    if done.interrupted:
        raise KeyboardInterrupt


def _waiting(done: "Progress", where: str) -> "Progress":
    done.waiting_for = where
    return done
