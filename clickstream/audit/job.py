"""The audit's Spark job: every line of the stores, by its identity, held against its copies.

It runs as the driver of `spark-submit`. Only Spark SQL touches lines; there are no Python workers.
What comes to the driver is a row per log, day and 64 MiB of the log: counts, where lines are
missing, and which lines are not what they should be.
"""

import json
from typing import TYPE_CHECKING, Any

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.spark import driver, stored_lines

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
# Written apart from weblog.LINE on purpose: in every format the time is the first one after the
# first two words.
_TIME = (
    rf"^[^ ]++ [^ ]++(?: (?!\[{_DATE}:)[^ ]*+)++"
    rf" \[({_DATE}:[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} [+-][0-9]{{4}})\] "
)
_MONTH = "(locate(substr(time, 4, 3), 'JanFebMarAprMayJunJulAugSepOctNovDec') + 2) DIV 3"


def _two(start: int) -> str:
    return f"try_cast(substr(time, {start}, 2) AS INT)"


_PRINTED = (
    "concat(substr(time, 8, 4), '-', lpad(cast("
    f"{_MONTH} AS STRING), 2, '0'), '-', substr(time, 1, 2))"
)
_ZONE_S = f"if(substr(time, 22, 1) = '-', -1, 1) * (3600 * {_two(23)} + 60 * {_two(25)})"
_EPOCH_MS = (
    f"1000L * (86400L * unix_date(try_cast(date AS DATE))"
    f" + 3600 * {_two(13)} + 60 * {_two(16)} + {_two(19)} - {_ZONE_S})"
)

# `stamped`: cut at bytes, not at characters; a line's bytes need not be UTF-8.
# `records`: `text` is the line's hash, `stamp` that of its id and time. A drained reject may have
# another time in the quarantine than in the master dataset.
# `ids`: the one shuffle. A line's copies and neighbours then lie in one task, a long log in many.
SQL = rf"""
WITH lines AS (
  SELECT 'm' AS store, value, server AS stored_under, dt FROM master
  UNION ALL SELECT 'q', value, server, NULL FROM quarantine
  UNION ALL SELECT 'k', cast(value AS STRING), get(split(:servers, ','), partition), NULL FROM topic
), stamped AS (
  SELECT *, substring_index(value, '\t', 3) AS head FROM lines
), cut AS (
  SELECT store, stored_under, dt, head,
    substring(cast(value AS BINARY), octet_length(head) + 2) AS raw,
    CASE WHEN octet_length(value) > octet_length(head) AND head RLIKE r'{stored_lines.HEAD}'
      THEN split(head, '[:\t]') END AS h
  FROM stamped
), parts AS (
  SELECT store, stored_under, dt, raw, xxhash64(head) AS stamp, get(h, 1) AS server,
    get(h, 2) AS file, try_cast(get(h, 3) AS BIGINT) AS offset,
    get(h, 4) AS epoch, get(h, 5) AS date,
    CASE WHEN store <> 'k' AND get(h, 4) <> '-'
      THEN regexp_extract(decode(raw, 'ISO-8859-1'), r'{_TIME}', 1) END AS time
  FROM cut
), records AS (
  SELECT store, coalesce(server, stored_under, '{NO_STAMP}') AS server, offset,
    coalesce(file, '{NO_STAMP}') AS file, coalesce(offset DIV {BUCKET_BYTES}, -1) AS bucket,
    octet_length(raw) AS size, xxhash64(raw) AS text, stamp,
    unix_date(try_cast(date AS DATE)) AS day,
    server <> stored_under OR (store = 'm' AND date <> dt) OR (store = 'm' AND epoch = '-')
      OR (time IS NOT NULL AND NOT coalesce(
        date = {_PRINTED} AND try_cast(epoch AS BIGINT) = {_EPOCH_MS}, false)) AS wrong
  FROM parts
  UNION ALL
  SELECT 'd', server, explode(offsets) AS offset, file, offset DIV {BUCKET_BYTES},
    NULL, NULL, NULL, NULL, false
  FROM (SELECT inline(from_json(:drained,
    'ARRAY<STRUCT<server: STRING, file: STRING, offsets: ARRAY<BIGINT>>>')))
), ids AS (
  SELECT server, file, bucket, offset, max(size) AS size,
    count_if(store = 'm') AS m, count_if(store = 'q') AS q, count_if(store = 'k') AS k,
    count_if(store = 'd') AS d, max(wrong) OR max(text) <> min(text)
      OR max(stamp) FILTER (WHERE store <> 'q') <> min(stamp) FILTER (WHERE store <> 'q')
      OR max(stamp) FILTER (WHERE store = 'q') <> min(stamp) FILTER (WHERE store = 'q') AS altered,
    coalesce(max(day) FILTER (WHERE store = 'm'), max(day) FILTER (WHERE store = 'k'),
      max(day)) AS day
  FROM (SELECT * FROM records DISTRIBUTE BY server, file, bucket)
  GROUP BY server, file, bucket, offset
), judged AS (
  SELECT *, CASE
    WHEN offset IS NULL THEN ''
    WHEN altered THEN '{ALTERED}'
    WHEN m > 0 AND q > 0 AND d = 0 THEN '{BOTH}'
    WHEN m = 0 AND (k > 0 OR d > 0) THEN '{NO_MASTER}'
    WHEN d > 0 AND q = 0 THEN '{NO_QUARANTINE}'
    WHEN m > 0 AND k = 0 AND NOT array_contains(split(:cut, ','), server) THEN '{NO_KAFKA}'
    ELSE '' END AS fault
  FROM ids
  WHERE :whole OR offset IS NULL OR (NOT (d > 0 AND m = 0)
    AND day BETWEEN unix_date(CAST(:first AS DATE)) AND unix_date(CAST(:last AS DATE)))
), positioned AS (
  SELECT *, row_number() OVER along AS position,
    offset - lag(offset + size) OVER along AS step, lag(offset + size) OVER along AS before,
    fault <> '' AND fault <> coalesce(lag(fault) OVER along, '') AS starts,
    fault <> '' AND fault <> coalesce(lead(fault) OVER along, '') AS ends
  FROM judged WINDOW along AS (PARTITION BY server, file, bucket ORDER BY offset)
), numbered AS (
  SELECT *, step NOT IN (1, 2) AS gap, count_if(starts) OVER so_far AS run,
    count_if(step NOT IN (1, 2)) OVER so_far AS gaps_so_far, count_if(step = 2) OVER so_far AS crlf
  FROM positioned WINDOW so_far AS (PARTITION BY server, file, bucket ORDER BY offset
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT server, file, bucket, coalesce(cast(date_from_unix_date(day) AS STRING), '-') AS day,
  count(*) AS ids, count_if(m > 0) AS master, count_if(q > 0) AS quarantine,
  count_if(k > 0) AS kafka, count_if(m > 0 AND q > 0) AS drained,
  sum(greatest(m - 1, 0)) AS master_copies, sum(greatest(q - 1, 0)) AS quarantine_copies,
  sum(greatest(k - 1, 0)) AS kafka_copies, sum(m) AS m, sum(q) AS q, sum(k) AS k,
  min(offset) AS first, max(offset + size) AS stop, count_if(step = 2) AS crlf,
  collect_list(struct(before, offset)) FILTER (WHERE gap AND gaps_so_far <= {RANGES}) AS missing,
  collect_list(struct(fault, run, offset, position, starts, ends))
    FILTER (WHERE (starts OR ends) AND run <= {RANGES}) AS wrong,
  collect_list(offset) FILTER (WHERE step = 2 AND crlf <= {RANGES}) AS doubtful
FROM numbered GROUP BY server, file, bucket, day
"""  # noqa: S608 (constants of ours only)


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> dict[str, Any]:
    """Count the lines that the plan names (see `audit.collect`); returns the `rows` of SQL."""
    stored_lines.configure(
        session, plan["bytes"] // PARTITION_BYTES + plan["records"] // RECORDS_PER_TASK + 1
    )
    stored_lines.text(session, plan["master"]).createOrReplaceTempView("master")
    stored_lines.text(session, plan["quarantine"]).createOrReplaceTempView("quarantine")
    bootstrap = endpoints.kafka_bootstrap(settings)
    _topic(session, bootstrap, plan["kafka"]).createOrReplaceTempView("topic")
    volume = f"{plan['bytes'] / 1e6:,.1f} MB and {plan['records']:,} records"
    with driver.stage(session, f"reading {volume}"):
        rows = [row.asDict(recursive=True) for row in session.sql(SQL, plan["values"]).collect()]
    return {"rows": rows}


def _topic(session: "SparkSession", bootstrap: str, wanted: dict[str, Any]) -> "DataFrame":
    """The records of a topic between two offsets of each partition."""
    if not any(wanted["ends"].values()):
        return stored_lines.nothing(session, "value BINARY, partition INT")
    topic = wanted["topic"]
    options = {
        "kafka.bootstrap.servers": bootstrap,
        "assign": json.dumps({topic: [int(partition) for partition in wanted["ends"]]}),
        "startingOffsets": json.dumps({topic: wanted["starts"]}),
        "endingOffsets": json.dumps({topic: wanted["ends"]}),
        "minPartitions": str(len(wanted["ends"]) + wanted["records"] // RECORDS_PER_TASK),
    }
    return session.read.format("kafka").options(**options).load()


if __name__ == "__main__":
    driver.job_main(compute)
