"""What every commands.py shares: the global options, the settings made from them, and telling."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clickstream.errors import ClickstreamError, UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings


class Globals(NamedTuple):
    """The options before the command's name; `sets` are `section.key=value`."""

    config: Path | None = None
    home: Path | None = None
    sets: tuple[str, ...] = ()


given = Globals()


def settings() -> "Settings":
    """The settings of the command that runs; read when a command asks, for they cost a moment."""
    from clickstream import config

    return config.load(given.config, given.home, dict(_pair(text) for text in given.sets))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write it as section.key=value")
    return key.strip(), value


def tell(error: BaseException) -> int:
    """Print an error with its causes and its hint, as `main` does; returns its exit code."""
    from clickstream.text import printable

    known = isinstance(error, ClickstreamError)
    sentence = str(error) if known else f"{type(error).__name__}: {error} (--debug shows where)"
    print(f"Error: {printable(sentence)}", file=sys.stderr)
    cause = error.__cause__
    while cause is not None:
        print(f"  because: {printable(str(cause) or type(cause).__name__)}", file=sys.stderr)
        cause = cause.__cause__
    hint = getattr(error, "hint", "")
    if hint:
        print(f"  {hint}", file=sys.stderr)
    return getattr(error, "exit_code", 1)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Shows the stage at work: one changing line on a terminal, a line each elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage: print(stage, file=console.file)
        return
    with console.status("") as shown:
        yield shown.update
