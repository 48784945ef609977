"""Progress while a command works: in place on a terminal, else plain lines, ten seconds apart.

There is one display for all commands. It restores the terminal however the command ends.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from clickstream.console.escape import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

PLAIN_S = 10.0
REDRAWS_PER_S = 8


class Display:
    """Progress that nobody wants to see; the other displays show it. Any thread may call them."""

    def show(
        self, line: str, picture: "RenderableType | None" = None, *, now: bool = False
    ) -> None:
        """The present state: a line, or on a terminal the picture, by default the line.

        A picture that is a text stands beside a spinner. `now`: the line, a part's last state, does
        not wait until one is due.
        """

    def say(self, text: str) -> None:
        """An event: a line that stays, at once."""


@contextmanager
def display(
    file: IO[str] | None = None, *, transient: bool = True, quiet: bool = False
) -> Iterator[Display]:
    """A display on a file, by default stderr; one that shows nothing where `quiet`.

    The last state stays at the end unless `transient`: then the command itself prints how it ended.
    """
    file = file or sys.stderr
    if quiet:
        yield Display()
    elif file.isatty():
        from rich.console import Console

        with on(Console(file=file, highlight=False), transient) as shown:
            yield shown
    else:
        plain = Plain(file)
        try:
            yield plain
        finally:
            plain.end(drop=transient)


@contextmanager
def on(console: "Console", transient: bool) -> Iterator[Display]:
    """A display in place, on a terminal."""
    from rich.live import Live

    with Live(console=console, transient=transient, refresh_per_second=REDRAWS_PER_S) as live:
        yield _InPlace(live)


class _InPlace(Display):
    def __init__(self, live: "Live") -> None:
        from rich.spinner import Spinner

        self._live = live
        self._spinner = Spinner("dots")
        self._drawn = False

    def show(
        self,
        line: str,
        picture: "RenderableType | None" = None,
        *,
        now: bool = False,  # noqa: ARG002 - a terminal shows every state at once
    ) -> None:
        if picture is None or isinstance(picture, str):
            from rich.text import Text

            self._spinner.update(text=Text(printable(picture or line)))
            picture = self._spinner
        # The first at once; the next ones when it is drawn again, however many there are.
        self._live.update(picture, refresh=not self._drawn)
        self._drawn = True

    def say(self, text: str) -> None:
        self._live.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class Plain(Display):
    """Lines: the first state at once, then the present one, if it is another, each `interval_s`."""

    def __init__(self, file: IO[str], interval_s: float = PLAIN_S) -> None:
        self._file = file
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._line = self._printed = ""
        self._timer: threading.Timer | None = None

    def show(
        self,
        line: str,
        picture: "RenderableType | None" = None,  # noqa: ARG002 - a line is all there is
        *,
        now: bool = False,
    ) -> None:
        """Print it if no line was printed in the last seconds, else when they are over."""
        with self._lock:
            if now:
                self._print(line)
                return
            self._line = line
            if self._timer is None:
                self._print_new()

    def say(self, text: str) -> None:
        """Print it now."""
        with self._lock:
            self._print(text)

    def end(self, drop: bool) -> None:
        """Print no more; the last state, if it was not printed, unless it is to be dropped."""
        with self._lock:
            if self._timer:
                self._timer.cancel()
            if not drop and self._line not in ("", self._printed):
                self._print(self._line)
            self._line = ""

    def _print_new(self) -> None:
        self._timer = None
        if self._line not in ("", self._printed):
            self._printed = self._line
            self._print(self._line)
            self._timer = threading.Timer(self._interval_s, self._due)
            self._timer.daemon = True
            self._timer.start()

    def _due(self) -> None:
        with self._lock:
            self._print_new()

    def _print(self, text: str) -> None:
        print(printable(text), file=self._file, flush=True)
