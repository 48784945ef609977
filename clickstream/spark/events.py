"""The driver's reports to the command that waits for it: a file of JSON lines.

A file, because the JVM may lose the last lines that its Python child prints. An event is one of
`stage` (shown while the job runs), `done` (the job's result), or `failed` (the reason, with `hint`
and `cause`); one of the last two ends the file of a driver that was not killed.
"""

import json
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clickstream.errors import ClickstreamError, ServiceFailed
from clickstream.runtime.process import Child

VARIABLE = "CLICKSTREAM_EVENTS"
"""The environment variable that names a driver's file of events."""

WHICH_BLOCKS = "are all DataNodes up? fsck of HDFS tells which blocks are lost"
KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r"(.*No space left on device.*)",
        "{}",
        'make room in the home, or give Spark another disk: spark.conf."spark.local.dir"',
    ),
    (
        r"BlockMissingException: Could not obtain block: \S+ file=(\S+)",
        "no DataNode gives a block of {}",
        WHICH_BLOCKS,
    ),
    (r"ChecksumException: Checksum error: (\S+)", "a block of {} is damaged", WHICH_BLOCKS),
    (
        r"(?:\[PATH_NOT_FOUND\] Path|FileNotFoundException: File) does not exist: (\S+?)\.?(?: |$)",
        "{} is gone, which was there when the files were listed",
        "was it pruned meanwhile? run it again",
    ),
)
"""Of the reasons of Spark and Hadoop: what each means for us, and what to do."""
JVM_EXITED = "Spark's JVM has exited"

Event = dict[str, Any]

_CALLED = re.compile(r"Call From \S+ to (\S+) failed")
_COMPLAINT = re.compile(r"(?:Exception|Error)\b.*:|^Error:|Killed")


def report(**event: Any) -> None:
    """Append an event, in a driver; outside of one nothing is written."""
    path = os.environ.get(VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(event) + "\n")


def read(path: Path) -> list[Event]:
    """The events so far, in order; a line that is being written is left out."""
    try:
        lines = path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def outcome(work: Callable[[], dict[str, Any] | None]) -> Event:
    """Do the work; the event of how it ended. The traceback of what is not ours is printed."""
    try:
        return {"done": work() or {}}
    except ClickstreamError as error:
        return {"failed": error.message, "hint": error.hint, "cause": str(error.__cause__ or "")}
    except Exception as error:
        traceback.print_exc()
        why, hint = (JVM_EXITED, "") if _lost_jvm(error) else meant(reason(error))
        return {"failed": why, "hint": hint, "cause": ""}


def result(driver: Child, events: list[Event]) -> dict[str, Any]:
    """The result of a driver that has ended; raises ServiceFailed with its reason and its log."""
    last = events[-1] if events else {}
    if "done" in last:
        done: dict[str, Any] = last["done"]
        return done
    log = f"log: {driver.log}"
    if "failed" not in last:
        raise ServiceFailed(f"{driver.name} ended early: {_complaint(driver.tail())}", log)
    failure = ServiceFailed(last["failed"], "; ".join(filter(None, [last.get("hint"), log])))
    if last.get("cause"):
        raise failure from ServiceFailed(last["cause"])
    raise failure


def reason(error: BaseException) -> str:
    """The one line of a Java or Python exception that says most: its last cause.

    Where Hadoop called somebody, its address: the cause alone is "Connection refused".
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    cause = causes[-1].removeprefix("Caused by: ") if causes else _first(lines)
    called = _CALLED.search(str(error)) if causes else None
    address = f"the call to {called[1]} failed: " if called else ""
    return f"{address}{cause}" if cause else type(error).__name__


def meant(why: str) -> tuple[str, str]:
    """A reason in our words where it is KNOWN, else as it is; and what to do, "" where unknown."""
    for pattern, message, hint in KNOWN:
        if found := re.search(pattern, why):
            return message.format(found[1]), hint
    return why, ""


def _first(lines: list[str]) -> str:
    """The first line, or where py4j only names the call that failed, the exception after it."""
    others = [line for line in lines if not line.startswith("An error occurred while calling")]
    return (others or lines or [""])[0].removeprefix(": ")


def _lost_jvm(error: Exception) -> bool:
    from py4j.protocol import Py4JNetworkError

    return isinstance(error, Py4JNetworkError | ConnectionError)


def _complaint(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return (complaints or lines[-1:] or ["without output"])[0]
