"""The ledger: what was spooled, line by line accounted for (SQLite, one per home).

A chunk is planned: its lines are counted, its name and bounds are fixed, and its stamped lines lie
beside the spooling directory already. From then on it will appear there, whatever happens. Its row
goes once its agent has taken all of it.

A log is known by the SHA-256 of what was spooled of it, and by a checksum at every line end (the
first bytes of the running digest): so a beginning of a known log is recognised though the log
itself was removed.
"""

import hashlib
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream.errors import ClickstreamError

SCHEMA = 2
VALID = ""
UNDATED = "-"
CHECKSUM_BYTES = 8
_MAX_ROW_BYTES = 32_768
# In the words of the first schema: `drained` are the reprocessed rejects, `marks` the checksums at
# line ends.
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS files (
  server TEXT, file TEXT, path TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL,
  open_tail INTEGER NOT NULL, PRIMARY KEY (server, file)) STRICT;
CREATE TABLE IF NOT EXISTS marks (
  server TEXT, file TEXT, stop INTEGER, digests BLOB NOT NULL, PRIMARY KEY (server, file, stop))
  STRICT;
CREATE TABLE IF NOT EXISTS chunks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, server TEXT NOT NULL, file TEXT NOT NULL,
  start INTEGER NOT NULL, stop INTEGER NOT NULL, lines INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counts (
  server TEXT, file TEXT, day TEXT, reason TEXT, lines INTEGER NOT NULL,
  PRIMARY KEY (server, file, day, reason)) STRICT;
CREATE TABLE IF NOT EXISTS drained (
  server TEXT, file TEXT, offset INTEGER, PRIMARY KEY (server, file, offset))
  STRICT, WITHOUT ROWID;
"""
_ADD = (
    "INSERT INTO counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET lines = lines + excluded.lines"
)

Counts = Mapping[tuple[str, str], int]


class LogFile(NamedTuple):
    """A log as far as it was spooled: `digest` is the SHA-256 of its first `bytes` bytes.

    `path` lies in HDFS, or is `file:///...` for a log that is followed. `open_tail`: the last line
    counted had no line end.
    """

    server: str
    file: str
    path: str
    bytes: int
    digest: str
    open_tail: bool


class Count(NamedTuple):
    """Lines of one log and printed day: `reason` is VALID or why they were rejected.

    `day` is UNDATED for lines without a possible time.
    """

    server: str
    file: str
    day: str
    reason: str
    lines: int


class Chunk(NamedTuple):
    """Stamped lines of a log, from `[start, stop)` in its bytes, that go through a spool as one."""

    seq: int
    server: str
    file: str
    start: int
    stop: int
    lines: int

    @property
    def name(self) -> str:
        """Its file name in the spooling directory; never used for anything else."""
        return f"{self.server}-{self.file}-{self.start}-{self.stop}-{self.seq}.log"


class Acceptance(NamedTuple):
    """A reject that is valid now: it was counted under (`day`, `reason`), and is of `new_day`."""

    offset: int
    day: str
    reason: str
    new_day: str


def line_end_checksum(digest: "hashlib._Hash") -> bytes:
    """The checksum at a line end: the first bytes of the log's running SHA-256."""
    return digest.digest()[:CHECKSUM_BYTES]


def valid_lines(path: Path) -> dict[str, dict[str, int]]:
    """The valid lines by day and server of the ledger at a path; nothing where there is none.

    It only reads, and waits for nobody who writes.
    """
    if not path.is_file():
        return {}
    query = "SELECT day, server, sum(lines) FROM counts WHERE reason = ? GROUP BY day, server"
    lines: dict[str, dict[str, int]] = {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as ledger:
            for day, server, n in ledger.execute(query, (VALID,)):
                lines.setdefault(day, {})[server] = n
    except sqlite3.DatabaseError as error:
        raise ClickstreamError(f"the ledger {path} cannot be used") from error
    return lines


class Ledger:
    """The open ledger of a home. Who writes of a server holds that server's lock; others read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        self._sql.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)
        with self._sql:
            self._meta("schema", str(SCHEMA))
            if self._meta("uuid", str(uuid.uuid4())):
                # Names must differ from those that an earlier ledger of this home has given.
                self._sql.execute(
                    "INSERT INTO sqlite_sequence VALUES ('chunks', ?)", (int(time.time()),)
                )
        if (schema := self._value("schema")) != str(SCHEMA):
            raise ClickstreamError(
                f"the ledger has schema {schema}, this version reads {SCHEMA}",
                "recreate it from the master dataset: clickstream ingest ledger rebuild",
            )

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Ledger"]:
        """Open the ledger at a path, made where it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=30)
        try:
            yield cls(connection)
        except sqlite3.DatabaseError as error:
            raise ClickstreamError(f"the ledger {path} cannot be used") from error
        finally:
            connection.close()

    @property
    def uuid(self) -> str:
        """Identity of this ledger; the master dataset carries it too."""
        return self._value("uuid")

    def files(self, server: str | None = None) -> list[LogFile]:
        """The logs known, of one server or of all."""
        rows = self._sql.execute(
            "SELECT server, file, path, bytes, digest, open_tail FROM files"
            " WHERE ? IS NULL OR server = ? ORDER BY server, file",
            (server, server),
        )
        return [LogFile(*row)._replace(open_tail=bool(row[5])) for row in rows]

    def has_checksum(self, log: LogFile, offset: int, checksum: bytes) -> bool:
        """Tell whether a known log has a line end at this offset, with this checksum."""
        row = self._sql.execute(
            "SELECT digests FROM marks WHERE server = ? AND file = ? AND stop >= ?"
            " ORDER BY stop LIMIT 1",
            (log.server, log.file, offset),
        ).fetchone()
        stored = row[0] if row else b""
        starts = range(0, len(stored), CHECKSUM_BYTES)
        return any(stored[at : at + CHECKSUM_BYTES] == checksum for at in starts)

    def plan(
        self, log: LogFile, start: int, counts: Counts, checksums: bytes, lines: int
    ) -> Chunk | None:
        """Note that `[start, log.bytes)` is to be spooled; `counts` is (day, reason) -> lines.

        The log's new end, digest and checksums, the counts and the chunk become true together.
        `lines` go into the chunk (not those that are too long for an agent); without any there is
        none.
        """
        with self._sql:
            self._put_file(log)
            self._add_checksums(log, start, checksums)
            self._add(log, counts)
            return self._chunk(log, start, log.bytes, lines) if lines else None

    def accept(self, log: LogFile, lines: Iterable[Acceptance]) -> Chunk:
        """Plan the reprocessing of rejects of a log, as valid lines; none was reprocessed before.

        They move from rejected to accepted, together with the chunk that carries them: from the
        first one's offset to just behind the last one's. Raises ClickstreamError where the ledger
        has fewer rejects of that day and reason.
        """
        moved = sorted(lines)
        gone = Counter((each.day, each.reason) for each in moved)
        with self._sql:
            self._add_reprocessed(log, (each.offset for each in moved))
            self._add(log, Counter((each.new_day, VALID) for each in moved))
            for (day, reason), number in gone.items():
                self._take(log, day, reason, number)
            return self._chunk(log, moved[0].offset, moved[-1].offset + 1, len(moved))

    def restore(
        self,
        log: LogFile,
        counts: Counts,
        checksums: Iterable[tuple[int, bytes]],
        reprocessed: Iterable[int],
    ) -> None:
        """Write all there is to know of a log that this ledger does not know, at once.

        `checksums` are (stop, bytes): those of every line end since the stop before; `reprocessed`
        are the offsets of rejects that were accepted later.
        """
        with self._sql:
            self._put_file(log)
            self._sql.executemany(
                "INSERT INTO marks VALUES (?, ?, ?, ?)",
                ((log.server, log.file, stop, block) for stop, block in checksums),
            )
            self._add_reprocessed(log, reprocessed)
            self._add(log, counts)

    def moved(self, log: LogFile, path: str) -> None:
        """Note that a known log lies at another path now."""
        with self._sql:
            self._sql.execute(
                "UPDATE files SET path = ? WHERE server = ? AND file = ?",
                (path, log.server, log.file),
            )

    def finish(self, chunk: Chunk) -> None:
        """Forget a chunk: its agent has taken all of it."""
        with self._sql:
            self._sql.execute("DELETE FROM chunks WHERE seq = ?", (chunk.seq,))

    def open_chunks(self, server: str | None = None) -> list[Chunk]:
        """Chunks that are not finished, oldest first."""
        rows = self._sql.execute(
            "SELECT * FROM chunks WHERE ? IS NULL OR server = ? ORDER BY seq", (server, server)
        )
        return [Chunk(*row) for row in rows]

    def counts(self, server: str | None = None) -> list[Count]:
        """Lines by log, day and reason."""
        rows = self._sql.execute(
            "SELECT server, file, day, reason, lines FROM counts"
            " WHERE lines > 0 AND (? IS NULL OR server = ?) ORDER BY 1, 2, 3, 4",
            (server, server),
        )
        return [Count(*row) for row in rows]

    def totals(self, server: str | None = None, file: str | None = None) -> Counter[str]:
        """Lines by reason, of one log or of many; VALID is the key of the valid ones."""
        totals = Counter[str]()
        for count in self.counts(server):
            if file in (None, count.file):
                totals[count.reason] += count.lines
        return totals

    def reprocessed(self, server: str | None = None) -> Iterator[tuple[str, str, int]]:
        """(server, file, offset) of each reject that was accepted later."""
        yield from self._sql.execute(
            "SELECT server, file, offset FROM drained WHERE ? IS NULL OR server = ?",
            (server, server),
        )

    def forget_reprocessed(self, lines: Iterable[tuple[str, str, int]]) -> None:
        """Forget of these rejects (server, file, offset) that they were reprocessed.

        Only for lines that are in the quarantine no more. No lock is needed: no plan of a chunk
        depends on it.
        """
        with self._sql:
            self._sql.executemany(
                "DELETE FROM drained WHERE server = ? AND file = ? AND offset = ?", lines
            )

    def line_counts(self) -> list[tuple[str, str, str, int, int]]:
        """(server, file, day, valid lines, rejects): what the batch views are held against."""
        sums: dict[tuple[str, str, str], list[int]] = {}
        for count in self.counts():
            if count.day != UNDATED:
                numbers = sums.setdefault((count.server, count.file, count.day), [0, 0])
                numbers[count.reason != VALID] += count.lines
        return [(*key, valid, rejects) for key, (valid, rejects) in sums.items()]

    def metadata(self, key: str) -> str | None:
        """The value stored under a key; None where there is none."""
        row = self._sql.execute("SELECT value FROM meta WHERE key = ?", (f"note.{key}",)).fetchone()
        return None if row is None else str(row[0])

    def set_metadata(self, key: str, value: str) -> None:
        """Store a value under a key."""
        with self._sql:
            row = (f"note.{key}", value)
            self._sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def _put_file(self, log: LogFile) -> None:
        self._sql.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (server, file) DO UPDATE"
            " SET path = excluded.path, bytes = excluded.bytes, digest = excluded.digest,"
            " open_tail = excluded.open_tail",
            log,
        )

    def _add_checksums(self, log: LogFile, start: int, checksums: bytes) -> None:
        """Small ones are added to the row before: a log that is followed has many chunks."""
        key = (log.server, log.file, start)
        row = self._sql.execute(
            "SELECT digests FROM marks WHERE server = ? AND file = ? AND stop = ?", key
        ).fetchone()
        if row and len(row[0]) + len(checksums) <= _MAX_ROW_BYTES:
            self._sql.execute("DELETE FROM marks WHERE server = ? AND file = ? AND stop = ?", key)
            checksums = row[0] + checksums
        self._sql.execute(
            "INSERT INTO marks VALUES (?, ?, ?, ?)", (log.server, log.file, log.bytes, checksums)
        )

    def _add(self, log: LogFile, counts: Counts) -> None:
        rows = [(log.server, log.file, day, why, n) for (day, why), n in counts.items()]
        self._sql.executemany(_ADD, rows)

    def _take(self, log: LogFile, day: str, reason: str, number: int) -> None:
        done = self._sql.execute(
            "UPDATE counts SET lines = lines - ? WHERE server = ? AND file = ? AND day = ?"
            " AND reason = ? AND lines >= ?",
            (number, log.server, log.file, day, reason, number),
        )
        if done.rowcount == 0:
            raise ClickstreamError(
                f"the ledger has fewer than {number} lines of {log.server}/{log.file}, day {day},"
                f" rejected as {reason}",
                "recreate it: clickstream ingest ledger rebuild",
            )

    def _add_reprocessed(self, log: LogFile, offsets: Iterable[int]) -> None:
        self._sql.executemany(
            "INSERT INTO drained VALUES (?, ?, ?)",
            ((log.server, log.file, offset) for offset in offsets),
        )

    def _chunk(self, log: LogFile, start: int, stop: int, lines: int) -> Chunk:
        row = (log.server, log.file, start, stop, lines)
        seq = self._sql.execute(
            "INSERT INTO chunks (server, file, start, stop, lines) VALUES (?, ?, ?, ?, ?)", row
        ).lastrowid
        return Chunk(int(seq or 0), *row)

    def _meta(self, key: str, value: str) -> bool:
        done = self._sql.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
        return done.rowcount > 0

    def _value(self, key: str) -> str:
        return str(self._sql.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])
