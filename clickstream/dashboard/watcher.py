"""The one reader of the real-time views: a thread that keeps the newest snapshot for every page.

A page that asks touches no store: with Cassandra away each would hold a thread until a timeout,
and could not say why it has nothing. Nobody asked for a while: the watcher rests.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from clickstream.dashboard.snapshot import snapshot
from clickstream.errors import ClickstreamError, NoData, NotRunning, no_line_yet

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.realtime import RealTime

INTERVAL_S = 1.0
RECONNECT_S = 2.0
REST_S = 10.0  # after so long without a question
SILENT_S = 3.0  # an answer that takes longer is missed aloud


class Now(NamedTuple):
    """What a page is given: 200 with a snapshot, 204 where it has it, 503 with the reason."""

    status: int
    body: bytes


class _State(NamedTuple):
    """What the thread knows: the newest snapshot as JSON, and why there is none newer."""

    batch: int | None = None
    as_of: str | None = None
    body: bytes = b""
    error: ClickstreamError | None = None


class Watcher:
    """Reads each second while it is asked; a context manager that starts and ends the thread."""

    def __init__(
        self, settings: "Settings", connect: Callable[["Settings"], "RealTime"] | None = None
    ) -> None:
        self._settings = settings
        self._connect = connect or _connect
        self._state = _State()
        self._views: RealTime | None = None
        self._asked = threading.Event()
        self._ending = threading.Event()
        self._asked_at = self._read_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._asked.set()
        self._thread.join(INTERVAL_S)

    def now(self, seen: int | None) -> Now:
        """The answer to a page that has the snapshot of batch `seen`; never waits."""
        now = time.monotonic()
        if now - self._asked_at > REST_S:
            self._read_at = now
        self._asked_at = now
        self._asked.set()
        state = self._state
        if state.error is None and now - self._read_at > SILENT_S:
            silent = f"Cassandra has not answered for {now - self._read_at:.0f} s"
            state = state._replace(error=NotRunning(silent, "clickstream stack status"))
        return _answer(state, seen)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._asked.wait()
            began = time.monotonic()
            failed = not self._read()
            rest = RECONNECT_S if failed else INTERVAL_S
            self._ending.wait(max(0.0, began + rest - time.monotonic()))
            if time.monotonic() - self._asked_at > REST_S:
                self._asked.clear()
        self._disconnect()

    def _read(self) -> bool:
        """Take the newest batch; False where the store could not be read."""
        try:
            self._views = self._views or self._connect(self._settings)
            self._state = self._newest(self._views)
        except ClickstreamError as error:
            self._state = self._state._replace(error=error)
            if self._views is None or not isinstance(error, NoData):
                self._disconnect()
                return False
        self._read_at = time.monotonic()
        return True

    def _newest(self, views: "RealTime") -> _State:
        batch = views.status()["batch"]
        if batch is not None and batch == self._state.batch and self._state.body:
            return self._state._replace(error=None)
        content = {} if batch is None else snapshot(self._settings, views, batch)
        if not content:
            raise no_line_yet()
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return _State(batch, content["as_of"], body)

    def _disconnect(self) -> None:
        views, self._views = self._views, None
        if views is not None:
            views.close()


def _connect(settings: "Settings") -> "RealTime":
    from clickstream.views.realtime import RealTime

    return RealTime.connect(settings, reader=True)


def _answer(state: _State, seen: int | None) -> Now:
    if state.error is not None:
        return Now(503, problem(state.error, as_of=state.as_of))
    if not state.body or state.batch == seen:
        return Now(204, b"")
    return Now(200, state.body)


def problem(error: ClickstreamError, **more: object) -> bytes:
    """An error as JSON: its sentence and its hint."""
    text = {"error": error.message, "hint": error.hint, **more}
    return json.dumps(text, ensure_ascii=False).encode()
