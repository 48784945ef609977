"""The Spark job behind `explain report --lines`: the lines of the master dataset behind a figure.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; the first few of them come to
the driver.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.config import Settings
from clickstream.config.sections import HOST_AND_AGENT
from clickstream.spark import driver, stored_lines
from clickstream.weblog import categories, stamped
from clickstream.weblog.categories import Categories

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20
FIELDS = r"{day}\n{server}\n{ms}\n{hour}\n{status}\n{host}\n{request}\n"
VISITOR = {False: "{host}", True: "{host} {agent}"}
FILTERS = ("day", "server", "hour", "class", "category", "visitor", "first", "last")
"""The values by which lines are chosen; None: any. `first` and `last` are epoch seconds."""


# As the batch job reads a line: the request before the visitor, for both are split at line feeds.
def sql(vhosts: Collection[str], mapping: Categories, with_agent: bool) -> str:
    """The query over `master`: id, ms, visitor and text of each chosen line, once."""
    template = FIELDS + VISITOR[with_agent]
    return rf"""
WITH texts AS (
  SELECT decode(CAST(value AS BINARY), 'ISO-8859-1') AS text FROM master
), fields AS (
  SELECT text, {stamped.fields("text", template, vhosts)} AS f FROM texts
), named AS (
  SELECT text, split_part(text, '\t', 1) AS id, get(f, 0) AS day, get(f, 1) AS server,
    try_cast(get(f, 2) AS BIGINT) AS ms, try_cast(get(f, 3) AS INT) AS hour,
    CASE WHEN left(get(f, 4), 1) IN ('2', '3') THEN 'success'
      WHEN left(get(f, 4), 1) IN ('4', '5') THEN 'failure' ELSE 'other' END AS class,
    get(f, 6) AS request, get(f, 7) AS visitor
  FROM fields WHERE get(f, 1) IS NOT NULL
), segments AS (
  SELECT *, {weblog.sql_segment("request")} AS segment FROM named
), keyed AS (
  SELECT *, {categories.sql("segment", "request", mapping)} AS category FROM segments
)
SELECT id, min(ms) AS ms, min(visitor) AS visitor, min(text) AS text FROM keyed
WHERE (:day IS NULL OR day = :day) AND (:server IS NULL OR server = :server)
  AND (:hour IS NULL OR hour = :hour) AND (:class IS NULL OR class = :class)
  AND (:category IS NULL OR category = :category) AND (:visitor IS NULL OR visitor = :visitor)
  AND (:first IS NULL OR ms >= 1000L * :first) AND (:last IS NULL OR ms < 1000L * (:last + 1))
GROUP BY id
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Find the lines of the plan (see `figure`): `lines` and `visitors` in all, the first `rows`.

    A row has `id` and `text`, the raw line as ISO-8859-1; in the order of their instants.
    """
    stored_lines.configure(session, plan["bytes"] // PARTITION_BYTES + 1)
    lines = stored_lines.text(session, plan["master"])
    with_agent = settings.batch.visitor == HOST_AND_AGENT
    query = sql(settings.vhosts, settings.categories, with_agent)
    with driver.stage(session, f"reading {plan['bytes'] / 1e6:,.1f} MB"):
        return find(lines, query, plan["values"], plan["lines"])


def find(lines: "DataFrame", query: str, values: dict[str, Any], number: int) -> dict[str, Any]:
    """The chosen ones of stamped lines; see `compute`."""
    lines.createOrReplaceTempView("master")
    chosen = lines.sparkSession.sql(query, {name: values.get(name) for name in FILTERS})
    sums = chosen.selectExpr("count(*) AS lines", "count(DISTINCT visitor) AS visitors").first()
    first = chosen.orderBy("ms", "id").limit(number).collect()
    rows = [{"id": row.id, "text": row.text.split("\t", 3)[-1]} for row in first]
    return {"lines": sums.lines, "visitors": sums.visitors, "rows": rows} if sums else {}


if __name__ == "__main__":
    driver.job_main(compute)
