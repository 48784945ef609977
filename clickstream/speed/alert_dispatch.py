"""Delivery of alert changes to the configured sinks: a file, a webhook, the terminal.

The queue is the table of changes: nothing is kept here but each sink's position, which is stored in
Cassandra, too, once the sink has taken a change. So a sink that was away, or a driver that died,
goes on where it stopped. Each change comes in order, at least once; a second time it has the same
`id` and `seq`. What a sink refuses for good is kept aside (`undelivered`), and those behind it
arrive. Sinks run beside the stream and beside one another; no failure of theirs is the stream's.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from clickstream import undelivered, webhook
from clickstream.alerts import flat
from clickstream.config import Settings
from clickstream.console.escape import printable
from clickstream.days import instant
from clickstream.errors import ClickstreamError
from clickstream.home import append_line
from clickstream.undelivered import Undelivered
from clickstream.views.realtime import AlertChange, RealTime
from clickstream.views.realtime.reader import MAX_CHANGES
from clickstream.webhook import Refused, Send

PAGE = 100
POLL_S = 1.0
FIRST_RETRY_S = 1.0
LAST_CALL_S = 5
NOTHING = -1
WEBHOOK = "webhook"

Position = tuple[int, int]


class AlertDispatcher:
    """Delivers changes to one sink, in order. `send` raises where the sink did not take one:
    Refused where it never will.

    `name` is the sink's name in the table of positions; without one no position is stored, and
    delivery begins at the batch after the last.
    """

    def __init__(self, settings: Settings, name: str, send: Send) -> None:
        self._settings = settings
        self._name = name
        self._send = send
        self._after: Position | None = None
        self._views: RealTime | None = None

    def deliver(self) -> bool:
        """Deliver the next page of changes; False where there was none.

        Raises what the views or the sink raise; the position of what was delivered by then is
        stored, and the next call goes on behind it.
        """
        views = self._views = self._views or RealTime.connect(self._settings)
        self._after = self._after or self._beginning(views)
        changes = views.changes(self._after, PAGE)
        for change in changes:
            self._take(message(change))
            self._after = change.position
            if self._name:
                views.set_delivered(self._name, change.position)
        return bool(changes)

    @property
    def position(self) -> Position | None:
        """The position of the last change that was delivered or kept aside; None at first."""
        return self._after

    def close(self) -> None:
        """Give the connection back; the next delivery makes another."""
        if self._views:
            self._views.close()
            self._views = None

    def _take(self, sent: dict[str, Any]) -> None:
        try:
            self._send(sent)
        except Refused as refusal:
            reason, now = refusal.message, instant(int(time.time()))
            undelivered.keep(self._settings.files, Undelivered(self._name, reason, now, sent))
            _log(self._name, f"{sent['id']} is refused: {reason}; clickstream alert resend")

    def _beginning(self, views: RealTime) -> Position:
        if self._name:
            return views.delivered(self._name) or (-1, -1)
        last = views.status()["batch"]
        return (-1 if last is None else last, MAX_CHANGES)


def message(change: AlertChange) -> dict[str, Any]:
    """A change as a sink gets it: `event`, and the alert as reports show it."""
    return {"event": change.event} | flat(change.alert)


def line(sent: dict[str, Any]) -> str:
    """A message for a terminal."""
    into = f" {sent['merged_into']}" if sent["merged_into"] else ""
    peak = f"peak {sent['peak']} at {sent['peak_second']}"
    return printable(f"alert {sent['event']}{into}: {sent['id']} to {sent['last']}, {peak}")


def terminal_printer(settings: Settings) -> Callable[[int | None], None]:
    """A function that prints the changes of alerts up to a batch, from now on, if `stdout` is on.

    It is called again and again. While the views do not answer nothing is printed; the
    stream reports that.
    """
    dispatcher = AlertDispatcher(settings, "", lambda sent: print(line(sent), flush=True))
    printed: list[int | None] = [NOTHING]

    def print_changes(batch: int | None) -> None:
        if not settings.alerts.stdout or batch == printed[0]:
            return
        printed[0] = batch
        with suppress(ClickstreamError):
            while dispatcher.deliver():
                pass

    return print_changes


@contextmanager
def delivering(settings: Settings) -> Iterator[Mapping[str, str]]:
    """Deliver to the configured sinks meanwhile, each in a thread of its own.

    The value says, at any time, which sinks take nothing, and why; they are tried again.

    In the end, if all went well, they get a moment for what is left; the rest waits for the next
    run.
    """
    ended = threading.Event()
    failing: dict[str, str] = {}
    threads = [
        threading.Thread(target=_serve, args=(settings, name, send, ended, failing), daemon=True)
        for name, send in _sinks(settings).items()
    ]
    with ExitStack() as stack:
        stack.callback(ended.set)
        for thread in threads:
            thread.start()
        yield failing
        ended.set()
        deadline = time.monotonic() + LAST_CALL_S
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))


def to_file(path: Path) -> Send:
    """A sink that appends a line of JSON."""
    return lambda change: append_line(path, json.dumps(change))


def _sinks(settings: Settings) -> dict[str, Send]:
    given, sinks = settings.alerts, {}
    if given.file:
        sinks["file"] = to_file(settings.files.configured(given.file))
    if url := given.webhook.get_secret_value():
        sinks[WEBHOOK] = webhook.sender(url, given.timeout_seconds)
    return sinks


def _serve(
    settings: Settings, name: str, send: Send, ended: threading.Event, failing: dict[str, str]
) -> None:
    """Deliver until the end, and then what is left; what fails is tried again, ever more slowly."""
    dispatcher, delay_s, last_call = AlertDispatcher(settings, name, send), FIRST_RETRY_S, False
    failed_at: Position | None = None
    while not last_call:
        last_call = ended.is_set()
        try:
            while dispatcher.deliver():
                pass
            delay_s = FIRST_RETRY_S
            failing.pop(name, None)
            ended.wait(POLL_S)
        except Exception as error:  # Whatever it is: a sink that ended would not catch up.
            dispatcher.close()
            if dispatcher.position != failed_at:
                failed_at, delay_s = dispatcher.position, FIRST_RETRY_S
            pause_s = max(delay_s, webhook.retry_after_s(error))
            if not isinstance(error, ClickstreamError):  # else it is the views that are away
                failing[name] = str(error)
            _log(name, f"{error}; next try in {pause_s:g} s")
            ended.wait(pause_s)
            delay_s = min(2 * delay_s, settings.alerts.retry_max_seconds)
    dispatcher.close()


def _log(sink: str, text: str) -> None:
    print(f"alerts: {sink}: {printable(text)}", file=sys.stderr, flush=True)
