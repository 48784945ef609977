"""The log of an agent; its lines are formatted as configs/flume/log4j2.xml.j2 says."""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from clickstream.console.escape import printable

SPOOLING_SOURCE = b"SpoolDirectorySource"
_BLOCK = 16_384
_ERROR = re.compile(
    rb"(?P<when>[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}),[0-9]{3} (?:ERROR|FATAL) "
    rb"(?P<logger>[^ ]+) (?P<said>[^\n]*)"
)
_DATED = re.compile(rb"\n[0-9]{4}-[0-9]{2}-[0-9]{2} ")
_WHEN = re.compile(rb"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?=,[0-9]{3} )", re.MULTILINE)
# What HDFS says for lack of room, how that goes on, what it means, and above which line it means
# another thing: the NameNode says the first, too, where the client has excluded a failed DataNode.
_NO_ROOM = (
    (
        b"could only be written to ",
        re.compile(rb"[^\n]*There are [1-9][0-9]* datanode\(s\) running and "),
        "no DataNode has room for another block",
        b"Excluding datanode",
    ),
    (b" quota of ", re.compile(rb"[^\n]* is exceeded"), "a quota is exceeded", None),
    (b"Resources are low on NN", re.compile(b""), "the NameNode's own disk is full", None),
)
_JAVA = re.compile(
    rb"^(?:Error|Exception in thread|Invalid|Unrecognized|Terminating due to)[^\n]*(?:\n[^\n]+)?",
    re.MULTILINE,
)
_PACKAGE = re.compile(r"\b(?:[a-z][a-z0-9_]*\.)+(?=[A-Z])")


class Refusal(NamedTuple):
    """HDFS took nothing more for lack of room: when (seconds since the epoch), and of what."""

    when: float
    reason: str


def refusal(log: Path, start: int) -> Refusal | None:
    """The last time after byte `start` that HDFS refused a write for lack of room."""
    with _mapped(log, start) as (text, begin):
        found = [_refused(text, begin, *sign) for sign in _NO_ROOM]
        return max((each for each in found if each), default=None)


def last_error(log: Path, start: int, logger: bytes = b"") -> str:
    """The last ERROR or FATAL after byte `start`, with its root cause, as one short safe line.

    Only of loggers whose name begins with `logger`. Where there is none, what a Java machine says
    that could not run; else empty.
    """
    with _mapped(log, start) as (text, begin):
        for match in _errors(text, begin):
            if match["logger"].startswith(logger):
                return _sentence(match, _trace(text, match.end()))
        found = None if logger else _JAVA.search(text[begin : begin + _BLOCK])
        return _short(_text(found[0].replace(b"\n", b": ")), 200) if found else ""


def size_at_stop(log: Path, start: int, channel: str) -> int | None:
    """The number of events in a channel when it was stopped; None unless it was, and politely."""
    said = f"Shutdown Metric for type: CHANNEL, name: {channel}. channel.current.size == ".encode()
    with _mapped(log, start) as (text, begin):
        at = text.rfind(said, begin)
        found = re.match(rb"[0-9]+", text[at + len(said) : at + len(said) + 20])
        return int(found[0]) if at >= 0 and found else None


def size(log: Path) -> int:
    """Its bytes: where the lines of the next start begin."""
    return log.stat().st_size if log.exists() else 0


@contextmanager
def _mapped(log: Path, start: int) -> Iterator[tuple[bytes | mmap.mmap, int]]:
    """The log, and where to begin: a log that is shorter than that was recreated."""
    length = size(log)
    if length == 0:
        yield b"", 0
        return
    with (
        log.open("rb") as file,
        mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as text,
    ):
        yield text, start if start <= length else 0


def _refused(
    text: bytes | mmap.mmap,
    begin: int,
    words: bytes,
    rest: re.Pattern[bytes],
    reason: str,
    unless: bytes | None,
) -> Refusal | None:
    at = text.rfind(words, begin)
    if at < 0 or not rest.match(text, at + len(words)):
        return None
    above = text[max(begin, at - _BLOCK) : at]
    when = [*_WHEN.finditer(above)]
    if not when or (unless and unless in above):
        return None
    return Refusal(datetime.fromisoformat(when[-1][0].decode()).timestamp(), reason)


def _errors(text: bytes | mmap.mmap, begin: int) -> Iterator[re.Match[bytes]]:
    """The errors in a log, the last one first; no byte of it is looked at twice."""
    last = {level: text.rfind(level, begin) for level in (b" ERROR ", b" FATAL ")}
    while (at := max(last.values())) >= 0:
        if match := _ERROR.match(text, max(text.rfind(b"\n", begin, at) + 1, begin)):
            yield match
        level = max(last, key=lambda level: last[level])
        last[level] = text.rfind(level, begin, at)


def _trace(text: bytes | mmap.mmap, end: int) -> bytes:
    """The lines below an error, up to the next line of the log."""
    below = text[end : end + _BLOCK]
    after = _DATED.search(below)
    return below[: after.start()] if after else below


def _sentence(error: re.Match[bytes], trace: bytes) -> str:
    lines = [line for line in _text(trace).splitlines() if line and not line.startswith("\t")]
    cause = _PACKAGE.sub("", lines[-1].removeprefix("Caused by: ")) if lines else ""
    logger = _short(_text(error["logger"]), 40)
    head = f"{_text(error['when'])} {logger}: {_short(_text(error['said']), 80)}"
    return f"{head}: {_short(cause, 240)}" if cause else head


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _short(text: str, most: int) -> str:
    text = printable(text.strip())
    return text if len(text) <= most else f"{text[: most - 1]}…"
