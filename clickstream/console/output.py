"""Rows as text: a table to look at, JSON or CSV to go on with. The only place that formats rows."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from clickstream.console.escape import drawn, encodable, printable

Format = Literal["table", "json", "csv"]
Row = Mapping[str, Any]

BAR_WIDTH = 24
RULE_WIDTH = 120  # below the head, where no terminal says how wide a line may be
NAMES = ("pid", "port", "batch", "seq")  # numbers that name something and count nothing
EIGHTHS = " ▏▎▍▌▋▊▉"
ONE_WIDE = str.maketrans("", "", f"–█{EIGHTHS}")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def show(
    rows: Sequence[Row], columns: Sequence[str], form: Format, *, bar: str = "", footer: str = ""
) -> None:
    """Print the rows; when there are none, say so on stderr."""
    sys.stdout.write(text(rows, columns, form, bar=bar, footer=footer, width=terminal_width()))
    if not rows:
        print("No rows.", file=sys.stderr)


def terminal_width() -> int | None:
    """The width of the terminal that stdout is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def text(
    rows: Sequence[Row],
    columns: Sequence[str],
    form: Format,
    *,
    bar: str = "",
    footer: str = "",
    width: int | None = None,
) -> str:
    """The rows as text that ends with a line end; every character of it is printable on stdout.

    `columns` choose and order the keys. In a table, `bar` names the column drawn as bars and
    `footer` is a line below; `width` is that of the terminal, None where there is none (a pipe):
    then no colour, and no cell is folded.
    """
    encoding = _encoding()
    chosen = [{key: clean(row[key]) for key in columns} for row in rows]
    if form == "json":
        return _json(chosen)
    shown = [{key: _shown(value, encoding) for key, value in row.items()} for row in chosen]
    if form == "csv":
        return _csv(shown, columns)
    table = _table(shown, columns, bar, width) + (f"{printable(footer)}\n" if footer else "")
    return drawn(table, encoding)


def clean(value: Any) -> Any:
    """A value on one line, every character of a text printable."""
    return printable(value).replace("\n", "\\n") if isinstance(value, str) else value


def _shown(value: Any, encoding: str) -> Any:
    """A cell as wide as it will be: what the encoding lacks is escaped before it is laid out."""
    return encodable(value, encoding) if isinstance(value, str) else value


def json_line(row: Row) -> str:
    """An object as JSON on one line; what stdout cannot show is escaped as JSON does it."""
    line = json.dumps(row, ensure_ascii=False)
    return line if encodable(line, _encoding()) == line else json.dumps(row)


def _json(rows: Sequence[Row]) -> str:
    return "[" + ",\n ".join(map(json_line, rows)) + "]\n"


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_defused(row[key]) for key in columns] for row in rows)
    return sheet.getvalue()


def _defused(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula becomes text again by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _table(rows: Sequence[Row], columns: Sequence[str], bar: str, width: int | None) -> str:
    head = [*columns]
    right = [any(isinstance(row[key], int) for row in rows) for key in columns]
    cells = [[cell(key, row[key]) for key in columns] for row in rows]
    if bar:
        head, right = [*head, ""], [*right, False]
        cells = [[*texts, shown] for texts, shown in zip(cells, _bars(rows, bar), strict=True)]
    lines = _laid_out(head, right, cells) if width is None else _folded(head, right, cells, width)
    return "".join(f"{line}\n" for line in map(str.rstrip, lines) if line)


def _laid_out(head: list[str], right: list[bool], cells: list[list[str]]) -> Iterator[str]:
    """The lines of `_folded` where nothing need be folded.

    By itself: to load the library takes 0.1 s, and it spends 0.1 ms on a cell.
    """
    columns = [*zip(head, *cells, strict=True)]
    padded = [_padded(*column) for column in zip(columns, right, strict=True)]
    lines = (" " + "   ".join(texts) for texts in zip(*padded, strict=True))
    yield next(lines)
    yield f" {'─' * (sum(len(texts[0]) for texts in padded) + 3 * len(padded) - 3)}"[:RULE_WIDTH]
    yield from lines


def _padded(texts: Sequence[str], right: bool) -> list[str]:
    """The cells of a column, all of one width on a terminal."""
    widths = [*map(_width, texts)]
    most = max(widths)
    blanks = [" " * (most - width) for width in widths]
    pairs = zip(blanks, texts, strict=True) if right else zip(texts, blanks, strict=True)
    return [*map("".join, pairs)]


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii() or text.translate(ONE_WIDE).isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _folded(
    head: list[str], right: list[bool], cells: list[list[str]], width: int
) -> Iterator[str]:
    """The lines of a table on a terminal of this width: cells are folded, bars are cut off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, is_right in zip(head, right, strict=True):
        justify: Literal["left", "right"] = "right" if is_right else "left"
        overflow: Literal["fold", "crop"] = "fold" if name else "crop"
        table.add_column(name, justify=justify, overflow=overflow, no_wrap=not name)
    for texts in cells:
        table.add_row(*map(Text, texts))
    page = io.StringIO()
    Console(file=page, width=width, force_terminal=True).print(table)
    return (line for line in page.getvalue().splitlines() if line.strip())


def cell(key: str, value: Any) -> str:
    """A value of a column as a person reads it: amounts in groups of three digits, – for none."""
    if value is None:
        return "–"
    amount = type(value) is int and key not in NAMES
    return f"{value:,}" if amount else str(value)


def _bars(rows: Sequence[Row], key: str) -> list[str]:
    if not key:
        return [""] * len(rows)
    most = max((row[key] for row in rows), default=0)
    return [_drawn(row[key], most) for row in rows]


def _drawn(amount: int, most: int) -> str:
    eighths = round(amount * BAR_WIDTH * 8 / most) if most else 0
    whole, rest = divmod(max(eighths, 1 if amount else 0), 8)
    return "█" * whole + (EIGHTHS[rest] if rest else "")
