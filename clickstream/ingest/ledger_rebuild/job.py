"""The rebuild's Spark job: the stamped lines, sorted, and a new ledger made of them by the driver.

Spark sorts on disk; the driver takes one piece of the lines after the other, so its memory is
bounded. There are no Python workers.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickstream.config import Settings
from clickstream.ingest.ledger_rebuild.record import MASTER, QUARANTINE, Record, Stored, record
from clickstream.ledger import Ledger, LogFile
from clickstream.spark import driver, events, stored_lines
from clickstream.weblog import formats

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PIECE_BYTES = 16 * 2**20
NO_PATH = "(not known)"

SQL = rf"""
WITH lines AS (
  SELECT '{MASTER}' AS store, value, substring_index(value, '\t', 3) AS head FROM master
  UNION ALL SELECT '{QUARANTINE}', value, substring_index(value, '\t', 3) FROM quarantine
), cut AS (
  SELECT store, split(head, '[:\t]') AS h,
    substring(cast(value AS BINARY), octet_length(head) + 2) AS raw
  FROM lines WHERE octet_length(value) > octet_length(head) AND head RLIKE r'{stored_lines.HEAD}'
)
SELECT store, h[1] AS server, h[2] AS file, cast(h[3] AS BIGINT) AS offset, h[5] AS day, raw
FROM cut ORDER BY server, file, offset, store
"""  # noqa: S608 (constants of ours only)


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Make the ledger that the plan (see `rebuild`) names; `rows`, one of each log."""
    stored_lines.configure(session, plan["bytes"] // PIECE_BYTES + 1)
    stored_lines.text(session, plan["master"]).createOrReplaceTempView("master")
    stored_lines.text(session, plan["quarantine"]).createOrReplaceTempView("quarantine")
    events.report(stage=f"sorting {plan['bytes'] / 1e6:,.1f} MB")
    with Ledger.open(Path(plan["ledger"])) as ledger:
        formats.record_formats(ledger, settings, plan["servers"])
        rows = [
            row
            for (server, file), lines in groupby(_sorted(session), lambda each: each[1:3])
            if server in plan["servers"]
            for row in [restore(ledger, settings, server, file, lines)]
        ]
    return {"rows": rows}


def restore(
    ledger: Ledger, settings: Settings, server: str, file: str, lines: Iterator[Stored]
) -> dict[str, Any]:
    """Write what is known of one log; the row that tells of it."""
    events.report(stage=f"reading {server} {file}")
    rebuilt = record(lines, formats.of(settings, server))
    path = f"{settings.hdfs.source}/{server}/{NO_PATH}"
    log = LogFile(server, file, path, rebuilt.bytes, rebuilt.digest.hexdigest(), rebuilt.open_tail)
    if rebuilt.bytes:
        ledger.restore(log, rebuilt.counts, rebuilt.checksums.rows(), rebuilt.reprocessed)
    rebuilt.checksums.close()
    return row_of(log, rebuilt)


def row_of(log: LogFile, rebuilt: Record) -> dict[str, Any]:
    """server, file, bytes, lines, valid, invalid, drained, behind."""
    valid = sum(n for (_, reason), n in rebuilt.counts.items() if reason == "")
    return {
        "server": log.server,
        "file": log.file,
        "bytes": log.bytes,
        "lines": rebuilt.counts.total(),
        "valid": valid,
        "invalid": rebuilt.counts.total() - valid,
        "drained": len(rebuilt.reprocessed),
        "behind": rebuilt.behind,
    }


def _sorted(session: "SparkSession") -> Iterator[Stored]:
    for row in session.sql(SQL).toLocalIterator():
        yield Stored(row.store, row.server, row.file, row.offset, row.day, bytes(row.raw))


if __name__ == "__main__":
    driver.job_main(compute)
