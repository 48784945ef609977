"""Changes of alerts that a sink has refused for good: kept in a file of the home, to be sent again.

A line of JSON each. A driver that died just then may keep one twice; it is counted and sent once.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from clickstream.home import Home, append_line, exclusive, write_atomic
from clickstream.webhook import Refused, Send


class Undelivered(NamedTuple):
    """A message that `sink` refused at a moment (ISO UTC), and why."""

    sink: str
    reason: str
    at: str
    message: dict[str, Any]

    @property
    def name(self) -> tuple[str, str, int]:
        """What two copies of it have in common."""
        return self.sink, self.message["id"], self.message["seq"]


class Outcome(NamedTuple):
    """Of a message that was sent again: whether it arrived, or why it was refused once more."""

    message: dict[str, Any]
    reason: str


def keep(files: Home, refused: Undelivered) -> None:
    """Append one."""
    with _locked(files):
        append_line(files.undelivered, json.dumps(refused._asdict()), private=True)


def kept(files: Home) -> list[Undelivered]:
    """Every one, in the order in which they were refused."""
    try:
        lines = files.undelivered.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    whole = (Undelivered(**json.loads(line)) for line in lines if line.endswith("\n"))
    return list({each.name: each for each in whole}.values())


def resend(files: Home, sink: str, send: Send) -> Iterator[Outcome]:
    """Send each that the sink has refused once more, in order; what arrives is kept no longer.

    Raises what `send` raises but Refused: then this one and those behind it are kept as they are.
    """
    with _locked(files):
        todo = kept(files)
        left = list(todo)
        try:
            for each in todo:
                if each.sink != sink:
                    continue
                try:
                    send(each.message)
                except Refused as refusal:
                    yield Outcome(each.message, refusal.message)
                else:
                    left.remove(each)
                    yield Outcome(each.message, "")
        finally:
            lines = (f"{json.dumps(each._asdict())}\n" for each in left)
            write_atomic(files.undelivered, "".join(lines), private=True)


def note(files: Home) -> str:
    """A sentence on what is kept; empty where there is nothing."""
    every = kept(files)
    if not every:
        return ""
    last = every[-1]
    changes = "1 change of an alert" if len(every) == 1 else f"{len(every)} changes of alerts"
    return (
        f"{changes} could not be delivered: the {last.sink} refused the last one at {last.at} with"
        f" {last.reason}; clickstream alert resend sends them again"
    )


@contextmanager
def _locked(files: Home) -> Iterator[None]:
    with exclusive(files.undelivered_lock):
        yield
