"""A grid of figures, the higher the warmer: in colours, or in bars where there are none."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clickstream.console.output import EIGHTHS

if TYPE_CHECKING:
    from rich.text import Text

Cells = Mapping[tuple[str, str], int]
"""The figure of a row and a column; there may be none."""

COLD, WARM = (38, 52, 84), (235, 94, 40)
BARS = f"{EIGHTHS}█"
UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def colours() -> bool:
    """Whether stdout is a terminal with colours, and its user wants them (NO_COLOR)."""
    from rich.console import Console

    console = Console()
    return console.is_terminal and console.color_system is not None and not console.no_color


def grid(
    cells: Cells, rows: Sequence[str], columns: Sequence[str], width: int | None, coloured: bool
) -> str:
    """The figures with their heads, cut where they do not fit the width (None: any).

    Figures are short (1.2k) where the full ones do not fit. In bars a cell has its share of the
    highest figure behind it.
    """
    label = max(map(len, rows), default=0)
    room = (width - label) // max(1, len(columns)) if width else None
    shown = _figures(cells, room, coloured)
    wide = max([*map(len, shown.values()), *map(len, columns)], default=0) + 1
    lines = [_head(columns, label, wide)]
    lines += [_line(cells, shown, row, columns, label, wide, coloured) for row in rows]
    return _printed(lines, width, coloured)


def folded(
    cells: Cells, rows: Sequence[str], columns: Sequence[str], width: int | None, coloured: bool
) -> str:
    """As `grid`; its second half below the first where all columns do not fit."""
    needed = max(map(len, rows), default=0) + len(columns) * 7
    if width is None or needed <= width:
        return grid(cells, rows, columns, width, coloured)
    half = (len(columns) + 1) // 2
    parts = (columns[:half], columns[half:])
    return "".join(grid(cells, rows, part, width, coloured) for part in parts)


def short(number: int) -> str:
    """At most four characters up to 999 G, rounded down: 998, 1.2k, 12k, 3.4M."""
    for unit, name in UNITS:
        if number >= 10 * unit:
            return f"{number // unit}{name}"
        if number >= unit:
            return f"{number * 10 // unit / 10:.1f}{name}"
    return str(number)


def bar(number: int, most: int) -> str:
    """An eighth to a whole block: the share of the highest figure."""
    return BARS[max(1, round(number * 8 / most))] if number and most else " "


def _figures(cells: Cells, room: int | None, coloured: bool) -> dict[tuple[str, str], str]:
    most = max(cells.values(), default=0)
    full = {key: f"{number:,}" for key, number in cells.items()}
    if room is not None and max(map(len, full.values()), default=0) + 1 + (not coloured) > room:
        full = {key: short(number) for key, number in cells.items()}
    return {key: text + ("" if coloured else bar(cells[key], most)) for key, text in full.items()}


def _head(columns: Sequence[str], label: int, wide: int) -> "Text":
    from rich.text import Text

    return Text(" " * label + "".join(f"{name:>{wide}}" for name in columns))


def _line(
    cells: Cells,
    shown: Mapping[tuple[str, str], str],
    row: str,
    columns: Sequence[str],
    label: int,
    wide: int,
    coloured: bool,
) -> "Text":
    from rich.text import Text

    most = max(cells.values(), default=0)
    line = Text(f"{row:<{label}}")
    for column in columns:
        key = row, column
        style = _style(cells[key], most) if coloured and key in cells else ""
        line.append(f"{shown.get(key, ''):>{wide}}", style)
    return line


def _style(number: int, most: int) -> str:
    share = number / most if most else 0.0
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(COLD, WARM, strict=True))
    return f"bold white on rgb({red},{green},{blue})" if share else "dim"


def _printed(lines: Sequence["Text"], width: int | None, coloured: bool) -> str:
    from rich.console import Console

    page = io.StringIO()
    console = Console(
        file=page, width=width or 1_000, force_terminal=coloured, no_color=not coloured
    )
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop", crop=True)
    text = page.getvalue()
    return text if coloured else "".join(f"{line.rstrip()}\n" for line in text.splitlines())
