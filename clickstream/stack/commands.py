"""`clickstream stack`: the local services."""

from typing import Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The local services: Kafka, HDFS, Cassandra, MariaDB.\n\nExample: clickstream stack up",
)


@app.command()
def up(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Only these; all by default.")
    ] = None,
    secure: Annotated[
        bool,
        typer.Option("--secure", help="Make it with TLS and logins; it stays so from then on."),
    ] = False,
) -> None:
    """Start what is not running, and wait until it is ready.

    With --secure Kafka, Cassandra, MariaDB and the agents' way to the collector have TLS, logins
    and users with no more rights than they need; certificates and passwords are made once. HDFS
    stays as it is, unless stack.kerberos is set at the first start.

    Example: clickstream stack up
    """
    import time

    from clickstream.stack import local

    began = time.monotonic()
    settings = options.settings()
    started = local.up(local.secured(settings) if secure else settings, services or [])
    took = f"{', '.join(started)} ready in {time.monotonic() - began:.1f} s"
    typer.echo(took if started else "already running")


@app.command()
def down() -> None:
    """Stop the services, the last one started first.

    Example: clickstream stack down
    """
    from clickstream.stack import local

    settings = options.settings()
    stopped = local.down(settings)
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    left = local.others(settings)
    if left:
        typer.echo(f"still running: {', '.join(child.name for child in left)}", err=True)


@app.command()
def status(
    form: Annotated[
        Literal["table", "json", "csv"], typer.Option("--format", help="How rows are printed.")
    ] = "table",
) -> None:
    """List the processes of the stack: state, pid, port, memory.

    Example: clickstream stack status
    """
    from clickstream.console import output
    from clickstream.stack import local

    rows = [row._asdict() for row in local.status(options.settings())]
    output.show(rows, local.Row._fields, form)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="A service, or one of its processes.")],
    lines: Annotated[int, typer.Option(min=1, help="How many lines of the end.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
) -> None:
    """The end of a service's log.

    Example: clickstream stack logs kafka --lines 20
    """
    from clickstream.stack import log_files

    for line in log_files.log(options.settings(), service, lines, follow):
        typer.echo(line)


@app.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove all data of the home: the stores, and with them ledger, spool and agents.

    Example: clickstream stack clean --yes
    """
    from clickstream.stack import local

    settings = options.settings()
    if not yes:
        typer.confirm(f"Remove everything under {settings.home} but its configuration?", abort=True)
    local.clean(settings)
    typer.echo(f"{settings.home} is empty")


@app.command()
def fetch() -> None:
    """Bring the jars of every service into the cache, verify them, and prepare Spark.

    Example: clickstream stack fetch
    """
    from clickstream.runtime.cache import cache_dir
    from clickstream.stack import fetch as fetching

    fetching.fetch(fetching.needed())
    fetching.prepare_spark()
    typer.echo(f"all jars are in {cache_dir()}, verified")


@app.command(hidden=True)
def lock(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Only these; all by default.")
    ] = None,
) -> None:
    """Resolve the services' jars again and write their locks (for maintainers, in a checkout).

    Example: clickstream stack lock kafka
    """
    from clickstream.stack import jar_locks as locking

    for service in services or locking.ROOTS:
        typer.echo(f"wrote {locking.write_lock(service)}")
