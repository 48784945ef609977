"""The Spark job behind `explain report --lines`: the lines of the master dataset behind a figure.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; the first few of them come to
the driver.
"""

from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.config import Settings
from clickstream.config.sections import HOST_AND_AGENT
from clickstream.spark import driver, sql, stored_lines
from clickstream.weblog import categories, formats, stamped
from clickstream.weblog.categories import Categories
from clickstream.weblog.stamped import Readings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20
FIELDS = r"{day}\n{server}\n{ms}\n{hour}\n{request}\n"
VISITOR = {False: "{host}", True: "{host} {agent}"}
FILTERS = ("day", "server", "hour", "category", "first", "last")
"""The values by which lines are chosen; None: any. `first` and `last` are epoch seconds."""


def query(readings: Readings, mapping: Categories, with_agent: bool) -> str:
    """The query over `master`; arguments as those of the batch job."""
    return sql.query(
        "clickstream.explain",
        "figure_lines",
        fields=stamped.fields("text", FIELDS + VISITOR[with_agent], readings),
        segment=weblog.sql_segment("request"),
        category=categories.sql("segment", "request", mapping),
    )


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Find the lines of the plan (see `figure`): `lines` and `visitors` in all, the first `rows`.

    A row has `id` and `text`, the raw line as ISO-8859-1; in the order of their instants.
    """
    stored_lines.configure(session, plan["bytes"] // PARTITION_BYTES + 1)
    lines = stored_lines.text(session, plan["master"])
    with_agent = settings.batch.visitor == HOST_AND_AGENT
    text = query(formats.readings(settings), settings.categories, with_agent)
    with driver.stage(session, f"reading {plan['bytes'] / 1e6:,.1f} MB"):
        return find(lines, text, plan["values"], plan["lines"])


def find(lines: "DataFrame", text: str, values: dict[str, Any], number: int) -> dict[str, Any]:
    """The chosen ones of stamped lines; see `compute`."""
    lines.createOrReplaceTempView("master")
    chosen = lines.sparkSession.sql(text, {name: values.get(name) for name in FILTERS})
    sums = chosen.selectExpr("count(*) AS lines", "count(DISTINCT visitor) AS visitors").first()
    first = chosen.orderBy("ms", "id").limit(number).collect()
    rows = [{"id": row.id, "text": row.text.split("\t", 3)[-1]} for row in first]
    return {"lines": sums.lines, "visitors": sums.visitors, "rows": rows} if sums else {}


if __name__ == "__main__":
    driver.job_main(compute)
