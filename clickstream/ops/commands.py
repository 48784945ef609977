"""`clickstream demo`, `audit`, `alert ...`, `ingest ledger ...`: parse, call, print."""

from typing import Annotated, Literal

import typer

from clickstream import command
from clickstream.console.app import App

Form = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="How rows are printed.")
]

ledger_app = App(
    help="The ledger: what was spooled, line by line."
    "\n\nExample: clickstream ingest ledger rebuild",
)

alert_app = App(
    help="The alerts of the speed layer, and what their lines were."
    "\n\nExample: clickstream alert list --state open",
)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
) -> None:
    """The whole story: every stage on real services, each figure compared with known answers.

    Works in a home of its own beside the one in use, made anew each time.

    Example: clickstream demo --keep
    """
    from clickstream.console import program
    from clickstream.ops import demo as demos

    settings = command.settings()
    compared = demos.demo(settings, keep, typer.echo)
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
        for line in demos.TO_TRY:
            typer.echo(f"  {program.name()} --home {demos.home_of(settings)} {line}")
    raise typer.Exit(0 if right == len(compared) else 1)


def audit(
    server: Annotated[str | None, typer.Option(help="One server; all by default.")] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="One day, or yesterday (UTC), or latest.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    conf: command.Conf = None,
    form: Form = "table",
) -> None:
    """Account for every line of every spooled log: source, ledger, Kafka, master copy, quarantine,
    batch views, and the extra copies in each. Exit code 1 where the books do not balance.

    Run it after `ingest replay --wait`: what is on its way is told as in flight.

    Example: clickstream audit --server weblog1
    """
    from clickstream import output
    from clickstream.batch.run import Choice
    from clickstream.errors import ClickstreamError
    from clickstream.ops import audit as audits
    from clickstream.ops import balance
    from clickstream.text import printable

    choice = Choice.parse(date, first, last, False)
    if choice.note():
        typer.echo(choice.note(), err=True)
    with command.stages() as watch:
        done = audits.audit(command.settings(conf), choice, server, watch)
    output.show(done.rows, balance.TABLE if form == "table" else balance.COLUMNS, form)
    for note in done.notes:
        typer.echo(f"Note: {printable(note)}", err=True)
    for problem in done.problems:
        typer.echo(printable(problem), err=True)
    if done.problems:
        raise ClickstreamError(
            f"the books do not balance: {len(done.problems)} rows differ",
            "the offsets above are bytes of the logs; what runs: clickstream ingest status",
        )


def speed_rebuild(
    date: Annotated[str, typer.Option("--date", help="The day.")],
    conf: command.Conf = None,
    form: Form = "table",
) -> None:
    """Count a day of the real-time views again, from the master copy; the stream must not run.

    Takes the lines that the stream has read, and rejects accepted since. The day is the UTC day
    for popularity, ddos and health, the printed one for traffic.

    Example: clickstream speed rebuild --date 2015-05-18
    """
    from clickstream import output
    from clickstream.ops import recount
    from clickstream.serve.when import Days

    day = Days.parse(date).only or ""
    with command.stages() as watch:
        row = recount.rebuild(command.settings(conf), day, watch)
    output.show([row], recount.COLUMNS, form)


@ledger_app.command()
def publish() -> None:
    """Write the books (valid lines by log and day) beside the batch views.

    `batch run` does so itself in the home that holds the ledger. On a web host with a ledger of its
    own this tells the batch layer which days are final.

    Example: clickstream ingest ledger publish
    """
    from clickstream.views import batch

    settings = command.settings()
    with batch.BatchViews.connect(settings) as views:
        books = batch.publish(settings, views)
    days = {book.date for book in books if book.valid_lines}
    typer.echo(f"{sum(book.valid_lines for book in books)} valid lines of {len(days)} days")


@ledger_app.command()
def rebuild(
    server: Annotated[
        list[str] | None, typer.Option(help="A server of this home; all by default.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    conf: command.Conf = None,
    form: Form = "table",
) -> None:
    """Make the ledger anew from the master copy and the quarantine, where it is lost.

    The master copy is then accounted for by this home. The old ledger is kept beside the new one.

    Example: clickstream ingest ledger rebuild --yes
    """
    from clickstream import output
    from clickstream.ops import rebuild as rebuilds

    settings = command.settings(conf)
    if not yes:
        typer.confirm(f"Make the ledger of {settings.home} anew?", abort=True)
    with command.stages() as watch:
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


@alert_app.command("list")
def list_(
    kind: Annotated[
        Literal["ddos", "health"] | None, typer.Option(help="One kind; both by default.")
    ] = None,
    state: Annotated[
        Literal["open", "resolved", "merged"] | None,
        typer.Option(help="One state; by default every one but merged."),
    ] = None,
    date: Annotated[str | None, typer.Option("--date", help="One UTC day.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day.")] = None,
    form: Form = "table",
) -> None:
    """Every alert, the earliest first; those merged into an earlier one are left out.

    Example: clickstream alert list --kind ddos --state open
    """
    from clickstream import alerts, output
    from clickstream.serve import reports

    settings = command.settings()
    question = reports.Question.parse(
        settings, date=date, first=first, last=last, kind=kind, state=state
    )
    answer = reports.ask(settings, "alerts", question)
    more = ("merged_into",) if state == "merged" else ()
    columns = (*alerts.TABLE, *more) if form == "table" else alerts.COLUMNS
    output.show(answer.rows, columns, form, footer=answer.layer)


@alert_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As alert list shows it.")],
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Read its lines in the master copy (a Spark job).")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many values of each field.")] = 10,
    conf: command.Conf = None,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
) -> None:
    """One alert; with --evidence what its lines were: paths, user agents and statuses of the IP, or
    statuses and paths of the server's responses other than 200.

    Example: clickstream alert show ddos/1.2.3.4/2015-05-18T09:05:59Z --evidence
    """
    import json

    from clickstream import alerts, output
    from clickstream.ops import evidence as evidences

    settings = command.settings(conf)
    alert = evidences.find(settings, name)
    row = alerts.flat(alert)
    if evidence:
        with command.stages() as watch:
            found = evidences.collect(settings, alert, top, watch)
        row |= {"lines": found.lines}
    if form == "json":
        row |= {"evidence": found.rows} if evidence else {}
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    output.show(
        [{"field": key, "value": str(row[key])} for key in row if row[key] is not None],
        ("field", "value"),
        form,
    )
    if evidence:
        output.show(found.rows, evidences.COLUMNS, form)
