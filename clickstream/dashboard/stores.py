"""What the reports of a page share: connections, what several of them read, and their answers.

A page asks for five reports at once; to connect for each, and to read the open days for each, is
most of their work. It is shared for moments only: where a store comes back, moves, is made anew or
gets more lines, the next page finds it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from clickstream.dashboard import answers
from clickstream.serve import reports
from clickstream.serve.layers import Connections, connected

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.batch import BatchViews
    from clickstream.views.realtime import RealTime

SHARED_S = 3.0
READ_ONCE = frozenset(
    ("runs", "traffic", "last_minute", "latest", "status", "printed_days", "minutes", "volumes")
)
"""The methods of either layer's views whose answers are shared."""

T = TypeVar("T")


class Stores:
    """The stores of a dashboard; safe to be used by many threads."""

    def __init__(self, settings: "Settings", now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._shared: _Shared | None = None

    def answer(self, name: str, question: reports.Question) -> reports.Answer:
        """The answer of a report, once for all who ask the same; raises as `answers.asked`."""
        with self._using() as shared:
            return shared.answer(name, question)

    def ask_ahead(self, last: str, server: str | None) -> None:
        """Ask what the panels will ask, while a browser still reads the scripts of the page."""
        for name in answers.PANELS:
            # Whatever goes wrong is told to the panel, which asks for the same.
            with suppress(Exception):
                self.answer(name, answers.of_panel(self._settings, name, last, server))

    @contextmanager
    def _using(self) -> Iterator["_Shared"]:
        shared = self._taken()
        try:
            yield shared
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
        self._settings = settings
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, reports.Question], _Once[reports.Answer]] = {}
        self._opened = ExitStack()
        opened = self._opened.enter_context(connected(settings))
        batch = _Once(lambda: cast("BatchViews", _ReadOnce(opened.batch())))
        realtime = _Once(lambda: cast("RealTime", _ReadOnce(opened.realtime())))
        self._connections = Connections(batch, realtime)

    def answer(self, name: str, question: reports.Question) -> reports.Answer:
        """Asked once; raises what was raised then."""
        ask = partial(answers.asked, self._settings, name, question, self._connections)
        with self._lock:
            once = self._answers.setdefault((name, question), _Once(ask))
        return once()

    def close(self) -> None:
        """Let the connections go."""
        self._opened.close()


class _ReadOnce:
    """Views of a layer that answer the same question once; their reports are of one moment, too."""

    def __init__(self, views: object) -> None:
        self._views = views
        self._lock = threading.Lock()
        self._answers: dict[str, _Once[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._views, name)
        return partial(self._once, name, asked) if name in READ_ONCE else asked

    def _once(self, name: str, asked: Callable[..., Any], *values: object, **named: object) -> Any:
        with self._lock:
            question = f"{name}{values!r}{named!r}"
            answer = self._answers.setdefault(question, _Once(partial(asked, *values, **named)))
        return answer()


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
                except Exception as error:  # whatever it is, nobody shall wait for ever
                    self._made.set_exception(error)
        return self._made.result()
