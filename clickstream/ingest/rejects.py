"""The quarantine: what lies there, why, and how what is valid by now comes out of it.

Its files hold stamped lines, some of them more than once. They are read as streams: nothing here
grows with the quarantine but a table on disk of the ids that were seen.
"""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from clickstream import weblog
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.console.escape import excerpt
from clickstream.errors import BadInput, UsageError
from clickstream.ingest import flow
from clickstream.ingest.flume.agent_config import MAX_STAMPED_BYTES
from clickstream.ingest.replay import Observer, Progress
from clickstream.ingest.spool import logs, spooler
from clickstream.ingest.spool.spooler import Spooler
from clickstream.ledger import UNDATED, VALID, Ledger
from clickstream.rows import Rows
from clickstream.weblog import formats

GROUPS = ("reason", "server", "file", "log", "lines", "first_offset", "why", "example")
LINES = ("reason", "server", "file", "log", "offset", "line")
NOW_VALID, UNSTAMPED = "valid-now", "unstamped"
REASONS = (NOW_VALID, *weblog.REASONS, UNSTAMPED)
_OUR_WORDS = {
    NOW_VALID: "it is valid in the format of now",
    UNSTAMPED: "no spooler of ours has put it there",
}
_STAMP = re.compile(rf"{weblog.STORED_STAMP}\t".encode())
_HEAD_BYTES = 4096
_UNFINISHED = ("_", ".")
_LISTED = "rejects.listed"


class RejectedLine(NamedTuple):
    """A line of the quarantine, once, as the server's present format judges it.

    `raw` is its beginning only where it is too long; `size` is that of all of it, and `location`
    its file in HDFS and the offset there of its first raw byte.
    """

    server: str
    file: str
    offset: int
    day: str
    reason: str
    raw: bytes
    size: int
    location: tuple[str, int]


class Chosen(NamedTuple):
    """A selection of rejects: of one server or of all, of one reason or of all."""

    server: str | None = None
    reason: str | None = None


def select(settings: Settings, chosen: Chosen = Chosen()) -> Iterator[RejectedLine]:
    """Each reject that was not reprocessed, in the order in which they came; raises UsageError."""
    if chosen.server is not None:
        settings.require_server(chosen.server)
    if chosen.reason is not None and chosen.reason not in REASONS:
        raise UsageError(f"there is no reason {chosen.reason}", f"reasons: {', '.join(REASONS)}")
    return _select(settings, chosen)


def _select(settings: Settings, chosen: Chosen) -> Iterator[RejectedLine]:
    hdfs = Hdfs.connect(settings)
    with closing(_Seen()) as seen, Ledger.open(settings.files.ledger) as ledger:
        for server in [chosen.server] if chosen.server else settings.servers:
            seen.add_all(ledger.reprocessed(server))
            for reject in _of_server(hdfs, settings, server):
                wanted = chosen.reason in (None, reject.reason)
                if wanted and seen.add((reject.server, reject.file, reject.offset)):
                    yield reject


def grouped(settings: Settings, chosen: Chosen) -> Rows:
    """Rejects by reason, server and file: how many, the first one's offset, why, and that line."""
    count: dict[tuple[str, str, str], int] = {}
    first: dict[tuple[str, str, str], RejectedLine] = {}
    for reject in select(settings, chosen):
        group = (reject.reason, reject.server, reject.file)
        count[group] = count.get(group, 0) + 1
        first[group] = min(first.get(group, reject), reject, key=lambda each: each.offset)
    path = _paths(settings)
    rows = (
        (*group, path(group), count[group], at.offset, _why(settings, at), _line(at))
        for group, at in sorted(first.items())
    )
    return [dict(zip(GROUPS, row, strict=True)) for row in rows]


def listed(settings: Settings, chosen: Chosen) -> Rows:
    """One row for each reject."""
    path = _paths(settings)
    return [
        dict(zip(LINES, (*group, path(group), reject.offset, _line(reject)), strict=True))
        for reject in select(settings, chosen)
        for group in [(reject.reason, reject.server, reject.file)]
    ]


def remember_listed(settings: Settings) -> None:
    """Note how many rejects each server has now that they were all listed."""
    if settings.files.ledger.is_file():
        with Ledger.open(settings.files.ledger) as ledger:
            totals = {server: ledger.totals(server) for server in settings.servers}
            listed = {server: each.total() - each[VALID] for server, each in totals.items()}
            ledger.set_metadata(_LISTED, json.dumps(listed))


def listed_before(ledger: Ledger) -> dict[str, int]:
    """How many rejects each server had when they were all listed last."""
    return dict(json.loads(ledger.metadata(_LISTED) or "{}"))


def export(settings: Settings, chosen: Chosen, target: Path) -> int:
    """Write the raw lines into a new file of mode 0600, each with an LF; returns how many.

    Raises BadInput where the file is there already, or cannot be made.
    """
    hdfs, every = Hdfs.connect(settings), select(settings, chosen)
    try:
        with _new_file(target) as file:
            return sum(_copied(hdfs, reject, file) for reject in every)
    except FileExistsError:
        raise BadInput(f"{target} is there already", "name another file") from None
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from None


def reprocess(settings: Settings, observe: Observer) -> Progress:
    """Spool the rejects that are valid by now, unaltered, under their ids.

    Raises NotRunning when HDFS or an agent is missing, ClickstreamError when an agent still judges
    by an earlier configuration.
    """
    progress = Progress()
    hdfs = Hdfs.connect(settings)
    servers = [server for server in settings.servers if files(hdfs, settings, server)]
    flow.require_edges(settings, servers)
    with spooler.opened(settings, servers, hdfs) as opened:
        batch = _Batch(settings, opened, progress, observe)
        for server in servers:
            for reject in select(settings, Chosen(server, NOW_VALID)):
                batch.add(reject)
        batch.spool()
    return progress


class _Batch:
    """Rejects on their way back, as many as go into one chunk, by log."""

    def __init__(
        self, settings: Settings, opened: Spooler, progress: Progress, observe: Observer
    ) -> None:
        self._limits = settings.replay
        self._settings = settings
        self._spooler = opened
        self._progress = progress
        self._observe = observe
        self._waiting: dict[tuple[str, str], list[spooler.ReprocessCandidate]] = {}
        self._lines = self._bytes = 0

    def add(self, reject: RejectedLine) -> None:
        """Take one more; the batch is spooled once it is full."""
        reason = earlier_reason(reject.raw, formats.of(self._settings, reject.server))
        candidate = spooler.ReprocessCandidate(reject.offset, reject.raw, reject.day, reason)
        self._waiting.setdefault((reject.server, reject.file), []).append(candidate)
        self._lines += 1
        self._bytes += reject.size
        if self._lines >= self._limits.chunk_lines or self._bytes >= self._limits.chunk_bytes:
            self.spool()

    def spool(self) -> None:
        """Spool what waits, one chunk for each log."""
        for (server, file), lines in self._waiting.items():
            self._spooler.room(self._notify)
            self._progress.lines += self._spooler.reprocess(server, file, lines)
            self._notify("")
        self._waiting.clear()
        self._lines = self._bytes = 0

    def _notify(self, waiting_for: str) -> None:
        self._progress.waiting_for = waiting_for
        self._observe(self._progress)


class _Seen:
    """Ids seen, in a table that lies in a temporary file once it is large."""

    def __init__(self) -> None:
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.execute(
            "CREATE TABLE seen (server TEXT, file TEXT, offset INTEGER,"
            " PRIMARY KEY (server, file, offset)) WITHOUT ROWID"
        )

    def add(self, identity: tuple[str, str, int]) -> bool:
        """Add an id; True if it is new."""
        done = self._sql.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", identity)
        return done.rowcount > 0

    def add_all(self, identities: Iterable[tuple[str, str, int]]) -> None:
        """Take them as seen."""
        self._sql.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", identities)

    def close(self) -> None:
        """Forget them all."""
        self._sql.close()


def _of_server(hdfs: Hdfs, settings: Settings, server: str) -> Iterator[RejectedLine]:
    form = formats.of(settings, server)
    for entry in files(hdfs, settings, server):
        with logs.plain(partial(hdfs.open, entry.path), entry.path) as stream:
            yield from read(stream, server, entry.path, form)


def files(hdfs: Hdfs, settings: Settings, server: str) -> list[Entry]:
    """The closed files of a server's quarantine; the names of those in use begin with `_`."""
    entries = hdfs.list(f"{settings.hdfs.quarantine}/server={server}")
    return [
        entry for entry in entries if not entry.is_dir and not entry.name.startswith(_UNFINISHED)
    ]


def read(stream: BinaryIO, server: str, path: str, form: weblog.Format) -> Iterator[RejectedLine]:
    """The rejects in a file of a server's quarantine, copies too.

    A line that the spooler has not stamped is one as well: its file and offset are those in HDFS.
    """
    at = 0
    while piece := stream.readline(MAX_STAMPED_BYTES):
        size = len(piece) if piece.endswith(b"\n") else len(piece) + _skip_line(stream)
        stamp = _STAMP.match(piece)
        begin = stamp.end() if stamp else 0
        raw, long = piece[begin:].removesuffix(b"\n"), size - begin - 1 > weblog.MAX_LINE_BYTES
        reason = "too-long" if long else weblog.judge(raw, form).reason or NOW_VALID
        yield RejectedLine(
            server,
            stamp["file"].decode() if stamp else path,
            int(stamp["offset"]) if stamp else at,
            stamp["day"].decode() if stamp and stamp["day"] else UNDATED,
            reason if stamp else UNSTAMPED,
            raw[:_HEAD_BYTES] if long else raw,
            size - begin - 1,
            (path, at + begin),
        )
        at += size


def _skip_line(stream: BinaryIO) -> int:
    """Go behind the line end, which every closed file has; how many bytes that were."""
    size = 0
    while piece := stream.readline(logs.BLOCK_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of ours alone that was not there; it goes again where it is not finished."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise


def _copied(hdfs: Hdfs, reject: RejectedLine, file: BinaryIO) -> int:
    """Write all bytes of a reject, those of a long one fetched again, and an LF; returns 1."""
    if len(reject.raw) == reject.size:
        file.write(reject.raw)
    else:
        path, start = reject.location
        with hdfs.open(path, start) as stream:
            file.writelines(logs.blocks(stream, reject.size))
    file.write(b"\n")
    return 1


def earlier_reason(raw: bytes, form: weblog.Format) -> str:
    """The reason for which a line, valid in this format, was rejected under another one."""
    others = (other for other in weblog.FORMATS.values() if other is not form)
    reasons = (weblog.judge(raw, other).reason for other in others)
    return next((reason for reason in reasons if reason), "other-format")


def _paths(settings: Settings) -> Callable[[tuple[str, str, str]], str]:
    """The path of the log of a (reason, server, file), as far as the ledger knows."""
    with Ledger.open(settings.files.ledger) as ledger:
        known = {(log.server, log.file): log.path for log in ledger.files()}
    return lambda group: known.get(group[1:], "")


def _why(settings: Settings, reject: RejectedLine) -> str:
    if reject.reason in _OUR_WORDS:
        return _OUR_WORDS[reject.reason]
    return weblog.explain(reject.raw, formats.of(settings, reject.server), reject.reason)


def _line(reject: RejectedLine) -> str:
    return excerpt(reject.raw, reject.size)
