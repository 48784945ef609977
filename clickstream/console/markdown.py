"""Rows as a Markdown table for a chat or a ticket; text from logs stands in it as code, inert."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from clickstream.console import output

_PLAIN = re.compile(r"[A-Za-z0-9 .,:;%()–-]*")
_NUMBERS = (int, float)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The columns of the rows, which are there in each; numbers stand on the right."""
    numeric = [any(isinstance(row[key], _NUMBERS) for row in rows) for key in columns]
    rule = ("---:" if right else "---" for right in numeric)
    lines = [(code(key) for key in columns), rule]
    lines += [(code(output.cell(key, row[key])) for key in columns) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str) -> str:
    """The text on one line; as code unless it is plain.

    In code nothing is a link, a mention, a tag or an emphasis; only backticks end it, and a bar the
    table's cell.
    """
    text = output.clean(text)
    if _PLAIN.fullmatch(text):
        return text
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, inner = "`" * (longest + 1), text.replace("|", "\\|")
    if inner[0] in "` " or inner[-1] in "` ":
        inner = f" {inner} "
    return f"{fence}{inner}{fence}"
