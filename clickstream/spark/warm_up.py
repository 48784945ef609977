"""The job whose classes are archived: it does a little of what both layers' jobs do."""

from typing import TYPE_CHECKING

from clickstream.spark import driver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from clickstream.config import Settings

QUERY = """
    SELECT k, n % 7 AS d, count(*) AS n, grouping_id() AS g, collect_set(k) AS s
    FROM (SELECT get(split(regexp_replace(decode(encode(concat(id, '\\t', id % 9), 'UTF-8'),
    'ISO-8859-1'), '^([0-9]++)\\t', '$1 '), ' ', 2), 1) AS k, id AS n FROM range(1000))
    GROUP BY GROUPING SETS ((k), (k, n % 7))
"""


def compute(session: "SparkSession", _settings: "Settings", _plan: driver.Plan) -> None:
    """Plan, compile and run one query."""
    session.sql(QUERY).createOrReplaceTempView("t")
    session.sql("SELECT to_json(collect_list(struct(*))) FROM t").collect()


if __name__ == "__main__":
    driver.job_main(compute)
