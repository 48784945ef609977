"""The master dataset in HDFS: its days, its closed files, and the files that are still open."""

import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from clickstream.clients import endpoints
from clickstream.clients.hdfs import Entry, Hdfs, Stored
from clickstream.clocks import DayVolume
from clickstream.config import Settings

_DAY = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})\Z")
_SERVER = re.compile(r"server=[A-Za-z0-9._-]+\Z")
_HIDDEN = ("_", ".")
PREFIX, SUFFIX = "_", ".tmp"
"""Prefix and suffix of the name of a file that the collector writes."""


class File(NamedTuple):
    """A closed file: its path below the master dataset, its size in bytes, its time of change."""

    path: str
    size: int
    modified_ms: int


def days(hdfs: Hdfs, root: str) -> list[str]:
    """The days that have a partition, in order."""
    names = [_DAY.match(entry.name) for entry in hdfs.list(root) if entry.is_dir]
    return sorted(name[1] for name in names if name)


def closed(entries: Iterable[Entry], opened: Collection[str] = ()) -> list[Entry]:
    """The files with something in them that nobody writes.

    In use are names that begin with `_` or `.`, and the paths in `opened`, which HDFS says are
    open: at a file that was left open under its final name a job would fail.
    """
    return [entry for entry in entries if _closed(entry) and entry.path not in opened]


def closed_files(hdfs: Hdfs, root: str, days: Iterable[str]) -> dict[str, list[File]]:
    """Of each day its closed files, in order; without the days that have none."""
    listed = {
        day: [
            entry
            for server in hdfs.list(f"{root}/dt={day}")
            if server.is_dir and _SERVER.match(server.name)
            for entry in hdfs.list(server.path)
        ]
        for day in days
    }
    opened = frozenset(hdfs.open_files(root))  # asked last: a file may get its final name open
    files = {day: closed(entries, opened) for day, entries in listed.items()}
    return {
        day: sorted(_file(root, entry) for entry in entries)
        for day, entries in files.items()
        if entries
    }


class Listing(NamedTuple):
    """The closed files, and the paths that HDFS says are open."""

    closed: list[Entry]
    opened: set[str]


def listing(hdfs: Hdfs, root: str, days: Iterable[str], server: str = "") -> Listing:
    """The files of these days, of one server or of all."""
    files, opened = [], set[str]()
    for day in days:
        partition = f"{root}/dt={day}"
        entries = [*hdfs.walk(f"{partition}/server={server}" if server else partition)]
        opened |= {*hdfs.open_files(partition)}  # asked last, as above
        files += closed(entries, opened)
    return Listing(files, opened)


def source(
    settings: Settings, root: str, closed: Iterable[Entry], opened: Iterable[str] = ()
) -> dict[str, Any]:
    """What a job reads below a directory in HDFS, as its plan says it: closed files.

    By their directories, of which there are fewer, each read whole: but for those with a file of
    `opened` that has its final name, which a job would fail at.
    """
    url = endpoints.hdfs_url(settings)
    stuck = {posixpath.dirname(path) for path in opened if not is_hidden(path)}
    parents = ((file.path, posixpath.dirname(file.path)) for file in closed)
    paths = sorted({path if parent in stuck else parent for path, parent in parents})
    return {"root": url + root, "paths": [url + path for path in paths]}


def plan(settings: Settings, closed: Sequence[Entry], opened: Iterable[str] = ()) -> dict[str, Any]:
    """The part of a job's plan for these files of the master dataset: `master`, `bytes`."""
    read = source(settings, settings.hdfs.master, closed, opened)
    return {"master": read, "bytes": sum(entry.size for entry in closed)}


def volume(files: Sequence[File]) -> DayVolume:
    """The bytes of a day's closed files, and when the last of them was closed."""
    closed_ms = max((file.modified_ms for file in files), default=0)
    return DayVolume.at(sum(file.size for file in files), closed_ms)


def closed_by_day(root: str, files: Iterable[Stored]) -> dict[str, list[tuple[str, int]]]:
    """(path below the master dataset, size) of each closed file, by day, in order."""
    days: dict[str, list[tuple[str, int]]] = {}
    for file in files:
        path = file.path.removeprefix(f"{root}/")
        day, server, name = [*path.split("/"), "", ""][:3]
        placed = _DAY.match(day) and _SERVER.match(server) and name
        if placed and is_closed(file):
            days.setdefault(day.removeprefix("dt="), []).append((path, file.size))
    return {day: sorted(each) for day, each in days.items()}


def is_closed(file: Stored) -> bool:
    """True for a file with something in it that nobody writes."""
    return file.size > 0 and not is_hidden(file.path) and not file.open


def is_open(file: Stored) -> bool:
    """True for a file that is being written, or was left so."""
    return file.open or _is_collectors(file.path)


def is_hidden(path: str) -> bool:
    """True for a name that no job reads, as that of a file which the collector writes."""
    return posixpath.basename(path).startswith(_HIDDEN)


def in_use(hdfs: Hdfs, settings: Settings) -> list[Entry]:
    """The files of the master dataset and of the quarantine that are open, whatever their names."""
    return among(hdfs, settings, [e for root in _roots(settings) for e in hdfs.walk(root)])


def among(hdfs: Hdfs, settings: Settings, entries: Sequence[Entry]) -> list[Entry]:
    """The entries that are in use."""
    opened = {path for root in _roots(settings) for path in hdfs.open_files(root)}
    return [
        entry
        for entry in entries
        if _is_collectors(entry.path) or (is_stuck(entry) and entry.path in opened)
    ]


def is_stuck(entry: Entry) -> bool:
    """True where an open file has its final name: nobody will ever close it."""
    return not entry.name.startswith(PREFIX)


def _closed(entry: Entry) -> bool:
    return not entry.is_dir and entry.size > 0 and not is_hidden(entry.path)


def _file(root: str, entry: Entry) -> File:
    return File(entry.path.removeprefix(f"{root}/"), entry.size, entry.modified_ms)


def _roots(settings: Settings) -> tuple[str, str]:
    return settings.hdfs.master, settings.hdfs.quarantine


def _is_collectors(path: str) -> bool:
    name = posixpath.basename(path)
    return name.startswith(PREFIX) and name.endswith(SUFFIX)
