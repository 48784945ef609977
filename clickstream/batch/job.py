"""The batch job: read exactly the files of a plan, count each line once, write each day.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines: there are no Python
workers. What comes to the driver is one row per day, with that day's counts as JSON.
"""

import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickstream import categories, config, endpoints, spark, weblog
from clickstream.batch import slices
from clickstream.batch.master import File
from clickstream.batch.slices import VISITORS
from clickstream.categories import PLAIN, Categories
from clickstream.config import HOST, HOST_AND_AGENT
from clickstream.errors import BadInput
from clickstream.views.batch import DIGEST_BYTES, BatchViews

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20

VALUES = {"visitors": VISITORS, "digest": 2 * DIGEST_BYTES}


# `fields`: the text source hands on a line's bytes as they are; read as UTF-8 they would merge
# categories.
# `once`: a copy's fields are those of its line, so they are all keys beside the id. By the id alone
# it would need first(text), which Spark can only do by sorting (twice the time).
# `slices`: the digests of a server's visitors as one value. A visitor of two servers is found by
# them, in the driver: to collect here each visitor's servers took a quarter of the whole CPU time.
def sql(vhosts: Collection[str], mapping: Categories, visitor: str) -> str:
    """The query over `master`; arguments as of `count`."""
    agents = visitor == HOST_AND_AGENT
    groups = weblog.AND_AGENT if agents else weblog.GROUPS
    line = weblog.sql_line("get(p, 3)", "split_part(get(p, 0), ':', 2)", vhosts, groups)
    key = "concat(get(f, 0), ' ', get(f, 6))" if agents else "get(f, 0)"
    category = categories.sql("segment", "get(f, 5)", mapping)
    return rf"""
WITH fields AS (
    SELECT p[0] AS id, get(p, 2) AS date,
        {line} AS f
    FROM (SELECT split(decode(cast(value AS binary), 'ISO-8859-1'), '\t', 4) AS p FROM master)
), requests AS (
    SELECT *, {weblog.sql_segment("get(f, 5)")} AS segment FROM fields
), once AS (
    SELECT id, date, {key} AS visitor, concat(get(f, 2), ':', get(f, 3)) AS minute,
        get(f, 4) AS status, {category} AS category, count(*) AS seen
    FROM requests GROUP BY ALL
), counted AS (
    SELECT date, server, visitor, minute, status, category,
        grouping_id(date, server, visitor, minute, status, category) AS g,
        count(*) AS n, sum(seen) AS seen
    FROM (SELECT *, get(split(id, ':', 3), 1) AS server FROM once)
    GROUP BY GROUPING SETS (
        (date, server, visitor), (date, server, minute, status), (date, server, category))
), slices AS (
    SELECT date, g, server, minute, status, category, sum(n) AS n, sum(seen) AS seen,
        base64(listagg(
            CASE WHEN g = :visitors THEN unhex(left(sha2(visitor, 256), :digest)) END)) AS digests
    FROM counted GROUP BY date, g, server, minute, status, category
)
SELECT date, to_json(collect_list(struct(
    g, server, minute, status, category, n, seen, digests))) AS counts
FROM slices GROUP BY date
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


def main() -> dict[str, Any]:
    """Compute the days of the plan that the first argument names."""
    begun = time.time()
    settings = config.load()
    given = json.loads(Path(sys.argv[1]).read_text())
    plan = {day: [File(*file) for file in files] for day, files in given["days"].items()}
    spark.note(stage="starting Spark")
    session = spark.session()
    root = endpoints.hdfs_url(settings) + settings.hdfs.master.rstrip("/")
    files = [file for day in plan.values() for file in day]
    with spark.stage(session, f"counting {sum(file.size for file in files) / 1e6:,.1f} MB"):
        lines, visitor = read(session, root, files), settings.batch.visitor
        counted = count(lines, settings.vhosts, settings.categories, visitor)
    check(counted, plan)
    made_with = slices.made_with(settings)
    with BatchViews.connect(settings) as views:
        for number, (day, manifest) in enumerate(sorted(plan.items()), 1):
            spark.note(stage=f"writing {day} ({number} of {len(plan)})")
            now = time.time()
            run = slices.Run(day, manifest, now, now - begun, made_with, given["run"])
            views.replace_day(day, slices.rows(run, json.loads(counted[day])), given["before"])
    session.stop()
    return {"days": sorted(plan)}


def read(session: "SparkSession", root: str, files: list[File]) -> "DataFrame":
    """The lines of the files, as a column `value` of bytes that are not looked at."""
    partitions = sum(file.size for file in files) // PARTITION_BYTES + 1
    least = session.sparkContext.defaultParallelism
    session.conf.set("spark.sql.shuffle.partitions", max(partitions, least))
    # A lone CR would end a line, too, if the separator were not named.
    reader = session.read.option("lineSep", "\n")
    return reader.text([f"{root}/{file.path}" for file in files])


def count(
    lines: "DataFrame",
    vhosts: Collection[str] = (),
    mapping: Categories = PLAIN,
    visitor: str = HOST,
) -> dict[str | None, str]:
    """Stamped lines -> for each day its counts as JSON, in one scan.

    `vhosts` are the servers read as vhost_combined; `mapping` decides the categories,
    `visitor` (`batch.visitor`) who is one visitor.
    """
    lines.createOrReplaceTempView("master")
    found = lines.sparkSession.sql(sql(vhosts, mapping, visitor), VALUES).collect()
    return {row.date: row.counts for row in found}


def check(counted: dict[str | None, str], plan: dict[str, list[File]]) -> None:
    """Every line must parse and lie under its own day; raises BadInput, before a row is written."""
    strangers = [day for day in counted if day not in plan]
    missing = [day for day in plan if day not in counted]
    bad = sum(slices.unparsed(json.loads(counts)) for counts in counted.values())
    if strangers or missing or bad:
        raise BadInput(
            f"the master copy is damaged: {bad} lines do not parse; days in files of other days:"
            f" {_listed(strangers)}; days without a line: {_listed(missing)}",
            "nothing was written",
        )


def _listed(days: list[Any]) -> str:
    return ", ".join(sorted(map(str, days))) or "none"


if __name__ == "__main__":
    spark.drive(main)
