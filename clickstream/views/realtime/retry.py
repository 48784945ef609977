"""Waiting for a store that is away: the same question again, until it answers or time is up."""

import time
from collections.abc import Callable
from typing import TypeVar

from clickstream.errors import NotRunning

INTERVAL_S = 1.0

Answer = TypeVar("Answer")


class Patience:
    """How long a writer waits. Everything it asks can be asked twice.

    `since` is when the outage at hand began, epoch s; None while the store answers. `outages` is
    how many there were. `over` says that nobody waits any more.
    """

    def __init__(self, timeout_s: float) -> None:
        self.since: float | None = None
        self.outages = 0
        self.over: Callable[[], bool] = lambda: False
        self._timeout_s = timeout_s
        self._deadline = 0.0

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The question's answer; raises NotRunning once the store was away for the timeout."""
        while True:
            try:
                answer = question()
            except NotRunning as away:
                self._wait(away)
            else:
                self.since = None
                return answer

    def _wait(self, away: NotRunning) -> None:
        if self.since is None:
            self.since = time.time()
            self.outages += 1
            self._deadline = time.monotonic() + self._timeout_s
        if self.over():
            raise away
        if time.monotonic() >= self._deadline:
            raise NotRunning(
                f"{away.message} for {self._timeout_s:g} s",
                "once it runs, clickstream speed run goes on where this ended",
            ) from away
        time.sleep(INTERVAL_S)
