"""The shared parts of every commands.py: global options, settings, stages and errors."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from clickstream.console import live
from clickstream.errors import ClickstreamError, UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings


SPARK_CONF = "spark.conf"

Conf = Annotated[
    list[str] | None,
    typer.Option(
        "--conf", metavar="KEY=VALUE", help="A Spark property, over spark.conf; never a secret."
    ),
]


Form = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="How rows are printed.")
]


class Globals(NamedTuple):
    """The options before the command's name; `sets` are `section.key=value`."""

    config: Path | None = None
    home: Path | None = None
    sets: tuple[str, ...] = ()


given = Globals()


def settings(conf: Sequence[str] | None = None) -> "Settings":
    """The settings of the command that runs; read when a command asks, for they cost a moment.

    `conf` are Spark properties of this command (`Conf`), over those of `spark.conf`.
    """
    from clickstream import config

    flags = dict(_pair("--set", text, "section.key=value") for text in given.sets)
    if conf:
        own = dict(_pair("--conf", text, "spark.key=value") for text in conf)
        flags[SPARK_CONF] = json.dumps(_table(flags.get(SPARK_CONF, "{}")) | own)
    return config.load(given.config, given.home, flags)


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{option} {text}: write it as {form}")
    return key.strip(), value


def _table(text: str) -> dict[str, str]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise UsageError(f"--set {SPARK_CONF} is not a table: {text}") from None


def print_notes(notes: Sequence[str], form: str) -> None:
    """Print on stderr what a table has in the lines below it, and another form has no room for."""
    from clickstream.console.escape import printable

    for note in notes if form != "table" else ():
        typer.echo(f"note: {printable(note)}", err=True)


def report_error(error: BaseException) -> int:
    """Print an error with its causes and its hint, as `main` does; returns its exit code."""
    from clickstream.console import program
    from clickstream.console.escape import printable

    known = isinstance(error, ClickstreamError)
    sentence = str(error) if known else f"{type(error).__name__}: {error} (--debug shows where)"
    print(f"Error: {printable(sentence)}", file=sys.stderr)
    cause = error.__cause__
    while cause is not None:
        print(f"  because: {printable(str(cause) or type(cause).__name__)}", file=sys.stderr)
        cause = cause.__cause__
    hint = getattr(error, "hint", "")
    if hint:
        print(f"  {program.spoken(hint)}", file=sys.stderr)
    return getattr(error, "exit_code", 1)


@contextmanager
def stages(form: str = "table") -> Iterator[Callable[[str], None]]:
    """Shows the present stage on stderr, unless the rows are for a program."""
    with live.display(quiet=form != "table") as shown:
        yield shown.show
