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
from clickstream.spark import driver, events, sql, stored_lines
from clickstream.weblog import formats

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PIECE_BYTES = 16 * 2**20
NO_PATH = "(not known)"


def query() -> str:
    """The query over the views `master` and `quarantine`."""
    return sql.query(
        "clickstream.ingest.ledger_rebuild",
        "sorted_lines",
        master=MASTER,
        quarantine=QUARANTINE,
        head=stored_lines.HEAD,
        stamp=stored_lines.stamp("head"),
    )


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
    """Write the known part of one log; returns its row."""
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
    for row in session.sql(query()).toLocalIterator():
        yield Stored(row.store, row.server, row.file, row.offset, row.day, bytes(row.raw))


if __name__ == "__main__":
    driver.job_main(compute)
