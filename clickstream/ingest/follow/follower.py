"""Follow: a log that a web server is writing, spooled line by line as it grows.

The logs of one path are read oldest first: what was rotated away to its end, then what stands at
the path. The spooler recognises a log by its content; names and
inodes only find the files.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clickstream.config import Settings
from clickstream.errors import BadInput, ClickstreamError, NotRunning, ServiceFailed
from clickstream.ingest.follow import tail
from clickstream.ingest.follow.guard import Guard
from clickstream.ingest.follow.log_reader import LogReader, SpoolTarget, Truncated
from clickstream.ingest.follow.record import RecordFile
from clickstream.ingest.follow.search import Search
from clickstream.ingest.follow.tail import FileEntry, Key, TailedFile
from clickstream.ingest.spool.chunks import Limits
from clickstream.ingest.spool.spooler import LOCAL, OpenLog, Spooler

SLICE_S = 0.5
Notify = Callable[[str], None]


@dataclass
class Following:
    """The progress of a follow. `waiting_for` is a sentence's end, empty while it reads."""

    lines: int = 0
    invalid: int = 0
    waiting_for: str = ""
    interrupted: bool = False


@dataclass
class _PathState:
    """The path as it was last seen.

    `followed`: it was followed before, so logs may have been missed. `live`: the file at the path;
    `rotated`: the rotated logs at the last walk. `stale`: files are to be opened by a walk;
    `started`: a walk has succeeded.
    """

    followed: bool
    live: Key | None = None
    rotated: set[tuple[Key, float]] = field(default_factory=set)
    stale: bool = True
    started: bool = False

    def walked(self) -> None:
        """All files that are to be read are open."""
        self.started = self.followed = True
        self.stale = False


class Follower:
    """Follows one path. `step` is to be called again and again; it never waits for anything.

    What it has done is added to `done`; `notify` receives what happens to the log. `busy`: the last
    step ended because it took long enough, not because all was read.
    """

    def __init__(
        self,
        settings: Settings,
        spooled: Spooler,
        server: str,
        path: Path,
        notify: Notify,
        done: Following,
    ) -> None:
        self.done = done
        self.busy = False
        self._spooler = spooled
        self._server = server
        self._path = path
        self._notify = notify
        limits = Limits(settings.replay.chunk_lines, settings.replay.chunk_bytes)
        self._target = SpoolTarget(spooled, server, limits)
        self._quiet_s = settings.follow.quiet_seconds
        self._logs: list[LogReader] = []
        self._memory = tail.Memory(settings.files.followed(server, path))
        self._state = _PathState(followed=self._memory.existed or self._in_ledger())
        self._file = RecordFile(settings.files.follow_record(server, path), server, path)
        record = self._file.record
        self._guard = Guard(settings, spooled, server, record, notify)
        self._search = Search(spooled.ledger, path, record, notify, self._reader)

    def close(self) -> None:
        """Let go of all files."""
        self._save(sizes=True)
        for log in self._logs:
            log.tailed.close()
        self._logs.clear()

    def step(self) -> bool:
        """Look what has changed at the path, and spool what there is; whether that was all.

        A step ends after about SLICE_S seconds, or where there is no room. Raises BadInput where
        the log at the path cannot be taken.
        """
        began = time.time()
        self.busy = False
        self.done.waiting_for = ""
        try:
            looked = self._look()
            settled = self._read(time.monotonic() + SLICE_S) and looked
        except NotRunning as error:  # a log replayed from HDFS before is looked up there
            self.done.waiting_for = f"HDFS ({error.message})"
            return False
        except BadInput as refused:
            self._file.record.refused = refused.message
            raise
        self._let_go()
        self._save()
        if settled and all(map(self._is_live, self._logs)):
            self._memory.remember(began)
        return settled and not any(log.rest for log in self._logs if self._left(log))

    def _save(self, sizes: bool = False) -> None:
        if not self._state.stale:
            self._search.note(self._logs, sizes)
        self._file.save()

    # What has changed at the path.

    def _look(self) -> bool:
        """Hold all files open that are to be read; False while that is uncertain."""
        try:
            return self._unchanged() or self._unchanged()
        except tail.FileRemoved:
            return False
        except PermissionError as error:
            if not self._state.started:
                raise BadInput(
                    f"{error.filename} cannot be read", "follow as a user who may read it"
                ) from error
            self.done.waiting_for = f"permission to read {error.filename}"
            return False

    def _unchanged(self) -> bool:
        """Tell whether nothing has changed since the last look; else open what is new."""
        live = tail.look(self._path)
        self._state.live = live.key if live else None
        if live is None:
            self.done.waiting_for = f"{self._path} to appear"
        if not self._changed():
            return True
        if seen := tail.steady(self._path):
            self._walk(*seen)
        return False

    def _changed(self) -> bool:
        """Tell whether files are to be opened; that stays so until it was done."""
        truncated = [log for log in self._logs if not log.tailed.intact()]
        for log in truncated:
            self._truncated(log)
        newest = self._newest()
        if newest:
            blank = newest.tailed.blank
            newest.tailed.first_look()
            # What was in a blank file before it was truncated may lie in a copy.
            self._state.stale |= blank and self._has_new_rotated()
        else:
            self._state.stale |= self._state.live is not None or self._has_new_rotated()
        self._state.stale |= bool(truncated)
        return self._state.stale

    def _has_new_rotated(self) -> bool:
        """Tell whether there is a rotated log that was not there at the last walk."""
        return not _identities(tail.rotated(self._path), self._state.live) <= self._state.rotated

    def _walk(self, live: FileEntry | None, rotated: list[FileEntry]) -> None:
        """Open what is new at the path, and what was missed before it. Raises FileRemoved."""
        self._state.live = live.key if live else None
        self._state.rotated = _identities(rotated, self._state.live)
        rotated = [entry for entry in rotated if entry.key != self._state.live]
        for log in self._logs:
            if log.tailed.path == self._path and not self._is_live(log):
                log.tailed.left()
                self._renamed([*filter(None, [tail.look(log.tailed.real)])])
        newest = self._newest() or (self._opened(live) if live else None)
        missed = self._missed_before(newest, rotated)
        self._renamed(rotated)
        others = [log for log in self._logs if log is not newest] + missed
        self._logs = _oldest_first(others, rotated) + ([newest] if newest else [])
        self._state.walked()

    def _missed_before(self, newest: LogReader | None, rotated: list[FileEntry]) -> list[LogReader]:
        """The missed logs, opened; a newest log that was opened for this walk is closed if not."""
        missed: list[LogReader] = []
        try:
            missed += self._missed(newest, rotated) if self._state.followed else []
            held = [*self._logs, *missed, *([newest] if newest else [])]
            return missed + self._search.find(held, newest, self._memory.since)
        except BaseException:
            for log in (*missed, newest):
                if log and log not in self._logs:
                    log.tailed.close()
            raise

    def _reader(self, tailed: TailedFile) -> LogReader:
        """A reader of a file that was found, recognised."""
        tailed.first_look()
        log = LogReader(tailed, self._target)
        try:
            if self._knows(log):
                self._moved(log.open, tailed.path)
        except BaseException:
            tailed.close()
            raise
        return log

    def _opened(self, live: FileEntry) -> LogReader:
        log = LogReader(tail.opened(live), self._target)
        if log.tailed.packed:
            log.tailed.close()
            raise BadInput(f"{self._path} is compressed", "put it: clickstream weblog put")
        log.tailed.first_look()
        if self._has_new_rotated():
            log.tailed.close()
            raise tail.FileRemoved
        return log

    def _missed(self, newest: LogReader | None, rotated: list[FileEntry]) -> list[LogReader]:
        looked: dict[Key, LogReader] = {}

        def knows(tailed: TailedFile) -> bool:
            tailed.first_look()
            looked[tailed.key] = log = LogReader(tailed, self._target)
            return self._knows(log)

        held = {log.tailed.key: not log.tailed.blank for log in self._logs}
        live_known = bool(newest and self._knows(newest) and not newest.nothing_new)
        missed = tail.missed(rotated, knows, held, live_known, self._memory.since)
        return [looked[tailed.key] for tailed in missed]

    def _knows(self, log: LogReader) -> bool:
        """Tell whether the ledger knows the log, or a log that it is the beginning of."""
        try:
            log.recognise(log.tailed.packed)
        except Truncated:
            raise tail.FileRemoved from None
        except BadInput:
            # It may be compressed just now; one that stays broken is reported when it is read.
            if log.tailed.packed and log.tailed.quiet_s() < self._quiet_s:
                raise tail.FileRemoved from None
        return log.open is not None and log.open.known is not None

    def _renamed(self, rotated: list[FileEntry]) -> None:
        """Note where the logs lie that are read: their lines can be looked up there."""
        paths = {entry.key: entry.path for entry in rotated}
        for log in self._logs:
            path = paths.get(log.tailed.key)
            if path and path != log.tailed.path:
                self._notify(f"{log.tailed.path} was rotated, it is {path.name} now")
                log.tailed.path = log.tailed.real = path
                self._moved(log.open, path)

    def _moved(self, log: OpenLog | None, path: Path) -> None:
        for file in self._spooler.ledger.files(self._server):
            if log and file.file == log.file:
                log.path = _uri(path)
                self._spooler.ledger.moved(file, log.path)

    def _truncated(self, log: LogReader) -> None:
        self._notify(f"{log.tailed.path} was truncated; it had been read up to byte {log.offset}")
        self._search.truncated(log)
        self._state.stale = True  # a copy of it may lie under another name
        self._drop(log)

    # What is read.

    def _read(self, until: float) -> bool:
        """Spool what there is, oldest log first; whether that was all."""
        for log in list(self._logs):
            try:
                if not self._read_log(log, until):
                    return False
            except Truncated:
                self._truncated(log)
                return False
            except BadInput as error:
                if self._is_live(log):
                    raise
                if not self._given_up(log, error):
                    return False
        return True

    def _read_log(self, log: LogReader, until: float) -> bool:
        if not self._is_live(log):
            log.tailed.first_look()
        if not log.admitted and log.recognise(self._final(log)):
            self._guard.admit(log)
        while log.read(self._final(log)):
            if not self._spool(log):
                return False
            if time.monotonic() > until:
                self.busy = True
                return False
        return True

    def _spool(self, log: LogReader) -> bool:
        """Spool what is pending; False where that must wait."""
        if not self._has_room():
            return False
        try:
            chunk = log.spool()
        except ClickstreamError as error:
            if not (log.pending and log.pending.big):
                raise
            self.done.waiting_for = f"HDFS, to keep a line over 256 KiB ({error.message})"
            return False
        self._guard.count(chunk, log.tailed.path)
        lines = chunk.counts.total()
        self.done.lines += lines
        self.done.invalid += lines - chunk.valid
        return True

    def _has_room(self) -> bool:
        try:
            self._spooler.room(_refuse)
        except _NoRoom as crowded:
            self.done.waiting_for = str(crowded)
            return False
        except (NotRunning, ServiceFailed) as error:
            self.done.waiting_for = f"the agents ({error.message})"
            return False
        return True

    # What is over.

    def _final(self, log: LogReader) -> bool:
        """Tell whether nothing will be written to it any more, as far as one can see."""
        return log.tailed.packed or (self._left(log) and log.tailed.quiet_s() >= self._quiet_s)

    def _left(self, log: LogReader) -> bool:
        """Tell whether another log has taken its place at the path."""
        return not self._is_live(log) and (self._state.live is not None or log in self._logs[:-1])

    def _is_live(self, log: LogReader) -> bool:
        return log.tailed.key == self._state.live

    def _newest(self) -> LogReader | None:
        return next(filter(self._is_live, self._logs), None)

    def _let_go(self) -> None:
        for log in list(self._logs):
            if self._left(log) and self._final(log) and not log.pending and not log.rest:
                self._drop(log)

    def _given_up(self, log: LogReader, error: BadInput) -> bool:
        """Tell whether a rotated log that cannot be read is left; it may be compressed just now."""
        if log.tailed.packed and log.tailed.quiet_s() < self._quiet_s:
            log.forget()
            self.done.waiting_for = f"{log.tailed.path} to be compressed whole"
            return False
        self._notify(f"{log.tailed.path} is left alone: {error.message}")
        self._drop(log)
        return True

    def _drop(self, log: LogReader) -> None:
        log.tailed.close()
        self._logs.remove(log)

    def _in_ledger(self) -> bool:
        begins = _uri(self._path.with_suffix(""))
        return any(log.path.startswith(begins) for log in self._spooler.ledger.files(self._server))


class _NoRoom(Exception):
    """Spools or channels are crowded; says which."""


def _refuse(reason: str) -> None:
    raise _NoRoom(reason)


def _oldest_first(logs: list[LogReader], rotated: list[FileEntry]) -> list[LogReader]:
    """Sort logs by age; one that is not among the rotated logs (newest first) is the oldest."""
    age = {entry.key: number for number, entry in enumerate(rotated)}
    return sorted(logs, key=lambda log: -age.get(log.tailed.key, len(age)))


def _identities(entries: list[FileEntry], live: Key | None) -> set[tuple[Key, float]]:
    """Inode and mtime: a new file may have got the inode of a removed one.

    The file to which the path is a link may be named like a rotated one.
    """
    return {(each.key, each.modified) for each in entries if each.key != live}


def _uri(path: Path) -> str:
    return f"{LOCAL}{path}"
