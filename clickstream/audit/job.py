"""The audit's Spark job: every line of the stores, by its identity, held against its copies.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; there are no Python workers.
What comes to the driver is a row per log, day and 64 MiB of the log: counts, where lines are
missing, and which lines are not what they should be.
"""

import json
from typing import TYPE_CHECKING, Any

from clickstream.clients import kafka_security
from clickstream.config import Settings
from clickstream.spark import driver, sql, stored_lines
from clickstream.weblog import VHOST_COMBINED, formats
from clickstream.weblog.stamped import PLAIN_ONLY, Readings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION_BYTES = 64 * 2**20
RECORDS_PER_TASK = 1_000_000
BUCKET_BYTES = 64 * 2**20
RANGES = 10
NO_STAMP = "?"

ALTERED = "altered"
BOTH = "in the master dataset and the quarantine"
NO_MASTER = "master dataset"
NO_KAFKA = "Kafka"
NO_QUARANTINE = "quarantine"
FAULTS = (ALTERED, BOTH, NO_MASTER, NO_KAFKA, NO_QUARANTINE)

_DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}"
# Written apart from weblog.pattern on purpose: in every format that has a name the time is the
# first one after the first two words.
_TIME = (
    rf"^[^ ]++ [^ ]++(?: (?!\[{_DATE}:)[^ ]*+)++"
    rf" \[({_DATE}:[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} [+-][0-9]{{4}})\] "
)
_MONTH = "(locate(substr(time, 4, 3), 'JanFebMarAprMayJunJulAugSepOctNovDec') + 2) DIV 3"


def _two(start: int) -> str:
    return f"try_cast(substr(time, {start}, 2) AS INT)"


_PRINTED_DAY = (
    "concat(substr(time, 8, 4), '-', lpad(cast("
    f"{_MONTH} AS STRING), 2, '0'), '-', substr(time, 1, 2))"
)
_ZONE_S = f"if(substr(time, 22, 1) = '-', -1, 1) * (3600 * {_two(23)} + 60 * {_two(25)})"
_PRINTED_MS = (
    f"1000L * (86400L * unix_date(try_cast(date AS DATE))"
    f" + 3600 * {_two(13)} + 60 * {_two(16)} + {_two(19)} - {_ZONE_S})"
)


def query(readings: Readings = PLAIN_ONLY) -> str:
    """The query over the views `master`, `quarantine` and `topic`; see `stamped.fields`."""
    return sql.query(
        "clickstream.audit",
        "stored_copies",
        head=stored_lines.HEAD,
        time=_printed(readings),
        printed_day=_PRINTED_DAY,
        printed_ms=_PRINTED_MS,
        no_stamp=NO_STAMP,
        bucket_bytes=BUCKET_BYTES,
        ranges=RANGES,
        altered=ALTERED,
        both=BOTH,
        no_master=NO_MASTER,
        no_kafka=NO_KAFKA,
        no_quarantine=NO_QUARANTINE,
    )


def _printed(readings: Readings) -> str:
    """The time that a line shows; NULL where a format in a server's own words has none there."""
    text = "decode(raw, 'ISO-8859-1')"
    usual = f"regexp_extract({text}, r'{_TIME}', 1)"
    cases = [
        f" WHEN get(h, 1) = '{server}'"
        f" THEN nullif(regexp_extract({text}, r'^{form.timed.pattern.decode()}', 1), '')"
        for server, form in readings.items()
        if form is not VHOST_COMBINED
    ]
    return f"CASE{''.join(cases)} ELSE {usual} END" if cases else usual


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Count the lines that the plan names (see `audit.collect`); returns its `rows`."""
    stored_lines.configure(
        session, plan["bytes"] // PARTITION_BYTES + plan["records"] // RECORDS_PER_TASK + 1
    )
    stored_lines.text(session, plan["master"]).createOrReplaceTempView("master")
    stored_lines.text(session, plan["quarantine"]).createOrReplaceTempView("quarantine")
    _topic(session, settings, plan["kafka"]).createOrReplaceTempView("topic")
    volume = f"{plan['bytes'] / 1e6:,.1f} MB and {plan['records']:,} records"
    with driver.stage(session, f"reading {volume}"):
        rows = session.sql(query(formats.readings(settings)), plan["values"]).collect()
    return {"rows": [row.asDict(recursive=True) for row in rows]}


def _topic(session: "SparkSession", settings: Settings, wanted: dict[str, Any]) -> "DataFrame":
    """The records of a topic between two offsets of each partition."""
    if not any(wanted["ends"].values()):
        return stored_lines.nothing(session, "value BINARY, partition INT")
    topic = wanted["topic"]
    options = {
        "assign": json.dumps({topic: [int(partition) for partition in wanted["ends"]]}),
        "startingOffsets": json.dumps({topic: wanted["starts"]}),
        "endingOffsets": json.dumps({topic: wanted["ends"]}),
        "minPartitions": str(len(wanted["ends"]) + wanted["records"] // RECORDS_PER_TASK),
    }
    return session.read.format("kafka").options(**kafka_security.spark(settings) | options).load()


if __name__ == "__main__":
    driver.job_main(compute)
