"""What every commands.py shares: the global options and the settings made from them."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from clickstream.errors import UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings


class Globals(NamedTuple):
    """The options before the command's name."""

    config: Path | None
    home: Path | None
    sets: tuple[str, ...]
    debug: bool


def settings() -> "Settings":
    """The settings of the command that runs; read once, when a command asks."""
    from clickstream import config

    given: Globals = click.get_current_context().find_root().obj
    return config.load(given.config, given.home, dict(_pair(text) for text in given.sets))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise UsageError(f"--set {text}: write it as section.key=value")
    return key.strip(), value
