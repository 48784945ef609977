"""The retry policy for an unavailable store: the same call again, until it answers or a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

from clickstream.errors import NotRunning

INTERVAL_S = 1.0

Result = TypeVar("Result")


class RetryPolicy:
    """How long a writer retries. Every call must be idempotent.

    `since` is when the current outage began, epoch s; None while the store answers. `outages` is
    how many there were. `cancelled` says that nobody waits any more.
    """

    def __init__(self, timeout_s: float) -> None:
        self.since: float | None = None
        self.outages = 0
        self.cancelled: Callable[[], bool] = lambda: False
        self._timeout_s = timeout_s
        self._deadline = 0.0

    def call(self, function: Callable[[], Result]) -> Result:
        """The function's result; raises NotRunning once the store was away for the timeout."""
        while True:
            try:
                result = function()
            except NotRunning as outage:
                self._wait(outage)
            else:
                self.since = None
                return result

    def _wait(self, outage: NotRunning) -> None:
        if self.since is None:
            self.since = time.time()
            self.outages += 1
            self._deadline = time.monotonic() + self._timeout_s
        if self.cancelled():
            raise outage
        if time.monotonic() >= self._deadline:
            raise NotRunning(
                f"{outage.message} for {self._timeout_s:g} s",
                "once it runs, clickstream speed run goes on where this ended",
            ) from outage
        time.sleep(INTERVAL_S)
