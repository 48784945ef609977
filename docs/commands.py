"""Writes commands.md, the reference of all commands, from the help that they print.

python docs/commands.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from clickstream import cli

PAGE = Path(__file__).with_suffix(".md")
WIDTH = 90
HEAD = """# Commands

What `--help` prints, written by `python docs/commands.py`; a test compares the two. Every command
has an example. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C.
"""


def page() -> str:
    """The whole page."""
    shown = list(_commands(get_command(cli.app), "clickstream", None))
    index = "\n".join(f"- [{name}](#{name.replace(' ', '-')})" for name, _ in shown)
    sections = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in shown]
    return "\n".join([HEAD, f"{index}\n", *sections])


def _commands(node: Any, word: str, parent: Any) -> Iterator[tuple[str, str]]:
    """The full name and the help of a command, and of all below it that are not hidden."""
    context = node.context_class(
        node, info_name=word, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    text = node.get_help(context)
    yield context.command_path, "\n".join(line.rstrip() for line in text.splitlines())
    for name, child in getattr(node, "commands", {}).items():
        if not child.hidden:
            yield from _commands(child, name, context)


if __name__ == "__main__":
    PAGE.write_text(page())
