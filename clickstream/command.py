"""What every commands.py shares: the global options and the settings made from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clickstream.errors import UsageError

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
