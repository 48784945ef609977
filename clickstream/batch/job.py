"""The batch job: read exactly the files of a plan, count each line once, write each day.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines: there are no Python
workers. What comes to the driver is one row per day, with that day's counts as JSON.
"""

import json
import time
from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.batch import view_rows
from clickstream.batch.view_rows import Count
from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.config.sections import HOST, HOST_AND_AGENT
from clickstream.errors import BadInput
from clickstream.master import File
from clickstream.spark import driver, events, sql
from clickstream.views.batch import BatchViews
from clickstream.views.batch_tables import DIGEST_BYTES
from clickstream.weblog import categories, formats, stamped
from clickstream.weblog.categories import PLAIN, Categories
from clickstream.weblog.stamped import PLAIN_ONLY, Readings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Counts = dict[str | None, list[Count]]

PARTITION_BYTES = 256 * 2**20
# A valid line is longer than CELL bytes, so that two lines never share an offset cell; a block has
# 64 cells.
CELL, BLOCK, CHUNK = 32, 2048, 2**20
_FIELDS = r"{{day}}\t{{server}}\n{visitor}\n{{hour}}:{{minute}} {{status}}\n{{file}}\n{{offset}}\n"
FIELDS = {
    HOST: _FIELDS.format(visitor="{host}"),
    HOST_AND_AGENT: _FIELDS.format(visitor="{host} {agent}"),
}
"""By `batch.visitor`; the request, or only its target, is to follow."""


def query(counted: str, readings: Readings, mapping: Categories, visitor: str) -> str:
    """The query over `master` with its step `counted`; the other arguments are those of `count`."""
    plain = mapping == PLAIN
    template = FIELDS[visitor] + ("{target}" if plain else "{request}")
    return sql.query(
        "clickstream.batch",
        "day_counts",
        fields=stamped.fields("text", template, readings),
        segment=weblog.sql_segment("request"),
        category_key="request" if plain else categories.sql("segment", "request", mapping),
        category=stamped.category("k") if plain else "k",
        digest_digits=2 * DIGEST_BYTES,
        blocks_of_a_chunk=CHUNK // BLOCK,
        counted=counted,
    )


def lines_once() -> str:
    """The `counted` of each line once."""
    cells = BLOCK // CELL
    return sql.query(
        "clickstream.batch", "lines_once", block=BLOCK, cell=CELL, cells_of_a_block=cells
    )


def copies() -> str:
    """The `counted` of what copies have counted."""
    return sql.query("clickstream.batch", "copies", chunk=CHUNK)


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Write the days of the plan; returns their names.

    `plan`: `days`, each day's manifest of (path, size, modified_ms); `run`, the id of this run;
    `before`, the id of the run that each day holds.
    """
    begun = time.time()
    days = {day: [File(*file) for file in files] for day, files in plan["days"].items()}
    root = endpoints.hdfs_url(settings) + settings.hdfs.master.rstrip("/")
    files = [file for day in days.values() for file in day]
    with driver.stage(session, f"counting {sum(file.size for file in files) / 1e6:,.1f} MB"):
        lines, visitor = read(session, root, files), settings.batch.visitor
        counted = count(lines, formats.readings(settings), settings.categories, visitor)
    check(counted, days)
    made_with = view_rows.made_with(settings)
    with BatchViews.connect(settings) as views:
        for number, (day, manifest) in enumerate(sorted(days.items()), 1):
            events.report(stage=f"writing {day} ({number} of {len(days)})")
            now = time.time()
            run = view_rows.Run(day, manifest, now, now - begun, made_with, plan["run"])
            views.replace_day(day, view_rows.rows(run, counted[day]), plan["before"])
    return {"days": sorted(days)}


def read(session: "SparkSession", root: str, files: list[File]) -> "DataFrame":
    """The lines of the files, as a column `value` of bytes that are not looked at."""
    partitions = sum(file.size for file in files) // PARTITION_BYTES + 1
    least = session.sparkContext.defaultParallelism
    session.conf.set("spark.sql.shuffle.partitions", max(partitions, least))
    # The more lines a task has, the fewer visitors are met by several.
    session.conf.set("spark.sql.files.maxPartitionBytes", PARTITION_BYTES)
    # A lone CR would end a line, too, if the separator were not named.
    reader = session.read.option("lineSep", "\n")
    return reader.text([f"{root}/{file.path}" for file in files])


def count(
    lines: "DataFrame",
    readings: Readings = PLAIN_ONLY,
    mapping: Categories = PLAIN,
    visitor: str = HOST,
) -> Counts:
    """Stamped lines -> each day's counts (see `day_rows`), in one scan; two where copies can be.

    `readings`: see `stamped.fields`; `mapping` decides the categories,
    `visitor` (`batch.visitor`) who is one visitor. What copies counted is in counts below 0.
    """
    lines.createOrReplaceTempView("master")

    def ask(counted: str, **values: str) -> Counts:
        text = query(counted, readings, mapping, visitor)
        rows = lines.sparkSession.sql(text, values).collect()
        return {row.date: json.loads(row.counts) for row in rows}

    counts = ask(lines_once())
    chunks = {chunk for day in counts.values() for each in day for chunk in each["chunks"]}
    if chunks:
        for day, extra in ask(copies(), chunks=json.dumps(sorted(chunks))).items():
            counts[day] += extra
    return counts


def check(counted: Counts, plan: dict[str, list[File]]) -> None:
    """Every line must parse and lie under its own day; raises BadInput, before a row is written."""
    unexpected = [day for day in counted if day not in plan]
    missing = [day for day in plan if day not in counted]
    bad = sum(map(view_rows.unparsed, counted.values()))
    if unexpected or missing or bad:
        raise BadInput(
            f"the master dataset is damaged: {bad} lines do not parse; days in files of other days:"
            f" {_listed(unexpected)}; days without a line: {_listed(missing)}",
            "nothing was written",
        )


def _listed(days: list[Any]) -> str:
    return ", ".join(sorted(map(str, days))) or "none"


if __name__ == "__main__":
    driver.job_main(compute)
