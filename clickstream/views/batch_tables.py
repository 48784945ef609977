"""The tables of the batch views: exact figures per day and server, and the line counts of logs.

`date` is the day as printed in the log, text `yyyy-mm-dd` (a line may be dated 0001 or 9999).
`server` is a web server's name, or `all`. Category text stands for bytes (ISO-8859-1), is of any
length, and differs by case and trailing blanks, so no key and no order rests on a database's idea
of text: a category's key is its `rank` in its day and server, by requests and then by bytes.

`closed_ms` of a run is when the last of the day's files was closed, 0 where there was none.

`visitor_sets` hold who came, so that visitors of many days can be counted once: per server the
digests (DIGEST_BYTES each) of a day's visitors, in order, in parts of PART_VISITORS.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

SCHEMA = 5
DIGEST_BYTES = 16
PART_VISITORS = 32_768  # half a MiB: far below what MariaDB takes as one packet


def _name(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


_long_text = sa.Text().with_variant(
    mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
metadata = sa.MetaData()


def _table(name: str, keys: Mapping[str, Any], values: Mapping[str, Any]) -> sa.Table:
    columns = [sa.Column(key, kind, primary_key=True) for key, kind in keys.items()]
    columns += [sa.Column(key, kind, nullable=False) for key, kind in values.items()]
    return sa.Table(name, metadata, *columns)


_count = sa.BigInteger()
_number = sa.Integer()
_day = {"date": _name(10)}
_day_server = _day | {"server": _name(255)}
CLASSES = dict.fromkeys(("success", "failure", "other", "requests"), _count)

daily_visitors = _table(
    "daily_visitors", _day_server, {"unique_visitors": _count, "requests": _count}
)
visitor_sets = _table(
    "visitor_sets",
    _day_server | {"part": _number},
    {"digests": sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")},
)
daily_responses = _table("daily_responses", _day_server, CLASSES)
status_counts = _table("status_counts", _day_server | {"status": _name(3)}, {"requests": _count})
hourly_traffic = _table("hourly_traffic", _day_server | {"hour": _number}, CLASSES)
minute_traffic = _table("minute_traffic", _day_server | {"minute": _name(5)}, CLASSES)
daily_categories = _table(
    "daily_categories",
    _day_server | {"rank": _number},
    {"category": _long_text, "requests": _count},
)
batch_runs = _table(
    "batch_runs",
    _day,
    {
        "finished": _name(20),
        "seconds": sa.Double(),
        "files": _number,
        "bytes": _count,
        "closed_ms": _count,
        "distinct_lines": _count,
        "copies": _count,
        "manifest": _long_text,
        "made_with": _long_text,
        "run": _name(32),
    },
)
line_counts = _table(
    "line_counts",
    {"server": _name(255), "file": _name(16), "date": _name(10)},
    {"valid_lines": _count, "rejects": _count},
)
batch_schema = _table("batch_schema", {"number": _number}, {})
DAY_TABLES = {
    table.name: table
    for table in (
        *(daily_visitors, visitor_sets, daily_responses, status_counts),
        *(hourly_traffic, minute_traffic, daily_categories, batch_runs),
    )
}
