"""What several tasks do at once: a line for each on a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clickstream.console import live

if TYPE_CHECKING:
    from rich.table import Table


class Board:
    """The state of each task. `say` may be called from any thread."""

    def __init__(self, titles: Iterable[str], display: live.Display) -> None:
        from rich.spinner import Spinner

        self._states = dict.fromkeys(titles, "…")
        self._open = list(self._states)
        self._spinner = Spinner("dots")
        self._display = display

    def say(self, title: str, text: str, *, done: bool = False) -> None:
        """The task's present state, which is its last one when it is `done`."""
        self._states[title] = text
        if done:
            self._open.remove(title)
            self._display.show(f"{title}: {text}", self, now=True)
        states = (f"{title}: {self._states[title]}" for title in self._open)
        self._display.show("; ".join(states), self)

    def __rich__(self) -> "Table":
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        for title, text in self._states.items():
            table.add_row(self._spinner if title in self._open else " ", title, text)
        return table


@contextmanager
def board(titles: Iterable[str]) -> Iterator[Board]:
    """A board on stderr, where it stays."""
    with live.display(transient=False) as display:
        yield Board(titles, display)
