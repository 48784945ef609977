"""The transform of one batch: Kafka records in, counts out. SQL only, on any number of executors.

A record is one of: `skipped` (no stamped valid line; it says nothing of a file either), `copies`
(its offset in the log is not above every earlier one of its file), `set_aside` (an instant at or
before the epoch, or too far ahead of the record's own timestamp), `counted`. "Earlier" goes by the
topic's order, in this batch and before it, so where a batch is cut changes nothing.

A record with a line feed is no line: fields are split at line feeds (`weblog.sql_line`).

It has two steps: the fields are parsed in the stream's own query, which Spark analyses once; what
Spark cannot do in a stream, windows over a batch, is asked of each batch (see `prepared`).

ANSI mode kills the query at a bad cast or index: only `get`, `try_cast`, `split` with a limit.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clickstream import categories, weblog
from clickstream.categories import PLAIN, Categories
from clickstream.views.realtime.counts import CATEGORY, IP, MINUTE, NON_200, SLOT_S, Counts, add
from clickstream.views.realtime.writer import Batch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FILES, LINES = "files", "lines"
UNKNOWN_SERVER = "?"
RECORDS, PARSED = "records", "parsed"
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The seconds of the years 1 to 9999; a reader has no name for others."""

_ID = rf"^{weblog.STAMP_VERSION}:([A-Za-z0-9._-]{{1,255}}+):([0-9a-f]{{16}}):([0-9]{{1,18}})\z"

_CLASS = (
    "CASE WHEN left(status, 1) IN ('2', '3') THEN 'success'"
    " WHEN left(status, 1) IN ('4', '5') THEN 'failure' ELSE 'other' END"
)


def _struct(metric: str, second: str, key: str, when: str = "true") -> str:
    key = f"if({when}, {key}, NULL)"
    return f"struct('{metric}' AS metric, {second} AS second, {key} AS key)"


def _exactly(text: str, kind: str) -> str:
    """A value of its text as the stamp writes it; a cast alone takes ` +1` and `2015-5-8`, too."""
    return f"if(string(try_cast({text} AS {kind})) = {text}, try_cast({text} AS {kind}), NULL)"


_COUNTED = (
    _struct(LINES, "0L", "outcome"),
    _struct(FILES, "0L", "file", "outcome <> 'skipped' AND position > coalesce(known, -1)"),
    _struct(IP, "second", "host", "outcome = 'counted'"),
    _struct(CATEGORY, "second", "category", "outcome = 'counted'"),
    _struct(NON_200, "second", "status", "outcome = 'counted' AND status <> '200'"),
    _struct(MINUTE, "clock", _CLASS, "outcome = 'counted'"),
)


def parse_sql(vhosts: Collection[str], mapping: Categories) -> str:
    """The query over RECORDS; arguments as of `parse`."""
    line = weblog.sql_line("get(p, 3)", "split_part(get(p, 0), ':', 2)", vhosts)
    category = categories.sql("segment", "get(f, 5)", mapping)
    return f"""
WITH stamped AS (
  SELECT offset AS place, unix_seconds(timestamp) AS received,
    split(regexp_replace(get(p, 0), r'{_ID}', '$1\\n$2\\n$3'), '\\n', 3) AS id,
    {_exactly("get(p, 1)", "BIGINT")} DIV 1000 AS second,
    unix_date({_exactly("get(p, 2)", "DATE")}) AS day,
    {line} AS f
  FROM (SELECT *, if(contains(value, X'0A'), NULL, split(decode(value, 'ISO-8859-1'), '\\t', 4))
    AS p FROM {RECORDS})
), requests AS (
  SELECT *, {weblog.sql_segment("get(f, 5)")} AS segment FROM stamped
), parsed AS (
  SELECT place, received, second, segment, get(id, 0) AS server, get(id, 1) AS file,
    try_cast(get(id, 2) AS BIGINT) AS position,
    get(f, 0) AS host, get(f, 4) AS status, {category} AS category,
    86400L * day + 3600 * try_cast(get(f, 2) AS INT) + 60 * try_cast(get(f, 3) AS INT) AS clock
  FROM requests
)
SELECT *, NOT (position IS NOT NULL AND second IS NOT NULL AND segment IS NOT NULL
  AND coalesce(clock BETWEEN {FIRST} AND {LAST}, false)) AS odd
FROM parsed
"""  # noqa: S608 (constants of ours, and servers whose names are checked)


COUNT = f"""
SELECT metric, server, second DIV {SLOT_S} * {SLOT_S} AS slot,
  to_json(collect_list(struct(t, key AS k, n))) AS sums
FROM (
  SELECT metric, server, second, key, if(metric = '{FILES}', min(position), second) AS t,
    if(metric = '{FILES}', max(position), count(*)) AS n
  FROM (
    SELECT if(position IS NULL, '{UNKNOWN_SERVER}', server) AS server, position,
      inline(array({", ".join(_COUNTED)}))
    FROM (
      SELECT *, CASE
        WHEN odd THEN 'skipped'
        WHEN position <= greatest(before, known) THEN 'copies'
        WHEN second <= 0 OR second > least(received + :ahead, {LAST}) THEN 'set_aside'
        ELSE 'counted' END AS outcome
      FROM (
        SELECT *, max(if(odd, NULL, position)) OVER (PARTITION BY server, file ORDER BY place
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


def count(
    parsed: "DataFrame", highest: Mapping[tuple[str, str], int], max_ahead_s: int
) -> "DataFrame":
    """(metric, server, slot, sums) of a batch of parsed records; `sums` is a JSON array of t, k, n.

    `highest` is the highest offset of each (server, file) before these records. Of FILES `n` is the
    batch's highest and `t` its lowest offset.
    """
    known = json.dumps({f"{server}:{file}": offset for (server, file), offset in highest.items()})
    parsed.createOrReplaceTempView(PARSED)
    return parsed.sparkSession.sql(COUNT, args={"highest": known, "ahead": max_ahead_s})


def transform(
    records: "DataFrame",
    highest: Mapping[tuple[str, str], int],
    max_ahead_s: int,
    vhosts: Collection[str] = (),
    mapping: Categories = PLAIN,
) -> "DataFrame":
    """Both steps over a table of records."""
    return count(parse(records, vhosts, mapping), highest, max_ahead_s)


def overlaps(rows: Iterable[Any], highest: Mapping[tuple[str, str], int]) -> bool:
    """Whether records that were counted without `highest` must be counted with it."""
    files = (
        (server, each)
        for metric, server, _, text in rows
        if metric == FILES
        for each in json.loads(text)
    )
    return any(each["t"] <= highest.get((server, each["k"]), -1) for server, each in files)


def batch_of(rows: Iterable[Any]) -> Batch:
    """What a transformed batch counted."""
    batch = Batch({}, {}, {})
    for metric, server, slot, text in rows:
        sums = [(each["t"], each["k"], each["n"]) for each in json.loads(text)]
        if metric == LINES:
            batch.lines[server] = {key: n for _, key, n in sums}
        elif metric == FILES:
            batch.files.update({(server, key): n for _, key, n in sums})
        else:
            counts: Counts = batch.slots.setdefault((metric, slot), {})
            add(counts, ((server, second, key, n) for second, key, n in sums))
    return batch
