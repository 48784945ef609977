"""The record of what was pruned: days that nobody is to miss, and whose late lines nobody counts.

A pruned day is an empty directory below `_pruned` in the master dataset, whose readers pass over
names that begin with `_`. To make one is one step of the NameNode that may be repeated, and one
listing reads them all. A log of which undated lines were pruned has one of its own.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import NoData

_DIRECTORY = "_pruned"
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\Z")
_UNDATED = re.compile(r"undated\.([A-Za-z0-9._-]+)\.([0-9a-f]{16})\Z")


class Pruned(NamedTuple):
    """The pruned days, and the logs (server, file) of which undated lines were pruned."""

    days: frozenset[str] = frozenset()
    undated: frozenset[tuple[str, str]] = frozenset()


NOTHING = Pruned()


def read(hdfs: Hdfs, settings: Settings) -> Pruned:
    """What was pruned of this master dataset, from whatever home."""
    names = [entry.name for entry in hdfs.list(_directory(settings))]
    days = (_DAY.match(name) for name in names)
    logs = (_UNDATED.match(name) for name in names)
    return Pruned(
        frozenset(day[1] for day in days if day),
        frozenset((log[1], log[2]) for log in logs if log),
    )


def record_days(hdfs: Hdfs, settings: Settings, days: Iterable[str]) -> None:
    """Record that these days are pruned; before anything of them is removed."""
    for day in sorted(days):
        hdfs.make_directory(f"{_directory(settings)}/{day}")


def record_undated(hdfs: Hdfs, settings: Settings, logs: Iterable[tuple[str, str]]) -> None:
    """Record that undated lines of these logs (server, file) are pruned, before they are."""
    for server, file in sorted(logs):
        hdfs.make_directory(f"{_directory(settings)}/undated.{server}.{file}")


def no_data(day: str) -> NoData:
    """The error of a question about a pruned day."""
    return NoData(f"{day} was pruned: its lines were removed (clickstream prune)")


def _directory(settings: Settings) -> str:
    return f"{settings.hdfs.master}/{_DIRECTORY}"
