"""One live line per task on a terminal; plain lines where there is none."""

import time
from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

PLAIN_SECONDS = 5


class Board:
    """Shows what each task does. `say` may be called from any thread."""

    def __init__(self, titles: Iterable[str], console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._lines = dict.fromkeys(titles, "…")
        self._printed_at = dict.fromkeys(self._lines, 0.0)
        self._done: set[str] = set()
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, title: str, text: str, *, done: bool = False) -> None:
        """The task's present state; without a terminal a line, but not more than one in 5 s."""
        changed = self._lines[title] != text
        self._lines[title] = text
        if done:
            self._done.add(title)
        now = time.monotonic()
        due = done or now - self._printed_at[title] > PLAIN_SECONDS
        if changed and due and not self._console.is_terminal:
            self._printed_at[title] = now
            self._console.print(f"{title}: {text}", markup=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for title, text in self._lines.items():
            table.add_row(" " if title in self._done else self._spinner, title, text)
        return table
