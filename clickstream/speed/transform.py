"""The transform of one batch: Kafka records in, counts out. SQL only, on any number of executors.

A record is one of: `skipped` (no stamped valid line; it says nothing of a file either), `copies`
(its offset in the log is not above every earlier one of its file), `set_aside` (an instant at or
before the epoch, or too far ahead of the record's own timestamp), `counted`. "Earlier" goes by the
topic's order, in this batch and before it, so where a batch is cut changes nothing.

A record with a line feed is no line: fields are split at line feeds (`stamped.fields`).

It has two steps: the fields are parsed in the stream's own query, which Spark analyses once; what
Spark cannot do in a stream, windows over a batch, is a query of each batch (see `prepared_query`).

ANSI mode kills the query at a bad cast or index: only `get`, `try_cast`, `split` with a limit.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.config import Speed
from clickstream.views.realtime.counts import CATEGORY, IP, MINUTE, MINUTE_S, NON_200, Counts
from clickstream.views.realtime.writer import Batch
from clickstream.weblog import categories, stamped
from clickstream.weblog.categories import PLAIN, Categories

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Rows = list[tuple[str, str, int, list[dict[str, Any]]]]

OUTCOMES = "outcomes"
"""Beside the metrics: records by outcome, class of status and file, at the second of MINUTE."""

UNKNOWN_SERVER = "?"
RECORDS, PARSED = "records", "parsed"
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The seconds of the years 1 to 9999; a reader has no name for others."""

# A longer server or offset is none: a row's key has no room for it, nor a number.
_SERVER_CHARS, _OFFSET_DIGITS = 255, 18
_ID = (
    rf"^{weblog.STAMP_VERSION}:([A-Za-z0-9._-]{{1,{_SERVER_CHARS}}}+):[0-9a-f]{{16}}"
    rf":[0-9]{{1,{_OFFSET_DIGITS}}}+(?![^\t])"
)
_FIELDS = r"{server}\n{file}\n{offset}\n{ms}\n{day}\n{host}\n{hour}\n{minute}\n{status}\n"

_CLASS = (
    "CASE WHEN left(status, 1) IN ('2', '3') THEN 'success'"
    " WHEN left(status, 1) IN ('4', '5') THEN 'failure' ELSE 'other' END"
)


def _struct(metric: str, second: str, key: str, when: str = "true") -> str:
    key = f"if({when}, {key}, NULL)"
    return f"struct('{metric}' AS metric, {second} AS second, {key} AS key)"


_COUNTED = (
    _struct(
        OUTCOMES,
        "if(outcome = 'counted', clock, 0L)",
        f"concat(outcome, ' ', if(outcome = 'counted', {_CLASS}, ''), ' ', coalesce(file, ''))",
    ),
    _struct(IP, "second", "host", "outcome = 'counted'"),
    _struct(CATEGORY, "second", "category", "outcome = 'counted'"),
    _struct(
        NON_200, "second", "status", "outcome = 'counted' AND find_in_set(status, :healthy) = 0"
    ),
)


def parse_sql(vhosts: Collection[str], mapping: Categories) -> str:
    """The query over RECORDS; arguments as of `parse`."""
    plain = mapping == PLAIN
    line = stamped.fields("text", _FIELDS + ("{target}" if plain else "{request}"), vhosts)
    mapped = categories.sql("segment", "request", mapping)
    return f"""
SELECT kafka_offset, received, second, host, status,
  {stamped.category("request") if plain else mapped}
    AS category, clock,
  coalesce(if(valid, get(f, 0), nullif(regexp_extract(text, r'{_ID}', 1), '')), '{UNKNOWN_SERVER}')
    AS server, if(valid, get(f, 1), NULL) AS file, if(valid, position, NULL) AS position
FROM (
  SELECT *, {weblog.sql_segment("request")} AS segment, coalesce(position IS NOT NULL
    AND second IS NOT NULL AND clock BETWEEN {FIRST} AND {LAST}, false) AS valid
  FROM (
    SELECT *, if(length(get(f, 0)) <= {_SERVER_CHARS} AND length(get(f, 2)) <= {_OFFSET_DIGITS},
        try_cast(get(f, 2) AS BIGINT), NULL) AS position,
      if(string(try_cast(get(f, 3) AS BIGINT)) = get(f, 3), try_cast(get(f, 3) AS BIGINT), NULL)
        DIV 1000 AS second,
      86400L * unix_date(try_cast(get(f, 4) AS DATE)) + 3600 * try_cast(get(f, 6) AS INT)
        + 60 * try_cast(get(f, 7) AS INT) AS clock,
      get(f, 5) AS host, get(f, 8) AS status, get(f, 9) AS request
    FROM (
      SELECT *, {line} AS f
      FROM (
        SELECT offset AS kafka_offset, unix_seconds(timestamp) AS received,
          if(contains(value, X'0A'), NULL, decode(value, 'ISO-8859-1')) AS text
        FROM {RECORDS}
))))
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


COUNT = f"""
SELECT metric, server, second DIV {MINUTE_S} * {MINUTE_S} AS slot,
  collect_list(struct(second AS t, key AS k, n, lowest, highest)) AS sums
FROM (
  SELECT metric, server, second, key, count(*) AS n,
    if(metric = '{OUTCOMES}', min(new), NULL) AS lowest,
    if(metric = '{OUTCOMES}', max(new), NULL) AS highest
  FROM (
    SELECT server, if(position > coalesce(known, -1), position, NULL) AS new,
      inline(array({", ".join(_COUNTED)}))
    FROM (
      SELECT *, CASE
        WHEN position IS NULL THEN 'skipped'
        WHEN position <= greatest(before, known) THEN 'copies'
        WHEN second <= 0 OR second > least(received + :ahead, {LAST}) THEN 'set_aside'
        ELSE 'counted' END AS outcome
      FROM (
        SELECT *, max(position) OVER (PARTITION BY server, file ORDER BY kafka_offset
          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
          try_element_at(from_json(:highest, 'MAP<STRING, BIGINT>'), concat(server, ':', file))
            AS known
        FROM {PARSED}
  )))
  WHERE key IS NOT NULL GROUP BY metric, server, second, key
)
GROUP BY metric, server, slot
"""  # noqa: S608 (constants of ours)


def parse(
    records: "DataFrame", vhosts: Collection[str] = (), mapping: Categories = PLAIN
) -> "DataFrame":
    """The fields of each of Kafka's records, of a stream or of a table.

    `vhosts` are the servers read as vhost_combined; `mapping` decides the categories.
    """
    records.createOrReplaceTempView(RECORDS)
    return records.sparkSession.sql(parse_sql(vhosts, mapping))


def count(parsed: "DataFrame", highest: Mapping[tuple[str, str], int], speed: Speed) -> "DataFrame":
    """(metric, server, slot, sums) of a batch of parsed records; `sums` is an array of t, k, n.

    `highest` is the highest offset of each (server, file) before these records. Rows of OUTCOMES
    have the `lowest` and the `highest` offset that is above it, too, where there is one.
    """
    offsets = json.dumps({f"{server}:{file}": offset for (server, file), offset in highest.items()})
    parsed.createOrReplaceTempView(PARSED)
    rules = {"ahead": speed.max_ahead_seconds, "healthy": ",".join(speed.healthy_statuses)}
    return parsed.sparkSession.sql(COUNT, args={"highest": offsets, **rules})


def transform(
    records: "DataFrame",
    highest: Mapping[tuple[str, str], int],
    speed: Speed,
    vhosts: Collection[str] = (),
    mapping: Categories = PLAIN,
) -> "DataFrame":
    """Both steps over a table of records."""
    return count(parse(records, vhosts, mapping), highest, speed)


def text(counted: "DataFrame") -> "DataFrame":
    """The counts as one value, a JSON text, which is quicker to collect than rows."""
    columns = ", ".join(counted.columns)
    return counted.selectExpr(f"to_json(collect_list(struct({columns}))) AS text")


def rows_of(text: str) -> Rows:
    """The rows of a `text`: (metric, server, slot, sums)."""
    return [(row["metric"], row["server"], row["slot"], row["sums"]) for row in json.loads(text)]


def scattered(parts: Iterable[Rows]) -> bool:
    """True where lines of one file are in several parts: then none can be counted by itself."""
    files = [file for rows in parts for file in _lowest(rows)]
    return len(files) > len(set(files))


def overlaps(rows: Rows, highest: Mapping[tuple[str, str], int]) -> bool:
    """True where records that were counted without `highest` must be counted with it."""
    return any(lowest <= highest.get(file, -1) for file, lowest in _lowest(rows).items())


def batch_of(rows: Iterable[Any]) -> Batch:
    """The counts of a transformed batch."""
    batch = Batch({}, {}, {})
    for metric, server, minute, sums in rows:
        if metric == OUTCOMES:
            _add_outcomes(batch, server, minute, sums)
        else:
            seconds = _seconds(batch, metric, minute, server)
            for each in sums:
                keys = seconds.setdefault(each["t"], {})
                keys[each["k"]] = keys.get(each["k"], 0) + each["n"]
    return batch


def _lowest(rows: Rows) -> dict[tuple[str, str], int]:
    """The lowest offset by (server, file)."""
    lowest: dict[tuple[str, str], int] = {}
    for metric, server, _, sums in rows:
        for each in sums if metric == OUTCOMES else ():
            if "lowest" in each:
                file = server, each["k"].split(" ")[2]
                lowest[file] = min(each["lowest"], lowest.get(file, each["lowest"]))
    return lowest


def _add_outcomes(batch: Batch, server: str, minute: int, sums: list[dict[str, Any]]) -> None:
    lines = batch.lines.setdefault(server, {})
    for each in sums:
        outcome, status_class, file = each["k"].split(" ")
        lines[outcome] = lines.get(outcome, 0) + each["n"]
        if "highest" in each:
            before = batch.files.get((server, file), -1)
            batch.files[server, file] = max(before, each["highest"])
        if status_class:
            classes = _seconds(batch, MINUTE, minute, server).setdefault(each["t"], {})
            classes[status_class] = classes.get(status_class, 0) + each["n"]


def _seconds(batch: Batch, metric: str, minute: int, server: str) -> dict[int, dict[str, int]]:
    counts: Counts = batch.minutes.setdefault((metric, minute), {})
    return counts.setdefault(server, {})
