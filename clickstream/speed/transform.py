"""The transform of one batch: Kafka records in, counts out. SQL only, on any number of executors.

A record is one of: `skipped` (no stamped valid line; it says nothing of a file either), `copies`
(its offset in the log is not above every earlier one of its file), `set_aside` (an instant at or
before the epoch, or too far ahead of the record's own timestamp), `counted`. "Earlier" goes by the
topic's order, in this batch and before it, so where a batch is cut changes nothing.

It has two steps: the fields are parsed in the stream's own query (parse.sql); what Spark cannot do
in a stream, windows over a batch, is a query of each batch (count.sql; see `prepared_query`).
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from clickstream import weblog
from clickstream.config import Speed
from clickstream.spark import sql, stored_lines
from clickstream.views.realtime.counts import CATEGORY, IP, MINUTE, MINUTE_S, NON_200, Counts
from clickstream.views.realtime.writer import Batch
from clickstream.weblog import categories, stamped
from clickstream.weblog.categories import PLAIN, Categories
from clickstream.weblog.stamped import PLAIN_ONLY, Readings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Rows = list[tuple[str, str, int, list[dict[str, Any]]]]

OUTCOMES = "outcomes"
"""Beside the metrics: records by outcome, class of status and file, at the second of MINUTE."""

UNKNOWN_SERVER = "?"
RECORDS, PARSED = "records", "parsed"
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The seconds of the years 1 to 9999; a reader has no name for others."""

_FIELDS = r"{server}\n{file}\n{offset}\n{ms}\n{day}\n{host}\n{hour}\n{minute}\n{status}\n"


def parse_sql(readings: Readings, mapping: Categories) -> str:
    """The query over RECORDS; arguments as of `parse`."""
    plain = mapping == PLAIN
    template = _FIELDS + ("{target}" if plain else "{request}")
    mapped = categories.sql("segment", "request", mapping)
    return sql.query(
        "clickstream.speed",
        "parse",
        records=RECORDS,
        fields=stamped.fields("text", template, readings),
        segment=weblog.sql_segment("request"),
        category=stamped.category("request") if plain else mapped,
        id=stored_lines.ID,
        server_chars=weblog.MAX_SERVER_CHARS,
        offset_digits=weblog.MAX_OFFSET_DIGITS,
        unknown_server=UNKNOWN_SERVER,
        first=FIRST,
        last=LAST,
    )


@cache
def count_sql() -> str:
    """The query over PARSED."""
    return sql.query(
        "clickstream.speed",
        "count",
        parsed=PARSED,
        outcomes=OUTCOMES,
        ip=IP,
        category=CATEGORY,
        non_200=NON_200,
        minute_s=MINUTE_S,
        last=LAST,
    )


def parse(
    records: "DataFrame", readings: Readings = PLAIN_ONLY, mapping: Categories = PLAIN
) -> "DataFrame":
    """The fields of each of Kafka's records, of a stream or of a table.

    `readings`: see `stamped.fields`; `mapping` decides the categories.
    """
    records.createOrReplaceTempView(RECORDS)
    return records.sparkSession.sql(parse_sql(readings, mapping))


def count(parsed: "DataFrame", highest: Mapping[tuple[str, str], int], speed: Speed) -> "DataFrame":
    """(metric, server, slot, sums) of a batch of parsed records; `sums` is an array of t, k, n.

    `highest` is the highest offset of each (server, file) before these records. Rows of OUTCOMES
    have the `lowest` and the `highest` offset that is above it, too, where there is one.
    """
    offsets = json.dumps({f"{server}:{file}": offset for (server, file), offset in highest.items()})
    parsed.createOrReplaceTempView(PARSED)
    rules = {"ahead": speed.max_ahead_seconds, "healthy": ",".join(speed.healthy_statuses)}
    return parsed.sparkSession.sql(count_sql(), args={"highest": offsets, **rules})


def transform(
    records: "DataFrame",
    highest: Mapping[tuple[str, str], int],
    speed: Speed,
    readings: Readings = PLAIN_ONLY,
    mapping: Categories = PLAIN,
) -> "DataFrame":
    """Both steps over a table of records."""
    return count(parse(records, readings, mapping), highest, speed)


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
