"""`ingest follow`: a follower called again and again, until it is to end."""

import errno
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.console import program
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.ingest import flow
from clickstream.ingest.follow.follower import Follower, Following, Notify
from clickstream.ingest.spool import spooler
from clickstream.ingest.spool.chunks import Spool
from clickstream.ingest.spool.spooler import Spooler
from clickstream.ledger import Ledger
from clickstream.weblog import formats

FIRST_CHECK_S = 5.0
RECHECK_S = 30.0
SPACE_AGAIN_S = 5.0


def follow(
    settings: Settings,
    server: str,
    path: Path,
    observe: Callable[[Following], None],
    notify: Notify,
    until_idle_s: float | None = None,
) -> Following:
    """Spool the lines of a growing log as they come, until SIGTERM, Ctrl-C, or so long a silence.

    All that was read is spooled before it returns. Raises UsageError for an unknown server,
    BadInput for a log or a format that cannot be taken, ClickstreamError where another spooler of
    this server runs, its agent has other settings, or the master dataset is another ledger's.
    """
    settings.require_server(server)
    _check_agent(settings, server, notify)
    done = Following()
    with _ending() as ended:
        run = _Run(settings, server, path.absolute(), observe, notify, until_idle_s, ended)
        while not run.over(done):
            time.sleep(SPACE_AGAIN_S)
    done.interrupted = signal.SIGINT in ended
    return done


def _check_agent(settings: Settings, server: str, notify: Notify) -> None:
    """Its agent may be away, then lines wait in the spool; but not run with other settings."""
    try:
        flow.require_edges(settings, [server])
    except NotRunning as error:
        # Chunks of an earlier format may wait for it; a new one must not be noted before.
        spool = Spool(settings.files.spool(server))
        formats.check_agent(settings, server, lambda chunk: spool.state(chunk) != "completed")
        notify(f"{error.message}; lines wait for it in the spool ({program.spoken(error.hint)})")


class _Run(NamedTuple):
    settings: Settings
    server: str
    path: Path
    observe: Callable[[Following], None]
    notify: Notify
    until_idle_s: float | None
    ended: list[int]

    def over(self, done: Following) -> bool:
        """Follow to the end; False where a disk was full: what was on its way comes again then."""
        try:
            with (
                spooler.opened(self.settings, [self.server]) as spooled,
                OwnershipCheck(self.settings, self.server) as ownership,
                closing(self._follower(spooled, done)) as follower,
            ):
                self._steps(spooled, ownership, follower)
        except (OSError, ClickstreamError) as error:
            if not _disk_full(error):
                raise
            self.notify(f"waiting for space: {error}")
            return bool(self.ended)
        return True

    def _follower(self, spooled: Spooler, done: Following) -> Follower:
        return Follower(self.settings, spooled, self.server, self.path, self.notify, done)

    def _steps(self, spooled: Spooler, ownership: "OwnershipCheck", follower: Follower) -> None:
        news = _News(self.until_idle_s)
        while True:
            ownership.check()
            last = bool(self.ended)  # whatever was written before the signal is still read
            settled = follower.step()
            self.observe(follower.done)
            if last or news.over(follower.done.lines, settled):
                return
            if not follower.busy:
                time.sleep(self.settings.follow.poll_seconds)
                spooled.tidy()


def _disk_full(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    cause = error.__cause__ if isinstance(error, ClickstreamError) else None
    return getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL"


class _News:
    """Tell whether there was none for long enough."""

    def __init__(self, until_idle_s: float | None) -> None:
        self._idle_after_s = until_idle_s
        self._lines = 0
        self._since = time.monotonic()

    def over(self, lines: int, settled: bool) -> bool:
        if lines != self._lines or not settled:
            self._lines, self._since = lines, time.monotonic()
        return self._idle_after_s is not None and (
            settled and time.monotonic() - self._since >= self._idle_after_s
        )


@contextmanager
def _ending() -> Iterator[list[int]]:
    """The signals to end that have come; a second one ends at once, as if nobody listened."""
    came: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[number])

    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class OwnershipCheck:
    """Checks, beside the following, that this ledger owns the master dataset.

    HDFS may be away or may hang, and lines must not wait for it; at the start it gets a moment.
    """

    def __init__(self, settings: Settings, server: str) -> None:
        self._settings = settings
        self._server = server
        self._failure: ClickstreamError | None = None
        self._tried = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "OwnershipCheck":
        self._thread.start()
        self._tried.wait(FIRST_CHECK_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raise the failure of the check, if it has failed."""
        if self._failure:
            raise self._failure

    def _look(self) -> None:
        while not self._ended.is_set():
            answered = self._check_owner()
            self._tried.set()
            if answered:
                return
            self._ended.wait(RECHECK_S)

    def _check_owner(self) -> bool:
        try:
            hdfs = Hdfs.connect(self._settings)
            with Ledger.open(self._settings.files.ledger) as ledger:
                spooler.check_owner(hdfs, self._settings, ledger, self._server)
        except NotRunning:
            return False
        except ClickstreamError as error:
            self._failure = error
        return True
