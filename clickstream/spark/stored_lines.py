"""The stored lines, as the Spark jobs of the audit and of the rebuild read them."""

from typing import TYPE_CHECKING, Any

from clickstream import weblog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ID = weblog.grouped(weblog.STORED_ID, ["server"]) + r"(?![^\t])"
"""The id that a stored line begins with; group 1 is the server."""
HEAD = weblog.grouped(weblog.STORED_STAMP, []) + r"\z"
"""The head of a stored line: id, time and day; nothing else matches."""

PARTITIONS = "dt STRING, server STRING"


def stamp(head: str) -> str:
    """Spark SQL: version, server, file, offset, ms and day, of a column of heads."""
    return rf"split({head}, '[:\t]')"


def configure(session: "SparkSession", tasks: int) -> None:
    """Settings of a job that shuffles lines to so many tasks."""
    for key, value in {
        "spark.sql.shuffle.partitions": max(tasks, session.sparkContext.defaultParallelism),
        "spark.sql.adaptive.enabled": "false",  # It would join tasks that are sized well already.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": 10_000,
    }.items():
        session.conf.set(key, str(value))


def text(session: "SparkSession", source: dict[str, Any]) -> "DataFrame":
    """The lines of a `master.source`: value, dt (NULL in the quarantine), server.

    `value` holds a line's bytes as they are, whatever they are. A lone CR ends no line.
    """
    if not source["paths"]:
        return nothing(session, f"value STRING, {PARTITIONS}")
    reader = session.read.option("lineSep", "\n").option("basePath", source["root"])
    lines = reader.text(source["paths"])
    dt = "dt" if "dt" in lines.columns else "CAST(NULL AS STRING) AS dt"
    return lines.selectExpr("value", dt, "server")


def nothing(session: "SparkSession", columns: str) -> "DataFrame":
    """No rows, with these columns (`name TYPE, ...`)."""
    typed = (column.split() for column in columns.split(", "))
    casts = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in typed)
    return session.sql(f"SELECT {casts} WHERE false")
