"""The Spark job behind `alert show --evidence`: the requests of an alert's lines, their clients.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; the few most frequent values
of each field come to the driver.
"""

from typing import TYPE_CHECKING, Any

from clickstream.config import Settings
from clickstream.spark import driver, sql, stored_lines
from clickstream.views.realtime import counts
from clickstream.weblog import formats, stamped
from clickstream.weblog.stamped import Readings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20
TEMPLATE = r"{host}\n{status}\n{request}\n{agent}"
FIELDS = ("path", "user_agent", "status")


def query(readings: Readings) -> str:
    """The query over `master`; `readings`: see `stamped.fields`."""
    return sql.query(
        "clickstream.serve",
        "evidence",
        fields=stamped.fields("text", TEMPLATE, readings),
        named_host=counts.sql_named("host"),
    )


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Count the lines that the plan names (see `evidence`); returns the `rows` of `count`."""
    stored_lines.configure(session, plan["bytes"] // PARTITION_BYTES + 1)
    lines = stored_lines.text(session, plan["master"])
    with driver.stage(session, f"reading {plan['bytes'] / 1e6:,.1f} MB"):
        rows = count(lines, formats.readings(settings), plan["values"])
    return {"rows": rows}


def count(lines: "DataFrame", readings: Readings, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Stamped lines (value, server) -> rows of field, value, n; the field "" counts every line.

    `values`: `first` and `last` second, `host` as an alert names it (None: any), `bad` (only
    those whose status is not among `healthy`, between commas), `top`.
    """
    lines.createOrReplaceTempView("master")
    rows = lines.sparkSession.sql(query(readings), values).collect()
    return [row.asDict() for row in rows]


if __name__ == "__main__":
    driver.job_main(compute)
