"""The `clickstream` command: the tree of commands, and the only place where errors are printed."""

import gc
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from clickstream import __version__
from clickstream.audit import commands as audit_commands
from clickstream.batch import commands as batch_commands
from clickstream.console import config_commands, options, program
from clickstream.console.app import App
from clickstream.console.escape import escape_output
from clickstream.dashboard import commands as dashboard_commands
from clickstream.dashboard import day_command
from clickstream.doctor import commands as doctor_commands
from clickstream.errors import UsageError
from clickstream.explain import commands as explain_commands
from clickstream.ingest import commands as ingest_commands
from clickstream.ingest import ledger_commands
from clickstream.prune import commands as prune_commands
from clickstream.serve import alert_commands, prove_commands
from clickstream.serve import commands as serve_commands
from clickstream.speed import commands as speed_commands
from clickstream.stack import commands as stack_commands
from clickstream.status import commands as status_commands

GC_OBJECTS = 50_000

app = App(
    name=program.NAME,
    help="Web-log analytics on the classic Apache stack: Flume, Kafka, HDFS, Spark, Cassandra,"
    " MariaDB.\n\nExample: clickstream demo",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(stack_commands.app, name="stack")
app.add_typer(ingest_commands.weblog_app, name="weblog")
app.add_typer(ingest_commands.app, name="ingest")
app.add_typer(batch_commands.app, name="batch")
app.add_typer(speed_commands.app, name="speed")
app.add_typer(serve_commands.app, name="report")
app.add_typer(config_commands.app, name="config")
app.command()(audit_commands.audit)
app.command()(prove_commands.prove)
app.command()(prune_commands.prune)
app.command()(doctor_commands.doctor)
app.command()(status_commands.status)
app.command()(dashboard_commands.dashboard)
serve_commands.app.command("all")(day_command.all_)
app.add_typer(alert_commands.app, name="alert")
app.add_typer(explain_commands.app, name="explain")
ingest_commands.app.add_typer(ledger_commands.app, name="ledger")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clickstream {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML).")] = None,
    home: Annotated[
        Path | None, typer.Option(help="State of this deployment; also CLICKSTREAM_HOME.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, over environment and file."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that every command takes, before its name."""
    options.given = options.Globals(config, home, tuple(set_ or ()))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
    stop_before_batch: Annotated[
        bool,
        typer.Option(
            "--stop-before-batch", help="Leave the batch layer to you; everything keeps running."
        ),
    ] = False,
    dashboard: Annotated[
        bool,
        typer.Option("--dashboard", help="Traffic that goes on, on a page, until Ctrl-C."),
    ] = False,
    secure: Annotated[
        bool, typer.Option("--secure", help="On a stack with TLS and logins: stack up --secure.")
    ] = False,
) -> None:
    """The whole story: every stage on real services, each figure compared with known answers.

    Works in a home of its own beside the one in use, recreated each time. With --dashboard the days
    end now, traffic goes on with attacks and outages, and the page that shows it is opened.

    Example: clickstream demo --keep
    """
    from clickstream import demo as demos
    from clickstream.console import program

    settings = options.settings()
    if dashboard:
        if keep or stop_before_batch:
            raise UsageError("--dashboard runs until Ctrl-C: leave --keep and --stop-before-batch")
        demos.live(settings, typer.echo, dashboard_commands.opener(open_=True), secure)
        return
    keep = keep or stop_before_batch
    compared = demos.demo(settings, keep, typer.echo, stop_before_batch, secure)
    for each in compared:
        typer.echo(f"\n$ clickstream report {each.report}\n{each.table}", nl=False)
    typer.echo("")
    for each in compared:
        mark = f"differs: {each.difference}" if each.difference else "matches the truth"
        typer.echo(f"  {each.report:<13}{each.rows:>5} rows   {mark}")
    right = sum(not each.difference for each in compared)
    typer.echo(f"{right} of {len(compared)} reports match")
    if keep:
        typer.echo("everything is left running; try:")
        for line in demos.TO_TRY_BEFORE_BATCH if stop_before_batch else demos.TO_TRY:
            typer.echo(f"  {program.name()} --home {demos.home_of(settings)} {line}")
    raise typer.Exit(0 if right == len(compared) else 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code (0 done, 1 failed, 2 usage, 130 Ctrl-C)."""
    escape_output()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return app(arguments, prog_name=program.NAME, standalone_mode=False) or 0
    except TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, Abort):
        print("Interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if debug:
            raise
        return options.report_error(error)


def run() -> None:
    """The console script.

    It does not wait for a service that hangs: the clients' own threads would, until they give up.
    """
    # By default the imports of a report alone are a hundred collections that find nothing, a fifth
    # of their time.
    gc.set_threshold(GC_OBJECTS)
    code = main()
    if any(thread.name.startswith(program.LEFT_ALONE) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _usage(error: TyperException) -> int:
    context, message = getattr(error, "ctx", None), error.format_message()
    if context is not None and message == context.get_help():  # no command was given
        print(message, file=sys.stderr)
        return error.exit_code
    if context is not None:
        print(context.get_usage(), file=sys.stderr)
    print(f"Error: {message}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    run()
