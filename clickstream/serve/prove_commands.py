"""`clickstream prove`: parse, compare, print."""

import typer

from clickstream.console import options
from clickstream.serve.commands import Date, First, Last


def prove(
    date: Date = None,
    first: First = None,
    last: Last = None,
    form: options.Form = "table",
) -> None:
    """Both layers minute by minute, of the days that both have: a row for each difference, with
    its cause where it is known. Exit code 1 where one has none.

    Example: clickstream prove --date 2015-05-18
    """
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.days import DaySelection
    from clickstream.serve import proof
    from clickstream.serve.prove import COLUMNS

    selection = DaySelection.for_report(date, first, last)
    done = proof.of(options.settings(), selection)
    output.show(done.rows, COLUMNS, form)
    for sentence in done.summary:
        typer.echo(printable(sentence), err=True)
    done.check()
