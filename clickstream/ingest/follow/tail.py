"""A tailed file: it grows, is renamed, copied and truncated, compressed, removed.

A file is held open while it is read, so neither a new name nor its removal takes away what it
holds. Nothing here knows of the ledger.
"""

import io
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from clickstream.errors import BadInput
from clickstream.ingest.spool.logs import GZIP_MAGIC, Opener

SAMPLE_BYTES = 256
_BLOCK_BYTES = 4 << 20
_BACK_BYTES = 1 << 16
_NUMBER = r"[0-9][0-9._T-]*"

Key = tuple[int, int]


class Window(io.RawIOBase):
    """The bytes `[start, stop)` of an open file, as a stream; it ends early in a shorter file."""

    def __init__(self, handle: int, start: int, stop: int) -> None:
        super().__init__()
        self._handle = handle
        self._at = start
        self._stop = stop

    def readable(self) -> bool:
        """It can be read, and nothing else."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill as much of the buffer as there are bytes; 0 at the end."""
        size = min(len(buffer), self._stop - self._at)
        got = os.preadv(self._handle, [memoryview(buffer)[:size]], self._at) if size else 0
        self._at += got
        return got


class TailedFile:
    """A log file, held open. Raises OSError where it cannot be opened, BadInput for no file.

    `key` is its inode: it distinguishes open files, and says nothing about content. `packed`:
    it is compressed, so it does not grow any more. `real` is its path without links.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.real = path.resolve()
        self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not block us
        status = os.fstat(self._handle)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise BadInput(f"{path} is not a file")
        self.key: Key = (status.st_dev, status.st_ino)
        self._head = self._tail = b""
        self._tail_at = self._searched = 0
        self._size = status.st_size
        self.packed = self._at(0, len(GZIP_MAGIC)) == GZIP_MAGIC
        age = time.time() - status.st_mtime if self.packed else 0.0
        self._changed = time.monotonic() - max(0.0, age)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._handle)

    @property
    def size(self) -> int:
        """Its length in bytes, as of now."""
        return os.fstat(self._handle).st_size

    @property
    def blank(self) -> bool:
        """Tell whether nothing was seen in it so far; `lines_end` sees no line then.

        A truncation can only be noticed from the first bytes on: what was in it before that may lie
        in a copy, so look for one after `first_look`.
        """
        return not self._head

    def first_look(self) -> None:
        """See its first bytes, if there are any."""
        self._extend_head()

    def quiet_s(self) -> float:
        """Seconds since it was last seen to change, or was opened (packed: since its mtime)."""
        if (size := self.size) != self._size:
            self._size, self._changed = size, time.monotonic()
        return time.monotonic() - self._changed

    def left(self) -> None:
        """Another file has taken its place: its silence counts from now."""
        self._changed = time.monotonic()

    def last_line_end(self) -> int:
        """The offset behind its last line end; 0 without any."""
        stop = self.size
        while stop > 0:
            start = max(0, stop - _BACK_BYTES)
            end = self._at(start, stop - start).rfind(b"\n") + 1
            if end:
                return start + end
            stop = start
        return 0

    def lines_end(self, offset: int) -> int:
        """The offset at which a run of whole lines from `offset` on ends; `offset` without any.

        The run is bounded. What has no line end yet is searched once, not again at each call.
        """
        if not self._head:
            return offset
        self._extend_head()
        at = max(offset, self._searched)
        while block := self._at(at, _BLOCK_BYTES):
            if end := block.rfind(b"\n") + 1:
                return at + end
            at += len(block)
            self._searched = at
        return offset

    def stream(self, start: int, stop: int) -> BinaryIO:
        """The bytes `[start, stop)`."""
        return cast(BinaryIO, io.BufferedReader(Window(self._handle, start, stop), 1 << 17))

    def opener(self, stop: int) -> Opener:
        """Opens its first `stop` bytes, as often as asked; whatever its name has become."""
        return lambda: nullcontext(cast(BinaryIO, Window(self._handle, 0, stop)))

    def intact(self) -> bool:
        """Tell whether what was read of it still stands in it; not so when it was truncated.

        A file that was truncated and has grown again beyond is recognised by its first
        bytes, and by those last read.
        """
        head = self._at(0, len(self._head))
        return head == self._head and self._at(self._tail_at, len(self._tail)) == self._tail

    def reached(self, stop: int) -> bool:
        """Record that all before `stop` was read; False where it was truncated meanwhile.

        What was read since `lines_end` is the log's only if this is True.
        """
        at = max(0, stop - SAMPLE_BYTES)
        tail = self._at(at, stop - at)
        if not self.intact() or len(tail) < stop - at:
            return False
        self._tail_at, self._tail = at, tail
        return True

    def _extend_head(self) -> None:
        if len(self._head) < SAMPLE_BYTES:
            head = self._at(0, SAMPLE_BYTES)
            if head.startswith(self._head):
                self._head = head

    def _at(self, offset: int, size: int) -> bytes:
        return os.pread(self._handle, size, offset)


class FileEntry(NamedTuple):
    """A file in a directory: `key` is its inode, `modified` its mtime in seconds."""

    path: Path
    key: Key
    modified: float


def look(path: Path) -> FileEntry | None:
    """The file at a path; None where there is none. Raises OSError where it cannot be looked up."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileEntry(path, (status.st_dev, status.st_ino), status.st_mtime)


def rotated(path: Path) -> list[FileEntry]:
    """The logs that were rotated away from a path, newest first.

    That is access.log.1, access.log-20260101, access.1.log or access-20260101.log beside
    access.log, each with .gz too; where the same stands plain and compressed, the plain one (it is
    being compressed).
    """
    names = _rotated_names(path)
    plain = {name for name in names if not name.endswith(".gz")}
    names = {name: n for name, n in names.items() if name.removesuffix(".gz") not in plain - {name}}
    entries = [look(path.with_name(name)) for name in names]
    logs = [log for log in entries if log and log.path.is_file()]
    numbers = [names[log.path.name] for log in logs]
    if all(_is_count(number) for number in numbers):
        return sorted(logs, key=lambda log: int(names[log.path.name]))
    if not any(_is_count(number) for number in numbers):
        return sorted(logs, key=lambda log: names[log.path.name], reverse=True)
    return sorted(logs, key=lambda log: log.modified, reverse=True)


def steady(path: Path) -> tuple[FileEntry | None, list[FileEntry]] | None:
    """The file at a path and its rotated logs; None while a rotation is going on: look again."""
    seen = (look(path), rotated(path))
    again = (look(path), rotated(path))
    return seen if _paths(seen) == _paths(again) else None


class Memory:
    """Remembers, over restarts, up to which time (epoch s) all there was had been read.

    That is the mtime of a file. `existed`: the path was followed before.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.existed = self._file.exists()
        if not self.existed:
            self._file.touch()
        self.since = self._file.stat().st_mtime

    def remember(self, when: float) -> None:
        """All that was there at that time has been read."""
        if abs(when - 1 - self.since) > 1:
            self.since = when - 1  # the kernel's clock for files runs a little behind
            os.utime(self._file, (self.since, self.since))


class FileRemoved(Exception):
    """A file was renamed or removed while it was looked at: look again."""


def opened(entry: FileEntry) -> TailedFile:
    """Hold a file open. Raises FileRemoved where something else stands there now."""
    try:
        tailed = TailedFile(entry.path)
    except FileNotFoundError:
        raise FileRemoved from None
    if tailed.key != entry.key:
        tailed.close()
        raise FileRemoved
    return tailed


def missed(
    rotated: list[FileEntry],
    knows: Callable[[TailedFile], bool],
    held: Mapping[Key, bool],
    live_known: bool,
    since: float,
) -> list[TailedFile]:
    """The rotated logs (given newest first) that are to be read, held open, oldest first.

    `knows`: the log was read before, at least its beginning; `held` are open already (true: not
    blank); `live_known`: the log at the path is known; `since`: the time (epoch s) up to which all
    there was had been read.

    Going back in time: logs newer than the first one known or held were missed, as a whole. That
    one may have grown, and so may those behind it; one that is not known and was not written since
    is from before the path was followed. Raises FileRemoved.
    """
    files: list[TailedFile] = []
    wanted: list[TailedFile] = []

    def hold(entry: FileEntry) -> TailedFile:
        files.append(file := opened(entry))
        return file

    try:
        examined, reached = _go_back(rotated, hold, knows, held, live_known, since)
        wanted = [
            each.file for each in reversed(examined) if each.certain or (each.newer and reached)
        ]
        return wanted
    finally:
        for file in files:
            if file not in wanted:
                file.close()


class _Examined(NamedTuple):
    """A rotated log; `certain`: it is to be read; `newer`: than the first one known or held."""

    file: TailedFile
    certain: bool
    newer: bool


def _go_back(
    rotated: list[FileEntry],
    hold: Callable[[FileEntry], TailedFile],
    knows: Callable[[TailedFile], bool],
    held: Mapping[Key, bool],
    live_known: bool,
    since: float,
) -> tuple[list[_Examined], bool]:
    """Examine logs, newest first, up to the one that ends the search; whether a known one came."""
    examined: list[_Examined] = []
    reached, behind = live_known, False
    for entry in rotated:
        if held.get(entry.key) or (behind and entry.modified < since):
            return examined, True
        if entry.key in held:
            continue
        behind = reached
        file = hold(entry)
        known = knows(file)
        certain = known or file.blank or entry.modified >= since
        examined.append(_Examined(file, certain, newer=not reached))
        reached = reached or known
    return examined, reached


def _rotated_names(path: Path) -> dict[str, str]:
    """File name -> its number or date."""
    stem, ext = re.escape(path.stem), re.escape(path.suffix)
    name = re.escape(path.name)
    pattern = re.compile(rf"(?:{name}[.-]({_NUMBER})|{stem}[.-]({_NUMBER}){ext})(?:\.gz)?")
    with suppress(FileNotFoundError, NotADirectoryError):
        matches = ((each, pattern.fullmatch(each)) for each in os.listdir(path.parent))
        return {each: str(match[1] or match[2]) for each, match in matches if match}
    return {}


def _is_count(number: str) -> bool:
    return number.isdigit() and len(number) < 6


def _paths(seen: tuple[FileEntry | None, list[FileEntry]]) -> list[tuple[Path, Key]]:
    live, others = seen
    return [(log.path, log.key) for log in (live, *others) if log]
