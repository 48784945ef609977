"""The ledger: what was spooled, line by line accounted for (SQLite, one per home).

A chunk is *planned* (its lines are counted, its name and bounds are fixed), then *spooled* (it lies
in the spooling directory), then *done* (its agent has taken all of it). Only then is it removed.
"""

import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream.errors import ClickstreamError

SCHEMA = 1
VALID = ""
UNDATED = "-"
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS files (
  server TEXT, file TEXT, path TEXT NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL,
  open_tail INTEGER NOT NULL, PRIMARY KEY (server, file)) STRICT;
CREATE TABLE IF NOT EXISTS chunks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, server TEXT NOT NULL, file TEXT NOT NULL,
  start INTEGER NOT NULL, stop INTEGER NOT NULL, lines INTEGER NOT NULL, state TEXT NOT NULL)
  STRICT;
CREATE INDEX IF NOT EXISTS chunks_open ON chunks (state) WHERE state <> 'done';
CREATE TABLE IF NOT EXISTS counts (
  server TEXT, file TEXT, day TEXT, reason TEXT, lines INTEGER NOT NULL,
  PRIMARY KEY (server, file, day, reason)) STRICT;
"""


class LogFile(NamedTuple):
    """A log as far as it was spooled: `digest` is the SHA-256 of its first `bytes` bytes.

    `open_tail`: the last line counted had no line end.
    """

    server: str
    file: str
    path: str
    bytes: int
    digest: str
    open_tail: bool


class Chunk(NamedTuple):
    """A piece of a log, `[start, stop)` in bytes, that goes through a spool under one name."""

    seq: int
    server: str
    file: str
    start: int
    stop: int
    lines: int
    state: str

    @property
    def name(self) -> str:
        """Its file name in the spooling directory; never used for anything else."""
        return f"{self.server}-{self.file}-{self.start}-{self.stop}-{self.seq}.log"


class Ledger:
    """The open ledger of a home. One process writes (replay holds the lock), others read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        self._sql.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)
        with self._sql:
            self._meta("schema", str(SCHEMA))
            self._meta("uuid", str(uuid.uuid4()))
        if (found := self._value("schema")) != str(SCHEMA):
            raise ClickstreamError(f"the ledger has schema {found}, this version reads {SCHEMA}")

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
        """Identity of this ledger; the master copy carries it too."""
        return self._value("uuid")

    def files(self, server: str | None = None) -> list[LogFile]:
        """The logs known, of one server or of all."""
        rows = self._sql.execute(
            "SELECT server, file, path, bytes, digest, open_tail FROM files"
            " WHERE ? IS NULL OR server = ? ORDER BY server, file",
            (server, server),
        )
        return [LogFile(*row) for row in rows]

    def plan(self, log: LogFile, start: int, counts: Mapping[tuple[str, str], int]) -> Chunk:
        """Note that `[start, log.bytes)` is to be spooled; `counts` is (day, reason) -> lines.

        The log's new end and digest, the chunk and the counts become true together.
        """
        lines = sum(counts.values())
        with self._sql:
            self._sql.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (server, file) DO UPDATE"
                " SET path = excluded.path, bytes = excluded.bytes, digest = excluded.digest,"
                " open_tail = excluded.open_tail",
                log,
            )
            self._sql.executemany(
                "INSERT INTO counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET lines = lines + excluded.lines",
                [(log.server, log.file, day, why, n) for (day, why), n in counts.items()],
            )
            row = (log.server, log.file, start, log.bytes, lines, "planned")
            seq = self._sql.execute(
                "INSERT INTO chunks (server, file, start, stop, lines, state)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
        return Chunk(int(seq or 0), *row)

    def moved(self, log: LogFile, path: str) -> None:
        """Note that a known log lies at another path now."""
        with self._sql:
            self._sql.execute(
                "UPDATE files SET path = ? WHERE server = ? AND file = ?",
                (path, log.server, log.file),
            )

    def mark(self, chunk: Chunk, state: str) -> None:
        """Move a chunk on to `spooled` or `done`."""
        with self._sql:
            self._sql.execute("UPDATE chunks SET state = ? WHERE seq = ?", (state, chunk.seq))

    def open_chunks(self) -> list[Chunk]:
        """Chunks that are not done, oldest first."""
        rows = self._sql.execute("SELECT * FROM chunks WHERE state <> 'done' ORDER BY seq")
        return [Chunk(*row) for row in rows]

    def totals(self, server: str | None = None) -> Counter[str]:
        """Lines by reason; VALID is the key of the valid ones."""
        rows = self._sql.execute(
            "SELECT reason, sum(lines) FROM counts WHERE ? IS NULL OR server = ? GROUP BY reason",
            (server, server),
        )
        return Counter(dict(rows))

    def books(self) -> list[tuple[str, str, str, int]]:
        """(server, file, day, valid lines): what the batch views are held against."""
        rows = self._sql.execute(
            "SELECT server, file, day, lines FROM counts WHERE reason = ? ORDER BY 1, 2, 3",
            (VALID,),
        )
        return list(rows)

    def noted(self, key: str) -> str | None:
        """What `note` has kept under that key; None where it has not."""
        row = self._sql.execute("SELECT value FROM meta WHERE key = ?", (f"note.{key}",)).fetchone()
        return None if row is None else str(row[0])

    def note(self, key: str, value: str) -> None:
        """Keep a value under a key."""
        with self._sql:
            row = (f"note.{key}", value)
            self._sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def _meta(self, key: str, value: str) -> None:
        self._sql.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))

    def _value(self, key: str) -> str:
        return str(self._sql.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])
