"""The connections that the reports of a page share.

A page asks for five reports at once; to connect for each is most of their work. Connections are
shared for moments only: where a store comes back, moves or is made anew, the next page finds it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from clickstream.errors import ClickstreamError
from clickstream.serve.layers import Connections, connected

if TYPE_CHECKING:
    from clickstream.config import Settings

SHARED_S = 2.0

T = TypeVar("T")


class Stores:
    """The stores of a dashboard; safe to be used by many threads."""

    def __init__(self, settings: "Settings", now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._shared: _Shared | None = None

    @contextmanager
    def connections(self) -> Iterator[Connections]:
        """Connections that others may be using, too."""
        shared = self._taken()
        try:
            yield shared.connections
        finally:
            with self._lock:
                shared.users -= 1
                idle = shared.users == 0 and shared is not self._shared
            if idle:
                shared.close()

    def _taken(self) -> "_Shared":
        now = self._now()
        with self._lock:
            before = shared = self._shared
            if shared is None or now - shared.made > SHARED_S:
                shared = self._shared = _Shared(self._settings, now)
            shared.users += 1
            idle = before is not shared and before and not before.users
        if idle and before:
            before.close()
        return shared


class _Shared:
    """Both connections, each made when it is first asked for; `users` are those at it now."""

    def __init__(self, settings: "Settings", made: float) -> None:
        self.made = made
        self.users = 0
        self._opened = ExitStack()
        opened = self._opened.enter_context(connected(settings))
        self.connections = Connections(_Once(opened.batch), _Once(opened.realtime))

    def close(self) -> None:
        """Let the connections go."""
        self._opened.close()


class _Once(Generic[T]):
    """Made once for every thread that asks; a failure, too: a store that is away takes 5 s each."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Future[T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._made is None:
                self._made = Future()
                try:
                    self._made.set_result(self._make())
                except ClickstreamError as error:
                    self._made.set_exception(error)
        return self._made.result()
