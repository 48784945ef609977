"""The Spark job behind `alert show --evidence`: the requests of an alert's lines, their clients.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; the few most frequent values
of each field come to the driver.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from clickstream.config import Settings
from clickstream.spark import driver, stored_lines
from clickstream.views.realtime import counts
from clickstream.weblog import stamped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20
TEMPLATE = r"{host}\n{status}\n{request}\n{agent}"
FIELDS = ("path", "user_agent", "status")


# `request` stands for the path where there is none: a bad request line is worth seeing.
def sql(vhosts: Collection[str]) -> str:
    """The query over `master`; `vhosts` are the servers read as vhost_combined."""
    return rf"""
WITH lines AS (
  SELECT decode(CAST(value AS BINARY), 'ISO-8859-1') AS text FROM master
), chosen AS (
  SELECT split_part(text, '\t', 1) AS id, {stamped.fields("text", TEMPLATE, vhosts)} AS f FROM lines
  WHERE try_cast(split_part(text, '\t', 2) AS BIGINT) BETWEEN 1000L * :first AND 1000L * :last + 999
), once AS (
  SELECT DISTINCT id, get(f, 0) AS host, get(f, 1) AS status, get(f, 2) AS request,
    get(f, 3) AS user_agent
  FROM chosen
), named AS (
  SELECT *, split_part(split_part(request, ' ', 2), '?', 1) AS target FROM once
  WHERE (:host IS NULL OR {counts.sql_named("host")} = :host)
    AND (NOT :bad OR find_in_set(status, :healthy) = 0)
), counted AS (
  SELECT grouping_id(path, user_agent, status) AS g, count(*) AS n,
    coalesce(path, user_agent, status) AS value
  FROM (SELECT if(target = '', request, target) AS path, user_agent, status FROM named)
  GROUP BY GROUPING SETS ((path), (user_agent), (status), ())
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY g ORDER BY n DESC, value) AS position FROM counted
)
SELECT CASE g WHEN 3 THEN 'path' WHEN 5 THEN 'user_agent' WHEN 6 THEN 'status' ELSE '' END AS field,
  value, n FROM ranked WHERE position <= :top ORDER BY g, position
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Count the lines that the plan names (see `evidence`); returns the `rows` of `count`."""
    stored_lines.configure(session, plan["bytes"] // PARTITION_BYTES + 1)
    lines = stored_lines.text(session, plan["master"])
    with driver.stage(session, f"reading {plan['bytes'] / 1e6:,.1f} MB"):
        rows = count(lines, settings.vhosts, plan["values"])
    return {"rows": rows}


def count(
    lines: "DataFrame", vhosts: Collection[str], values: dict[str, Any]
) -> list[dict[str, Any]]:
    """Stamped lines (value, server) -> rows of field, value, n; the field "" counts every line.

    `values`: `first` and `last` second, `host` as an alert names it (None: any), `bad` (only
    those whose status is not among `healthy`, between commas), `top`.
    """
    lines.createOrReplaceTempView("master")
    rows = lines.sparkSession.sql(sql(vhosts), values).collect()
    return [row.asDict() for row in rows]


if __name__ == "__main__":
    driver.job_main(compute)
