"""The quarantine without the lines before a day.

Its files hold lines of any day. One with lines that stay is written again under a name of its own,
and only then removed: where that is cut off, both are there, and a line that is there twice counts
once. Lines without a possible time go by when their file was closed, which a new file keeps.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from clickstream import weblog
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.days import instant
from clickstream.ingest import rejects
from clickstream.ingest.rejects import NOW_VALID, UNSTAMPED, RejectedLine
from clickstream.ingest.spool import logs
from clickstream.ledger import UNDATED
from clickstream.weblog import Format, formats

_FROM = ".from-"
_WRITTEN_AGAIN = re.compile(rf"{re.escape(_FROM)}[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}\Z")

Id = tuple[str, str, int]


class Cut(NamedTuple):
    """What goes of a file: how many lines and bytes, of which days, of which logs without a day.

    `stay`: some line stays.
    """

    server: str
    entry: Entry
    lines: int
    bytes: int
    days: frozenset[str]
    undated: frozenset[tuple[str, str]]
    stay: bool


class _Line(NamedTuple):
    """A line of a file: how many bytes it takes there, its day if it has one, whether it goes."""

    reject: RejectedLine
    bytes: int
    day: str | None
    goes: bool


def cuts(hdfs: Hdfs, settings: Settings, before: str) -> Iterator[Cut]:
    """The closed files with lines before a day."""
    for server in _servers(hdfs, settings):
        for entry in rejects.files(hdfs, settings, server):
            with _lines(hdfs, settings, server, entry, before) as lines:
                cut = _cut(server, entry, lines)
            if cut.lines:
                yield cut


def going(hdfs: Hdfs, settings: Settings, cut: Cut, before: str) -> Iterator[Id]:
    """The id (server, file, offset) of each line that goes of a file."""
    with _lines(hdfs, settings, cut.server, cut.entry, before) as lines:
        yield from (each.reject[:3] for each in lines if each.goes)


def remove(hdfs: Hdfs, settings: Settings, cut: Cut, before: str) -> None:
    """Remove the lines that go of a file, and the file where none stays."""
    path, modified_ms = cut.entry.path, cut.entry.modified_ms
    if cut.stay:
        kept = f"{_WRITTEN_AGAIN.sub('', path)}{_FROM}{before}"
        hdfs.write(kept, _staying(hdfs, settings, cut, before), modified_ms)
    hdfs.delete(path)


def remove_drafts(hdfs: Hdfs, settings: Settings) -> None:
    """Remove what a prune that was cut off was writing."""
    for server in _servers(hdfs, settings):
        for entry in hdfs.list(f"{settings.hdfs.quarantine}/server={server}"):
            if entry.name.startswith("_") and _FROM in entry.name:
                hdfs.delete(entry.path)


def _servers(hdfs: Hdfs, settings: Settings) -> list[str]:
    """Every server that has a directory, configured or not."""
    names = (entry.name for entry in hdfs.list(settings.hdfs.quarantine) if entry.is_dir)
    return [name.removeprefix("server=") for name in names if name.startswith("server=")]


@contextmanager
def _lines(
    hdfs: Hdfs, settings: Settings, server: str, entry: Entry, before: str
) -> Iterator[Iterator[_Line]]:
    form = formats.of(settings, server) if server in settings.servers else weblog.COMBINED
    closed = instant(entry.modified_ms // 1000)[:10]
    with logs.plain(partial(hdfs.open, entry.path), entry.path) as stream:
        yield _judged(rejects.read(stream, server, entry.path, form), form, closed, before)


def _judged(
    lines: Iterable[RejectedLine], form: Format, closed: str, before: str
) -> Iterator[_Line]:
    at = 0
    for reject in lines:
        stop = reject.location[1] + reject.size + 1
        day = _day(reject, form)
        yield _Line(reject, stop - at, day, (day or closed) < before)
        at = stop


def _day(reject: RejectedLine, form: Format) -> str | None:
    """The day that a line was counted under; once it is reprocessed, that is the one it shows."""
    if reject.day == UNDATED and reject.reason == NOW_VALID:
        return weblog.judge(reject.raw, form).day
    return None if reject.day == UNDATED else reject.day


def _cut(server: str, entry: Entry, lines: Iterable[_Line]) -> Cut:
    number = size = staying = 0
    days, undated = set[str](), set[tuple[str, str]]()
    for each in lines:
        staying += not each.goes
        number += each.goes
        size += each.bytes * each.goes
        if each.goes and each.day:
            days.add(each.day)
        elif each.goes and each.reject.reason != UNSTAMPED:
            undated.add((each.reject.server, each.reject.file))
    return Cut(server, entry, number, size, frozenset(days), frozenset(undated), staying > 0)


def _staying(hdfs: Hdfs, settings: Settings, cut: Cut, before: str) -> Iterator[bytes]:
    """The bytes of the lines that stay, in blocks."""
    block = bytearray()
    with (
        _lines(hdfs, settings, cut.server, cut.entry, before) as lines,
        logs.plain(partial(hdfs.open, cut.entry.path), cut.entry.path) as stream,
    ):
        for each in lines:
            for piece in logs.blocks(stream, each.bytes):
                block += b"" if each.goes else piece
            if len(block) >= logs.BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    yield bytes(block)
