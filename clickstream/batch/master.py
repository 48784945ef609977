"""The master copy as the batch layer sees it: days, and the closed files of a day."""

import re
from typing import NamedTuple

from clickstream.hdfs import Entry, Hdfs

_DAY = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})\Z")
_SERVER = re.compile(r"server=[A-Za-z0-9._-]+\Z")
_HIDDEN = ("_", ".")


class File(NamedTuple):
    """A closed file: its path below the master copy, its size in bytes, its time of change."""

    path: str
    size: int
    modified_ms: int


def days(hdfs: Hdfs, root: str) -> list[str]:
    """The days that have a partition, in order."""
    names = [_DAY.match(entry.name) for entry in hdfs.list(root) if entry.is_dir]
    return sorted(name[1] for name in names if name)


def closed_files(hdfs: Hdfs, root: str, day: str) -> list[File]:
    """A day's files with something in them; names that begin with `_` or `.` are in use."""
    found = []
    for server in hdfs.list(f"{root}/dt={day}"):
        if server.is_dir and _SERVER.match(server.name):
            closed = filter(_closed, hdfs.list(server.path))
            found += [_file(day, server.name, entry) for entry in closed]
    return sorted(found)


def _closed(entry: Entry) -> bool:
    return not entry.is_dir and entry.size > 0 and not entry.name.startswith(_HIDDEN)


def _file(day: str, server: str, entry: Entry) -> File:
    return File(f"dt={day}/{server}/{entry.name}", entry.size, entry.modified_ms)
