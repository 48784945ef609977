"""The display of a follow: how many lines came, how fast, and what it waits for."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clickstream.console import live
from clickstream.ingest.follow.follower import Following

RATE_S = 5.0


class Watch(NamedTuple):
    """`observe` is given what was done after each step, `notify` what happened to the log."""

    observe: Callable[[Following], None]
    notify: Callable[[str], None]


@contextmanager
def shown() -> Iterator[Watch]:
    """Shows a follow on stderr."""
    with live.display() as display:
        yield Watch(observer(display), display.say)


def observer(display: live.Display) -> Callable[[Following], None]:
    """A function that shows what was done."""
    rate = Rate()

    def observe(done: Following) -> None:
        waiting = f"; waiting for {done.waiting_for}" if done.waiting_for else ""
        speed = rate.of(done.lines, time.monotonic())
        display.show(summary(done) + waiting, _live_line(done, speed))

    return observe


def summary(done: Following) -> str:
    """One sentence for the end."""
    return f"{done.lines} lines spooled, {done.invalid} invalid"


def _live_line(done: Following, rate: float) -> str:
    waiting = f" · waiting for {done.waiting_for}" if done.waiting_for else ""
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
