"""The reports as the page and its saved copy show them: rows and a sentence, even without rows."""

import json
from typing import TYPE_CHECKING, Any

from clickstream.console import output
from clickstream.errors import ClickstreamError, NoData
from clickstream.serve import reports

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.serve.layers import Connections


PANELS: dict[str, dict[str, Any]] = {
    "visitors": {"server": reports.ALL},
    "responses": {"server": reports.ALL},
    "hourly": {"server": reports.ALL, "by_weekday": True},
    "distribution": {},
    "categories": {"server": reports.ALL, "top": 10},
}
"""The reports of the page's panels, with their options where nothing is chosen."""


def of_panel(
    settings: "Settings", name: str, last: str, server: str | None = None, date: str | None = None
) -> reports.Question:
    """What a panel asks for the last days (`7d`, or `all`), or for one date; raises UsageError."""
    days: dict[str, Any] = {"date": date}
    if date is None and last != "all":
        days = {"span": "1d" if name == "categories" else last}
    options = PANELS[name]
    if server and "server" in options:
        options = options | {"server": server}
    return reports.Question.parse(settings, **days, **options)


def asked(
    settings: "Settings",
    name: str,
    question: reports.Question,
    shared: "Connections | None" = None,
) -> reports.Answer:
    """The answer, over `shared` connections or its own.

    Where there is nothing to answer from, no rows and a footer that says so.

    Raises what `reports.ask` raises, but NoData.
    """
    try:
        return reports.ask(settings, name, question, shared)
    except NoData as nothing:
        return unanswered(name, nothing)


def unanswered(name: str, error: ClickstreamError) -> reports.Answer:
    """No rows, and the error for a footer."""
    sentence = f"{error.message}; {error.hint}" if error.hint else error.message
    return reports.Answer([], reports.COLUMNS[name], "", sentence)


def as_json(answer: reports.Answer) -> dict[str, Any]:
    """Rows as `report NAME --format json` prints them, and the sentence below them."""
    rows = json.loads(output.text(answer.rows, answer.columns, "json"))
    return {"rows": rows, "layer": answer.footer}
