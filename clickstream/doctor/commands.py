"""`clickstream doctor`: parse, ask, print."""

import typer

from clickstream.console import options


def doctor(form: options.Form = "table") -> None:
    """What does not fit: this machine, each service and how it is set, clocks, rights, agents.

    A line for each finding, with what to do where it is a warning or a problem; exit code 1 with a
    problem. It changes nothing, and a service that does not answer stops no other.

    Example: clickstream doctor
    """
    from clickstream.console import output
    from clickstream.console.escape import printable
    from clickstream.doctor.examine import COLUMNS, examine, page

    found = examine(options.settings())
    if form == "table":
        for line in page(found):
            typer.echo(printable(line))
        typer.echo(found.summary)
    else:
        output.show(found.rows, COLUMNS, form)
    found.check()
