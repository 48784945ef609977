"""`clickstream report ...`: parse, query, print."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clickstream.console import options
from clickstream.console.app import App
from clickstream.errors import UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.days import DaySelection

app = App(
    help="Answers from the two layers.\n\nExample: clickstream report popularity",
)

Date = Annotated[str | None, typer.Option("--date", help="One day, as printed in the log.")]
UtcDate = Annotated[str | None, typer.Option("--date", help="One UTC day.")]
First = Annotated[str | None, typer.Option("--from", help="First day.")]
Last = Annotated[str | None, typer.Option("--to", help="Last day.")]
Span = Annotated[
    str | None, typer.Option("--last", help="So many days back from the newest in the data: 7d.")
]
Server = Annotated[str | None, typer.Option("--server", help="One server's name, or all.")]
Compare = Annotated[
    Literal["previous"] | None,
    typer.Option("--compare", help="Changes against the period of the same length before."),
]
Layer = Annotated[
    Literal["batch", "speed", "merged"],
    typer.Option("--layer", help="Which layer answers; merged: the better row of each minute."),
]
Prove = Annotated[
    bool, typer.Option("--prove", help="Also hold both layers against each other: see prove.")
]
Alerts = Annotated[
    bool, typer.Option("--alerts", help="The alerts: when each began and ended, and its peak.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="How many categories.")]
Other = Annotated[
    bool | None,
    typer.Option("--other/--no-other", help="A row (other) of all the rest; tables have it."),
]


@app.command()
def popularity(
    date: UtcDate = None,
    at: Annotated[
        str | None, typer.Option("--at", help="End of the window: 2015-05-18T09:05:59Z.")
    ] = None,
    window: Annotated[str, typer.Option("--window", help="Its length: 90s, 5m, 1h.")] = "5m",
    server: Server = None,
    top: Top = 10,
    other: Other = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Ask again each second until Ctrl-C; json: a line each.")
    ] = False,
    form: options.Form = "table",
) -> None:
    """The most requested categories of the last five minutes of the event clock.

    The window (start, end] ends with the latest event second over all servers; with --date with
    the latest of that UTC day; or --at a moment. Lines that come late revise the past, too.

    Example: clickstream report popularity --top 5
    """
    given = {"date": date, "at": at, "window": window, "server": server, "top": top}
    given["other"] = form == "table" if other is None else other
    if watch:
        _watch("popularity", form, **given)
    else:
        _answer("popularity", form, **given)


@app.command()
def ddos(
    date: UtcDate = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    alerts: Alerts = False,
    form: options.Form = "table",
) -> None:
    """IP addresses with more than 100 requests in one second, over all servers; days are UTC.

    With --alerts: the attacks, each of one IP in seconds that follow one another.

    Example: clickstream report ddos --date 2015-05-18 --format json
    """
    given = {"kind": "ddos"} if alerts else {}
    report = "alerts" if alerts else "ddos"
    _answer(report, form, date=date, first=first, last=last, span=span, **given)


@app.command()
def health(
    date: UtcDate = None,
    peak: Annotated[
        bool, typer.Option("--peak", help="The highest trailing count, the earliest on a tie.")
    ] = False,
    alerts: Alerts = False,
    first: First = None,
    last: Last = None,
    server: Server = None,
    form: options.Form = "table",
) -> None:
    """Non-200 responses of each server in the five minutes up to its latest second.

    With --date: up to its latest second of that UTC day. More than 10 is an alert. With --alerts:
    the times in which they were too many; of some days, or of all.

    Example: clickstream report health --peak
    """
    if (alerts and peak) or ((first or last) and not alerts):
        raise UsageError("--alerts excludes --peak; --from and --to need --alerts")
    if alerts:
        days = {"date": date, "first": first, "last": last}
        _answer("alerts", form, **days, server=server, kind="health")
    else:
        _answer("health", form, date=date, peak=peak, server=server)


@app.command()
def visitors(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    server: Server = None,
    total: Annotated[
        bool, typer.Option("--total", help="Of all the days together: each visitor counts once.")
    ] = False,
    compare: Compare = None,
    form: options.Form = "table",
) -> None:
    """Unique visitors and requests per day, for each server and for all.

    Example: clickstream report visitors --from 2015-05-17 --to 2015-05-20 --total
    """
    days = {"date": date, "first": first, "last": last, "span": span}
    _answer("visitors", form, **days, server=server, total=total, compare=bool(compare))


@app.command()
def responses(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    server: Server = None,
    compare: Compare = None,
    layer: Layer = "merged",
    prove: Prove = False,
    form: options.Form = "table",
) -> None:
    """Successful (2xx, 3xx), failed (4xx, 5xx) and other responses per day and server.

    Example: clickstream report responses --date 2015-05-18 --compare previous
    """
    days = {"date": date, "first": first, "last": last, "span": span}
    _answer("responses", form, prove, **days, server=server, compare=bool(compare), layer=layer)


@app.command()
def traffic(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    server: Server = None,
    by: Annotated[
        Literal["minute", "hour", "day"], typer.Option("--by", help="The length of a row's time.")
    ] = "hour",
    layer: Layer = "merged",
    prove: Prove = False,
    form: options.Form = "table",
) -> None:
    """Requests by time and class of response, for each server and for all; times as printed.

    Example: clickstream report traffic --date 2015-05-18 --by minute --server weblog1
    """
    days = {"date": date, "first": first, "last": last, "span": span}
    _answer("traffic", form, prove, **days, server=server, by=by, layer=layer)


@app.command()
def distribution(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    form: options.Form = "table",
) -> None:
    """Unique visitors of each day over all servers, and the change against the day before.

    The day before is the previous one in the data, even when it was not given for.

    Example: clickstream report distribution --last 7d
    """
    _answer("distribution", form, date=date, first=first, last=last, span=span)


@app.command()
def hourly(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    server: Server = None,
    by_day: Annotated[
        bool, typer.Option("--by-day", help="Each day apart, instead of their sum.")
    ] = False,
    by_weekday: Annotated[
        bool, typer.Option("--by-weekday", help="Each day of the week apart, Monday first.")
    ] = False,
    compare: Compare = None,
    layer: Layer = "merged",
    prove: Prove = False,
    form: options.Form = "table",
) -> None:
    """Requests per hour of day, over all servers unless one is named.

    Example: clickstream report hourly --last 7d --compare previous
    """
    days = {"date": date, "first": first, "last": last, "span": span}
    ways = {"by_day": by_day, "by_weekday": by_weekday, "compare": bool(compare)}
    if by_weekday and not compare and form == "table" and not prove and _coloured():
        _heat_map(**days, server=server, layer=layer, by_weekday=True)
    else:
        _answer("hourly", form, prove, **days, server=server, layer=layer, **ways)


@app.command()
def categories(
    date: Date = None,
    first: First = None,
    last: Last = None,
    span: Span = None,
    server: Server = None,
    top: Top = 10,
    compare: Compare = None,
    other: Other = None,
    form: options.Form = "table",
) -> None:
    """The most requested categories per day, for each server and for all.

    Example: clickstream report categories --date 2015-05-18 --server all --top 5
    """
    days = {"date": date, "first": first, "last": last, "span": span}
    given = days | {"server": server, "top": top, "compare": bool(compare)}
    if other and compare:
        raise UsageError("choose one of --other and --compare")
    rest = form == "table" and not compare if other is None else other
    _answer("categories", form, **given, other=rest)


def _coloured() -> bool:
    from clickstream.serve import heat_map

    return heat_map.colours()


def _heat_map(**given: Any) -> None:
    """Hours by day of the week in colours, the figures in the cells."""
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.serve import heat_map, reports
    from clickstream.serve.when import WEEKDAYS

    settings = options.settings()
    answer = reports.ask(settings, "hourly", reports.Question.parse(settings, **given))
    cells = {(f"{row['hour']:02}", row["weekday"]): row["requests"] for row in answer.rows}
    hours = [f"{hour:02}" for hour in range(24)]
    grid = heat_map.grid(cells, hours, WEEKDAYS, output.terminal_width(), coloured=True)
    typer.echo(f"{grid}{printable(answer.footer)}")


def _answer(report: str, form: options.Form, prove: bool = False, /, **given: Any) -> None:
    from clickstream.console import output
    from clickstream.serve import reports

    settings = options.settings()
    question = reports.Question.parse(settings, **given)
    answer = reports.ask(settings, report, question)
    columns = reports.TABLES.get(report, answer.columns) if form == "table" else answer.columns
    output.show(answer.rows, columns, form, bar=answer.bar, footer=answer.footer)
    options.print_notes(answer.notes, form)
    if prove:
        _prove(settings, question.days)


def _prove(settings: "Settings", days: "DaySelection") -> None:
    """The proof goes to stderr: stdout is the report's."""
    from clickstream.console import output
    from clickstream.serve import proof
    from clickstream.serve.prove import COLUMNS

    done = proof.of(settings, days)
    differences = output.text(done.rows, COLUMNS, "table") if done.rows else ""
    summary = output.printable("\n".join(done.summary))
    typer.echo(f"{differences}{summary}", err=True)
    done.check()


def _watch(report: str, form: options.Form, **given: Any) -> None:
    from clickstream.serve import reports, watch

    settings = options.settings()
    question = reports.Question.parse(settings, **given)
    watch.show(watch.answers(settings, report, question), form)
