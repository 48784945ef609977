"""`clickstream alert ...`: parse, query, print."""

from typing import Annotated, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App

app = App(
    help="The alerts of the speed layer, and what their lines were."
    "\n\nExample: clickstream alert list --state open",
)


@app.command("list")
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
    form: options.Form = "table",
) -> None:
    """Every alert, the earliest first; those merged into an earlier one are left out.

    Example: clickstream alert list --kind ddos --state open
    """
    from clickstream import alerts
    from clickstream.console import output
    from clickstream.serve import reports

    settings = options.settings()
    question = reports.Question.parse(
        settings, date=date, first=first, last=last, kind=kind, state=state
    )
    answer = reports.ask(settings, "alerts", question)
    more = ("merged_into",) if state == "merged" else ()
    columns = (*alerts.TABLE, *more) if form == "table" else alerts.COLUMNS
    output.show(answer.rows, columns, form, footer=answer.footer)
    options.print_notes(answer.notes, form)


@app.command()
def resend(form: options.Form = "table") -> None:
    """Send the webhook again what it has refused for good, in order; what arrives is not kept.

    Each has the `id` and `seq` that it had. Exit code 1 where one is refused again.

    Example: clickstream alert resend
    """
    from clickstream.console import output
    from clickstream.errors import ClickstreamError
    from clickstream.serve import alerting

    rows, problem = alerting.resend(options.settings())
    output.show(rows, alerting.RESENT, form)
    refused = sum(row["outcome"] != alerting.DELIVERED for row in rows)
    if problem or refused:
        raise ClickstreamError(
            problem or f"{refused} of {len(rows)} were refused again",
            "the rest is kept; once the receiver takes it: clickstream alert resend",
        )


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As alert list shows it.")],
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Read its lines in the master dataset (a Spark job).")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many values of each field.")] = 10,
    conf: options.Conf = None,
    form: Annotated[
        Literal["table", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
) -> None:
    """One alert; with --evidence what its lines were: paths, user agents and statuses of the IP, or
    statuses and paths of the server's responses of unhealthy status.

    Example: clickstream alert show ddos/1.2.3.4/2015-05-18T09:05:59Z --evidence
    """
    from clickstream import alerts
    from clickstream.console import output
    from clickstream.serve import evidence as evidences

    settings = options.settings(conf)
    alert = evidences.find(settings, name)
    row = alerts.flat(alert)
    if evidence:
        with options.stages(form) as watch:
            collected = evidences.collect(settings, alert, top, watch)
        row |= {"lines": collected.lines}
    if form == "json":
        row |= {"evidence": collected.rows} if evidence else {}
        typer.echo(output.json_line(row))
        return
    output.show(
        [{"field": key, "value": str(row[key])} for key in row if row[key] is not None],
        ("field", "value"),
        form,
    )
    if evidence:
        output.show(collected.rows, evidences.COLUMNS, form)
