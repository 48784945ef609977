"""The batch job: read exactly the files of a plan, count each line once, write each day.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines: there are no Python
workers. What comes to the driver is one row per day, with that day's counts as JSON.
"""

import json
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.batch import view_rows
from clickstream.batch.view_rows import Count
from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.config.sections import HOST, HOST_AND_AGENT
from clickstream.errors import BadInput
from clickstream.master import File
from clickstream.spark import driver, events
from clickstream.views.batch import DIGEST_BYTES, BatchViews
from clickstream.weblog import categories, stamped
from clickstream.weblog.categories import PLAIN, Categories

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


# `fields`: the text source hands on a line's bytes as they are; read as UTF-8 they would merge
# categories.
# `day_rows`: the digests of a server's visitors as one value. A visitor of two servers is found by
# them, in the driver: to collect here each visitor's servers took a quarter of the whole CPU time.
def _query(counted: str, vhosts: Collection[str], mapping: Categories, visitor: str) -> str:
    """The query over `master` that counts by `counted`; the other arguments are those of `count`.

    `counted` gives `ds` (day TAB server), `g` (what is counted), `k` (which of it), `n`, `cells`.
    """
    plain = mapping == PLAIN
    template = FIELDS[visitor] + ("{target}" if plain else "{request}")
    digits, in_chunk = 2 * DIGEST_BYTES, CHUNK // BLOCK
    return rf"""
WITH fields AS (
    SELECT {stamped.fields("text", template, vhosts)} AS f
    FROM (SELECT decode(cast(value AS binary), 'ISO-8859-1') AS text FROM master)
), requests AS (
    SELECT *, {weblog.sql_segment("request")} AS segment
    FROM (SELECT *, get(f, 5) AS request FROM fields)
), keyed AS (
    SELECT if(get(f, 1) IS NULL, NULL, f[0]) AS ds, get(f, 1) AS visitor, get(f, 2) AS traffic,
        {"request" if plain else categories.sql("segment", "request", mapping)} AS category,
        get(f, 3) AS file, get(f, 4) AS text, try_cast(get(f, 4) AS bigint) AS at
    FROM requests
), counted AS (
    {counted}
), day_rows AS (
    SELECT ds, g,
        CASE g WHEN 'traffic' THEN k
            WHEN 'category' THEN {stamped.category("k") if plain else "k"} END AS k,
        sum(n) AS n,
        base64(listagg(CASE WHEN g = 'visitor' THEN unhex(left(sha2(k, 256), {digits})) END))
            AS digests,
        collect_set(CASE WHEN g = 'block' THEN
            coalesce(split_part(k, ':', 1) || ':' || split_part(k, ':', 2) div {in_chunk}, '')
            END) AS chunks
    FROM counted GROUP BY ALL
)
SELECT split_part(ds, '\t', 1) AS date, to_json(collect_list(struct(
    g, split_part(ds, '\t', 2) AS server, if(g = 'traffic', left(k, 5), NULL) AS minute,
    if(g = 'traffic', right(k, 3), NULL) AS status, if(g = 'category', k, NULL) AS category,
    n, greatest(n, 0) AS seen, digests, chunks))) AS counts
FROM day_rows GROUP BY date
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


# Two lines with one id have one cell: there can be copies only where fewer cells are taken than
# lines were read, and only those blocks stay. To look for copies by id everywhere is dear.
COUNTED = f"""
    SELECT ds, g, k, count(*) AS n, bit_or(cell) AS cells
    FROM (SELECT ds, visitor, traffic, category, concat(file, ':', at div {BLOCK}) AS block,
        shiftleft(1L, cast(at div {CELL} % {BLOCK // CELL} AS int)) AS cell FROM keyed)
    UNPIVOT INCLUDE NULLS (k FOR g IN (visitor, traffic, category, block))
    GROUP BY ds, g, k HAVING g <> 'block' OR n <> coalesce(bit_count(cells), 0)
"""  # noqa: S608 (constants of ours)

# A copy's fields are those of its line, so they are all keys beside the id. Who came is the same
# with copies and without.
COPIES = f"""
    SELECT ds, g, k, -sum(extra) AS n, NULL AS cells
    FROM (SELECT ds, traffic, category, count(*) - 1 AS extra FROM keyed
        WHERE coalesce(concat(file, ':', at div {CHUNK}), '') IN (
            SELECT explode(from_json(:chunks, 'array<string>')))
        GROUP BY ds, file, text, visitor, traffic, category HAVING count(*) > 1)
    UNPIVOT (k FOR g IN (traffic, category))
    GROUP BY ds, g, k
"""  # noqa: S608 (constants of ours)


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
        counted = count(lines, settings.vhosts, settings.categories, visitor)
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
    vhosts: Collection[str] = (),
    mapping: Categories = PLAIN,
    visitor: str = HOST,
) -> Counts:
    """Stamped lines -> each day's counts (see `day_rows`), in one scan; two where copies can be.

    `vhosts` are the servers read as vhost_combined; `mapping` decides the categories,
    `visitor` (`batch.visitor`) who is one visitor. What copies counted is in counts below 0.
    """
    lines.createOrReplaceTempView("master")

    def ask(counted: str, **values: str) -> Counts:
        query = _query(counted, vhosts, mapping, visitor)
        rows = lines.sparkSession.sql(query, values).collect()
        return {row.date: json.loads(row.counts) for row in rows}

    counts = ask(COUNTED)
    chunks = {chunk for day in counts.values() for each in day for chunk in each["chunks"]}
    if chunks:
        for day, copies in ask(COPIES, chunks=json.dumps(sorted(chunks))).items():
            counts[day] += copies
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
