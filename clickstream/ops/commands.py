"""`clickstream demo`: parse, call, print."""

from typing import Annotated

import typer

from clickstream import command


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
) -> None:
    """The whole story: every stage on real services, each figure compared with known answers.

    Works in a home of its own beside the one in use, made anew each time.

    Example: clickstream demo --keep
    """
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
            typer.echo(f"  .venv/bin/clickstream --home {demos.home_of(settings)} {line}")
    raise typer.Exit(0 if right == len(compared) else 1)
