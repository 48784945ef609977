"""A log found again by its content, under whatever name it lies in a directory now.

A log that was begun and is found nowhere is reported: nothing is lost in silence.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from clickstream.errors import BadInput
from clickstream.ingest.follow.log_reader import LogReader
from clickstream.ingest.follow.record import Missing, Reading, Record, unresolved
from clickstream.ingest.follow.tail import FileEntry, FileRemoved, Key, TailedFile, look, opened
from clickstream.ingest.spool import logs
from clickstream.ingest.spool.spooler import LOCAL
from clickstream.ledger import Ledger, LogFile, line_end_checksum

_FIRST_LINE_BYTES = 1 << 20
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_VARYING = re.compile(rf"([0-9a-f]{{6,}}|[0-9]+|{_MONTH})")


class Search:
    """Looks for the logs of a record that are held open no more.

    `read` makes a reader of an open file, recognised where it can be.
    """

    def __init__(
        self,
        ledger: Ledger,
        path: Path,
        record: Record,
        notify: Callable[[str], None],
        read: Callable[[TailedFile], LogReader],
    ) -> None:
        self._ledger = ledger
        self._path = path
        self._record = record
        self._notify = notify
        self._read = read
        self._reported: set[str] = set()

    def note(self, logs_read: Iterable[LogReader], sizes: bool = False) -> None:
        """Record which logs are read now; with their `sizes` where nobody reads on."""
        self._record.reading = {
            log.file: Reading(str(log.tailed.real), log.tailed.size if sizes else 0)
            for log in logs_read
            if log.file and (log.admitted or log.offset)
        }

    def truncated(self, log: LogReader) -> None:
        """A log was truncated while it was held open: it is looked for, and was reported."""
        self._reported.add(log.file)

    def find(
        self, held: Collection[LogReader], live: LogReader | None, since: float
    ) -> list[LogReader]:
        """The logs, held open, that are to be read beside those `held`: found again, or missed.

        `live` is the one at the path; `since`: as of `Memory`. Raises FileRemoved.
        """
        sought = self._sought() - {log.file for log in held}
        found: list[LogReader] = []
        try:
            for log in self._again(sought, held):
                found.append(log)
            if live:
                self._missed_by_a_link(live, found, since)
        except BaseException:
            for log in found:
                log.tailed.close()
            raise
        self._report(sought - {log.file for log in found})
        for log in (*found, *held):
            self._record.missing.pop(log.file, None)
        return found

    def _sought(self) -> set[str]:
        known = {log.file: log for log in self._ledger.files(self._record.server)}
        missing = self._record.missing.items()
        still = {file: each for file, each in missing if unresolved(each, known.get(file))}
        self._record.missing = still
        return {*self._record.reading, *still}

    def _again(self, sought: set[str], held: Collection[LogReader]) -> Iterator[LogReader]:
        known = [log for log in self._ledger.files(self._record.server) if log.file in sought]
        keys, wanted = {log.tailed.key for log in held}, set(sought)
        for tailed in candidates(self._ledger, known, self._directories(), keys) if known else ():
            log = self._read(tailed)
            if log.file in wanted:
                wanted.discard(log.file)
                self._notify(f"{tailed.path} goes on at byte {log.offset}, where it was left")
                yield log
            else:
                tailed.close()
        for file in wanted - {log.file for log in known}:  # of which no line was taken yet
            yield from self._where_it_lay(file, keys)

    def _where_it_lay(self, file: str, held: Collection[Key]) -> Iterator[LogReader]:
        recorded = self._record.reading.get(file) or self._record.missing[file]
        entry = look(Path(recorded.path))
        if entry and entry.key not in held and entry.path.is_file():
            yield self._read(opened(entry))

    def _directories(self) -> list[Path]:
        """Where a log may lie: beside the path, and beside the targets that it had as a link."""
        reading = [each.path for each in self._record.reading.values()]
        missing = [each.path for each in self._record.missing.values()]
        targets = [self._path.resolve(), *map(Path, (*reading, *missing))]
        return [self._path.parent, *(target.parent for target in targets)]

    def _missed_by_a_link(self, live: LogReader, found: list[LogReader], since: float) -> None:
        """Add the logs to which a link has pointed meanwhile."""
        if not self._path.is_symlink():
            return
        for reading in self._record.reading.values():
            for entry in between(Path(reading.path), live.tailed.real, since):
                if entry.key not in {log.tailed.key for log in (live, *found)}:
                    self._notify(f"{entry.path} was missed, it is read as a whole")
                    found.append(self._read(opened(entry)))

    def _report(self, lost: set[str]) -> None:
        known = {log.file: log for log in self._ledger.files(self._record.server)}
        for file in lost:
            reading, log = self._record.reading.pop(file, None), known.get(file)
            if reading and file not in self._reported:
                source = f"{LOCAL}{reading.path} (gone)"  # whatever may stand at the path by now
                if log:
                    self._ledger.moved(log, source)
                offset = log.bytes if log else 0
                self._record.missing[file] = Missing(reading.path, offset, reading.size, source)
            if file in self._record.missing and file not in self._reported:
                self._notify(str(self._record.missing[file]))
            self._reported.add(file)


def candidates(
    ledger: Ledger, sought: Collection[LogFile], directories: Iterable[Path], held: Collection[Key]
) -> Iterator[TailedFile]:
    """Files, held open, that begin with the first line of a sought log; those `held` left out.

    Only a look at a line of each file: whether the rest agrees is for the spooler to say.
    """
    seen = set(held)
    for entry in _files(directories):
        if entry.key in seen:
            continue
        seen.add(entry.key)
        try:
            tailed = opened(entry)
        except (OSError, BadInput, FileRemoved):
            continue  # of another user, or gone meanwhile
        if _begins_alike(ledger, sought, tailed):
            yield tailed
        else:
            tailed.close()


def between(old: Path, new: Path, since: float) -> list[FileEntry]:
    """The files beside two targets of a link, named alike, written since a time; oldest first.

    What differs between the two names may differ in theirs: numbers, hexadecimal digits, months.
    """
    pattern = _pattern(old.name, new.name) if old.parent == new.parent else None
    if pattern is None:
        return []
    files = [each for each in _files([new.parent]) if pattern.fullmatch(each.path.name)]
    wanted = [each for each in files if each.path not in (old, new) and each.modified >= since]
    return sorted(wanted, key=lambda each: each.modified)


def _pattern(old: str, new: str) -> re.Pattern[str] | None:
    """The names that differ from two only where those do; None where that is no number."""
    parts = _VARYING.split(old), _VARYING.split(new)
    if len(parts[0]) != len(parts[1]) or parts[0][::2] != parts[1][::2] or old == new:
        return None
    pairs = zip(*parts, strict=True)
    return re.compile(
        "".join(re.escape(a) if a == b else _VARYING.pattern for a, b in pairs) + r"(?:\.gz)?"
    )


def _files(directories: Iterable[Path]) -> Iterator[FileEntry]:
    for directory in dict.fromkeys(directories):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        entries = (look(directory / name) for name in names)
        yield from (entry for entry in entries if entry and entry.path.is_file())


def _begins_alike(ledger: Ledger, sought: Collection[LogFile], tailed: TailedFile) -> bool:
    try:
        with logs.plain(tailed.opener(tailed.size), str(tailed.path)) as stream:
            line = stream.readline(_FIRST_LINE_BYTES)
    except (BadInput, OSError):
        return False
    checksum = line_end_checksum(hashlib.sha256(line))
    return any(ledger.has_checksum(log, len(line), checksum) for log in sought)
