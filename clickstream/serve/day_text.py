"""A day's page as text: for a terminal, a pipe, or as Markdown for a chat or a ticket."""

from collections.abc import Callable, Iterator, Sequence

from clickstream.console import markdown, output
from clickstream.console.escape import printable
from clickstream.rows import Row, Rows
from clickstream.serve import heat_map
from clickstream.serve.day_page import Page

FIGURES = ("requests", "unique_visitors", "success", "failure", "other")
CATEGORIES = ("category", "requests")
ALERTS = ("id", "state", "last", "peak")
HEALTH = ("server", "window_end", "non_200", "state")
HOURS = tuple(f"{hour:02}" for hour in range(24))

Table = Callable[[Rows, Sequence[str]], str]


def text(page: Page, width: int | None, coloured: bool) -> str:
    """The page as tables; `width` is that of the terminal, None where there is none."""

    def table(rows: Rows, columns: Sequence[str]) -> str:
        return output.text(rows, columns, "table", width=width)

    cells, servers = hours(page)
    body = _sections(page, table, heat_map.folded(cells, servers, HOURS, width, coloured))
    head = f"{page.date}, as printed in the logs; alerts and health of the UTC day"
    parts = [f"{head}\n", *(f"\n{title}\n{content}" for title, content in body)]
    return "".join(parts) + "\n" + "".join(f"{printable(line)}\n" for line in _footer(page))


def as_markdown(page: Page) -> str:
    """The page as Markdown; text from logs stands in it as code."""
    cells, servers = hours(page)
    rows: Rows = [
        {"server": server} | {hour: cells.get((server, hour)) for hour in HOURS}
        for server in servers
    ]
    body = _sections(page, markdown.table, markdown.table(rows, ("server", *HOURS)))
    parts = [f"## {page.date}\n", *(f"\n### {title}\n\n{content}" for title, content in body)]
    footer = "".join(f"- {markdown.code(line)}\n" for line in _footer(page))
    return "".join(parts) + f"\n{footer}"


def hours(page: Page) -> tuple[dict[tuple[str, str], int], list[str]]:
    """Requests by (server, hour), and the servers in order."""
    rows = page.parts["hourly"].rows
    cells = {(row["server"], f"{row['hour']:02}"): row["requests"] for row in rows}
    return cells, list(dict.fromkeys(sorted(row["server"] for row in rows)))


def _sections(page: Page, table: Table, hourly: str) -> Iterator[tuple[str, str]]:
    """(title, content) of each section that has rows; what has none is named in the footer."""
    if rows := _servers(page):
        yield (
            "requests and visitors",
            table(rows, _with_changes(("server", *FIGURES, "state"), rows[0])),
        )
    if page.parts["hourly"].rows:
        yield "hours", hourly
    for name, columns in (("categories", CATEGORIES), ("alerts", ALERTS), ("health", HEALTH)):
        if rows := page.parts[name].rows:
            yield name, table(rows, _with_changes(columns, rows[0]))


def _servers(page: Page) -> Rows:
    """The figures of visitors and responses together, a row for each server."""
    rows: dict[str, Row] = {}
    for row in (*page.parts["visitors"].rows, *page.parts["responses"].rows):
        rows.setdefault(row["server"], {}).update(row)
    keys = {key for row in rows.values() for key in row}
    return [dict.fromkeys(keys) | rows[server] for server in sorted(rows)]


def _with_changes(columns: Sequence[str], row: Row) -> list[str]:
    """The columns that the rows have, each with its change in per cent behind it if compared."""
    every = (name for column in columns for name in (column, f"{column}_percent"))
    return [name for name in every if name in row]


def _footer(page: Page) -> list[str]:
    parts = page.parts.items()
    nothing = [name for name, part in parts if not part.rows and not part.error]
    lines = list(dict.fromkeys(part.layer for _, part in parts if part.layer))
    lines += [f"no {', no '.join(nothing)}"] if nothing else []
    lines += dict.fromkeys(f"note: {note}" for _, part in parts for note in part.notes)
    return lines + [f"{name}: not answered: {part.error}" for name, part in parts if part.error]
