"""The Spark job of `speed rebuild`: the master dataset's lines through the stream's transform.

Spark sorts the counts by minute and the driver takes one piece after the other, so its memory does
not grow with the day. There are no Python workers.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.errors import ClickstreamError
from clickstream.ledger import Ledger
from clickstream.spark import driver, sql, stored_lines
from clickstream.speed import driver_status
from clickstream.speed.transform import batch_of, transform
from clickstream.views.realtime import counts
from clickstream.views.realtime.counts import Counts
from clickstream.views.realtime.reader import day_start
from clickstream.views.realtime.rebuild import Recount
from clickstream.views.realtime.recent import MinuteKey
from clickstream.weblog import formats

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PIECE_BYTES = 16 * 2**20

LINE_COUNTS = "SELECT server, file, day, count(DISTINCT offset) AS n FROM lines GROUP BY ALL"


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Replace the day that the plan (see `rebuild`) names; returns its row."""
    began = time.time()
    stored_lines.configure(session, plan["bytes"] // PIECE_BYTES + 1)
    with Recount.connect(settings) as views:
        batch = views.begin()
        check_whole(session, settings, batch)
        lines(session, plan["master"])
        with driver.stage(session, f"comparing {plan['bytes'] / 1e6:,.1f} MB with the ledger"):
            check_line_counts(session, settings)
        with driver.stage(session, f"counting {plan['day']}"):
            seen: Counter[str] = Counter()
            counted = minutes(session, settings, plan["day"], views.highest)
            replaced = views.replace_day(plan["day"], _counting(counted, seen))
    taken = {"minutes": replaced, "lines": seen[counts.IP]}
    return {"date": plan["day"], "batch": batch, **taken, "seconds": round(time.time() - began, 1)}


def check_whole(session: "SparkSession", settings: Settings, batch: int) -> None:
    """The last stored batch must be committed: Spark would run it again, over the new figures.

    Raises ClickstreamError.
    """
    jvm = cast(Any, session)
    path = jvm._jvm.org.apache.hadoop.fs.Path(
        f"{driver_status.checkpoint(settings)}/commits/{batch}"
    )
    if not path.getFileSystem(jvm._jsc.hadoopConfiguration()).exists(path):
        raise ClickstreamError(
            f"the stream was cut off after batch {batch}, which will run again",
            "let it: clickstream speed run --available-now",
        )


def check_line_counts(session: "SparkSession", settings: Settings) -> None:
    """Refuse where a line is missing in the master dataset that this home's ledger knows.

    Raises ClickstreamError.
    """
    path = settings.files.ledger
    if not path.is_file():
        return
    stored = {(row.server, row.file, row.day): row.n for row in session.sql(LINE_COUNTS).collect()}
    days = {day for _, _, day in stored}
    with Ledger.open(path) as ledger:
        expected = [each for each in ledger.line_counts() if each[2] in days]
    missing = sum(max(0, valid - stored.get((s, f, day), 0)) for s, f, day, valid, _ in expected)
    if missing:
        raise ClickstreamError(
            f"{missing} lines of {min(days)} to {max(days)} are in no closed file of the master"
            " copy, so figures would be lost",
            "let ingest finish: clickstream ingest replay --wait; where they are:"
            " clickstream audit",
        )


def lines(session: "SparkSession", source: Mapping[str, Any]) -> None:
    """Have the lines of the closed files as a view `lines`, with what the stamp says."""
    reader = session.read.option("lineSep", "\n")
    reader.text(source["paths"]).selectExpr(
        "CAST(value AS BINARY) AS value", "_metadata.file_modification_time AS timestamp"
    ).createOrReplaceTempView("master")
    stamp = stored_lines.stamp("substring_index(decode(value, 'ISO-8859-1'), '\\t', 3)")
    text = sql.query("clickstream.speed", "master_lines", stamp=stamp)
    session.sql(text).createOrReplaceTempView("lines")


def minutes(
    session: "SparkSession", settings: Settings, day: str, highest: Mapping[tuple[str, str], int]
) -> Iterator[tuple[MinuteKey, Counts]]:
    """A day's minutes of every metric, of the lines at or below each (server, file)'s highest."""
    first = day_start(day)
    offsets = json.dumps({f"{server}:{file}": at for (server, file), at in highest.items()})
    args = {"first": first, "last": first + DAY_SECONDS - 1, "day": day, "highest": offsets}
    records = session.sql(sql.query("clickstream.speed", "read_lines"), args)
    rows_by_minute = _ordered(transform(records, {}, *_rules(settings)), first)
    for _, group in groupby(rows_by_minute.toLocalIterator(), lambda row: (row.slot, row.metric)):
        rows = ((row.metric, row.server, row.slot, json.loads(row.sums)) for row in group)
        yield from batch_of(rows).minutes.items()


def _rules(settings: Settings) -> tuple[Any, ...]:
    return settings.speed, formats.readings(settings), settings.categories


def _ordered(counted: "DataFrame", first: int) -> "DataFrame":
    within = counted.where(f"slot BETWEEN {first} AND {first + DAY_SECONDS - 1}")
    columns = ("metric", "server", "slot", "to_json(sums) AS sums")
    return within.selectExpr(*columns).orderBy("slot", "metric")


def _counting(
    minutes: Iterator[tuple[MinuteKey, Counts]], seen: Counter[str]
) -> Iterator[tuple[MinuteKey, Counts]]:
    """The same minutes; `seen` gets the requests by metric."""
    for key, each in minutes:
        seen[key[0]] += sum(n for *_, n in counts.leaves(each))
        yield key, each


if __name__ == "__main__":
    driver.job_main(compute)
