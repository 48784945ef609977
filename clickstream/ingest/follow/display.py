"""The display of a follow: a live line on a terminal, plain lines now and then elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clickstream.console.escape import printable
from clickstream.ingest.follow.follower import Following

PLAIN_INTERVAL_S = 5.0
SOON_S = 1.0
RATE_S = 5.0


class Watch(NamedTuple):
    """`observe` is given what was done after each step, `notify` what happened to the log."""

    observe: Callable[[Following], None]
    notify: Callable[[str], None]


@contextmanager
def shown() -> Iterator[Watch]:
    """Shows a follow on stderr."""
    if sys.stderr.isatty():
        with _live() as watch:
            yield watch
    else:
        plain = _Plain()
        yield Watch(plain.observe, _say)


def summary(done: Following) -> str:
    """One sentence for the end."""
    return f"{done.lines} lines spooled, {done.invalid} invalid"


@contextmanager
def _live() -> Iterator[Watch]:
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.SpinnerColumn(), bars.TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    rate = Rate()
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def observe(done: Following) -> None:
            bar.update(task, description=_line(done, rate.of(done.lines, time.monotonic())))

        def notify(text: str) -> None:
            console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

        yield Watch(observe, notify)


def _line(done: Following, rate: float) -> str:
    waiting = f" · waiting for {printable(done.waiting_for)}" if done.waiting_for else ""
    return f"{done.lines} lines · {done.invalid} invalid · {rate:.0f}/s{waiting}"


class Rate:
    """Lines per second over the last RATE_S seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, lines: int, now: float) -> float:
        """The rate, when there are so many lines at a time (monotonic s)."""
        self._seen.append((now, lines))
        while now - self._seen[0][0] > RATE_S:
            self._seen.popleft()
        then, before = self._seen[0]
        return (lines - before) / max(now - then, 1.0)


class _Plain:
    """Says what it waits for when that lasts, and the number of lines when there are more."""

    def __init__(self) -> None:
        self._lines = 0
        self._waiting = self._said = ""
        self._since = self._next = time.monotonic()

    def observe(self, done: Following) -> None:
        now = time.monotonic()
        if done.waiting_for != self._waiting:
            self._waiting, self._since = done.waiting_for, now
        if self._waiting != self._said and now - self._since >= SOON_S:
            self._said = self._waiting
            if self._waiting:
                _say(f"waiting for {self._waiting}")
        if done.lines != self._lines and now >= self._next:
            self._lines, self._next = done.lines, now + PLAIN_INTERVAL_S
            _say(summary(done))


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)
