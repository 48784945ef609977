"""The source logs of a server as they lie in HDFS, compared by content with one that is to come."""

import os
import re
from functools import cached_property, partial
from itertools import chain, count
from typing import BinaryIO, NamedTuple, cast

from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import BadInput
from clickstream.ingest.spool import logs

STORED, CONTINUED, ALREADY_THERE = "stored", "continued", "already there"
_NUMBER = re.compile(r"(?:\.[0-9]+)?(?:\.gz)?\Z")


class Match(NamedTuple):
    """A stored log with the content of a new one: CONTINUED by it, or ALREADY_THERE.

    `size`: over how many uncompressed bytes they agree.
    """

    entry: Entry
    outcome: str
    size: int


class StoredLogs:
    """The source logs of a server; the beginning of each is read once."""

    def __init__(self, settings: Settings, server: str) -> None:
        self._settings = settings
        self._directory = f"{settings.hdfs.source}/{server}"
        self._heads: dict[str, bytes] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def path(self, name: str) -> str:
        """The path in HDFS of a name."""
        return f"{self._directory}/{name}"

    def find(self, opener: logs.Opener, file: str) -> Match | None:
        """The stored log that holds all of this one, else the longest that it continues."""
        head = _head(opener, file)
        alike = [entry for entry in self._entries.values() if self._may_match(entry, head)]
        found = [match for entry in alike if (match := self._match(entry, opener, file))]
        best_first = sorted(found, key=lambda each: (each.outcome == CONTINUED, -each.size))
        return best_first[0] if best_first else None

    def compare(self, name: str, opener: logs.Opener, file: str) -> Match | None:
        """The stored log of a name, where this one's content is its own or continues it."""
        return self._match(self._entries[name], opener, file) if name in self else None

    def free_name(self, name: str, day: str) -> str:
        """A name for new content whose own name is in use: with its day in place of a number."""
        base = _NUMBER.sub("", name)
        ending = name[len(name.removesuffix(".gz")) :]
        numbers = chain([""], map("-{}".format, count(2)))
        names = (f"{base}-{day}{number}{ending}" for number in numbers)
        return next(each for each in names if each not in self._entries)

    def write(self, name: str, opener: logs.Opener, outcome: str) -> int:
        """Write a log under a name unless it is ALREADY_THERE; its size in bytes, as given."""
        with opener() as stream:
            if outcome != ALREADY_THERE:
                self._hdfs.write(self.path(name), iter(partial(stream.read, logs.BLOCK_BYTES), b""))
                self._entries[name] = cast(Entry, self._hdfs.stat(self.path(name)))
                self._heads.pop(name, None)
            return stream.seek(0, os.SEEK_END)

    @cached_property
    def _hdfs(self) -> Hdfs:
        return Hdfs.connect(self._settings)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in files(self._hdfs, self._directory)}

    def _may_match(self, entry: Entry, head: bytes) -> bool:
        if entry.name not in self._heads:
            self._heads[entry.name] = self._head_of(entry)
        other = self._heads[entry.name]
        size = min(len(head), len(other))
        return size > 0 and head[:size] == other[:size]

    def _head_of(self, entry: Entry) -> bytes:
        try:
            return _head(partial(self._hdfs.open, entry.path), entry.path)
        except BadInput:
            return b""  # it was not put by us: it is like nothing

    def _match(self, entry: Entry, opener: logs.Opener, file: str) -> Match | None:
        there = partial(self._hdfs.open, entry.path)
        with logs.plain(there, entry.path) as old, logs.plain(opener, file) as new:
            outcome, size = _compared(old, new)
        return Match(entry, outcome, size) if outcome else None


def _compared(old: BinaryIO, new: BinaryIO) -> tuple[str, int]:
    """The outcome of putting the new content where the old one lies, "" where they differ."""
    size = 0
    while True:
        before, now = old.read(logs.BLOCK_BYTES), new.read(logs.BLOCK_BYTES)
        size += min(len(before), len(now))
        if not now.startswith(before):
            return (ALREADY_THERE if before.startswith(now) else ""), size
        if len(before) < logs.BLOCK_BYTES:
            return (CONTINUED if len(now) > len(before) else ALREADY_THERE), size


def _head(opener: logs.Opener, name: str) -> bytes:
    with logs.plain(opener, name) as stream:
        return stream.read(logs.HEAD_BYTES)


def files(hdfs: Hdfs, directory: str) -> list[Entry]:
    """The logs in a directory, in the order of their names; others have names of `.` or `_`."""
    stored = hdfs.list(directory)
    return [entry for entry in stored if not entry.is_dir and entry.name[0] not in "._"]
