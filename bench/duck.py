"""The batch layer's figures of plain logs, by DuckDB: no copies are looked for. LOG..."""

import sys

import duckdb

FIELDS = r"^(\S+) [^\[]*\[([^:]+):(\d\d):(\d\d)[^\]]*\] \"\S+ (/[^/ ?]*)[^\"]*\" (\d\d\d) "
NAMES = ["host", "day", "hour", "minute", "category", "status"]


def main() -> None:
    """One scan into a table of fields, then each view."""
    db = duckdb.connect()
    db.execute(
        """CREATE TABLE lines AS SELECT server, unnest(regexp_extract(line, $1, $2)) FROM (
        SELECT filename AS server, line FROM read_csv($3, columns={'line': 'VARCHAR'},
        delim='\x01', quote='', escape='', header=false, auto_detect=false, filename=true))""",
        [FIELDS, NAMES, sys.argv[1:]],
    )
    for keys in ("day, server", "day"):
        db.sql(f"SELECT {keys}, count(DISTINCT host), count(*) FROM lines GROUP BY ALL").fetchall()
    for key in ("hour, minute", "status", "category"):
        rows = db.sql(f"SELECT day, server, {key}, count(*) FROM lines GROUP BY ALL").fetchall()
        print(key, len(rows), sum(row[-1] for row in rows))


if __name__ == "__main__":
    main()
