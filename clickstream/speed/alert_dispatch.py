"""Delivery of alert changes to the configured sinks: a file, a webhook, the terminal.

The queue is the table of changes: nothing is kept here but each sink's position, which is stored in
Cassandra, too, once the sink has taken a change. So a sink that was away, or a driver that died,
goes on where it stopped. Each change comes in order, at least once; a second time it has the same
`id` and `seq`. Sinks run beside the stream and beside one another; no failure of theirs is the
stream's.
"""

import base64
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from clickstream.alerts import flat
from clickstream.config import Settings
from clickstream.console.escape import printable
from clickstream.errors import ClickstreamError
from clickstream.views.realtime import AlertChange, RealTime
from clickstream.views.realtime.reader import MAX_CHANGES

PAGE = 100
POLL_S = 1.0
FIRST_RETRY_S = 1.0
LAST_CALL_S = 5
NOTHING = -1

Position = tuple[int, int]
Send = Callable[[dict[str, Any]], None]


class AlertDispatcher:
    """Delivers changes to one sink, in order. `send` raises where the sink did not take one.

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
            self._send(message(change))
            self._after = change.position
            if self._name:
                views.set_delivered(self._name, change.position)
        return bool(changes)

    def close(self) -> None:
        """Give the connection back; the next delivery makes another."""
        if self._views:
            self._views.close()
            self._views = None

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
def delivering(settings: Settings) -> Iterator[None]:
    """Deliver to the configured sinks meanwhile, each in a thread of its own.

    In the end, if all went well, they get a moment for what is left; the rest waits for the next
    run.
    """
    ended = threading.Event()
    threads = [
        threading.Thread(target=_serve, args=(settings, name, send, ended), daemon=True)
        for name, send in _sinks(settings).items()
    ]
    with ExitStack() as stack:
        stack.callback(ended.set)
        for thread in threads:
            thread.start()
        yield
        ended.set()
        deadline = time.monotonic() + LAST_CALL_S
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))


def to_file(path: Path) -> Send:
    """A sink that appends a line of JSON; a line torn by a crash is cut off first."""

    def send(change: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            _cut_torn_line(file)
            file.write(json.dumps(change).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    return send


def to_webhook(url: str, timeout_s: float) -> Send:
    """A sink that posts JSON and wants a 2xx; credentials in the URL go into a header."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    opener = urllib.request.build_opener(_NoRedirect)

    def send(change: dict[str, Any]) -> None:
        request = urllib.request.Request(target, json.dumps(change).encode(), headers)  # noqa: S310
        opener.open(request, timeout=timeout_s).close()

    return send


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its message: so it is no delivery."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _sinks(settings: Settings) -> dict[str, Send]:
    given, sinks = settings.alerts, {}
    if given.file:
        sinks["file"] = to_file(settings.files.configured(given.file))
    if url := given.webhook.get_secret_value():
        sinks["webhook"] = to_webhook(url, given.timeout_seconds)
    return sinks


def _serve(settings: Settings, name: str, send: Send, ended: threading.Event) -> None:
    """Deliver until the end, and then what is left; what fails is tried again, ever more slowly."""
    dispatcher, delay_s, last_call = AlertDispatcher(settings, name, send), FIRST_RETRY_S, False
    while not last_call:
        last_call = ended.is_set()
        try:
            while dispatcher.deliver():
                delay_s = FIRST_RETRY_S
            ended.wait(POLL_S)
        except Exception as error:  # Whatever it is: a sink that ended would not catch up.
            dispatcher.close()
            print(
                f"alerts: {name}: {printable(str(error))}; next try in {delay_s:g} s",
                file=sys.stderr,
                flush=True,
            )
            ended.wait(delay_s)
            delay_s = min(2 * delay_s, settings.alerts.retry_max_seconds)
    dispatcher.close()


def _cut_torn_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    back = 0
    while back < end:
        file.seek(end - back - 1)
        if file.read(1) == b"\n":
            break
        back += 1
    if back:
        file.truncate(end - back)
