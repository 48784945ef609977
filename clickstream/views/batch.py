"""The batch views: exact figures per day and server in an RDBMS, and the line counts of logs.

`date` is the day as printed in the log, text `yyyy-mm-dd` (a line may be dated 0001 or 9999).
`server` is a web server's name, or `all`. Category text stands for bytes (ISO-8859-1), is of any
length, and differs by case and trailing blanks, so no key and no order rests on a database's idea
of text: a category's key is its `rank` in its day and server, by requests and then by bytes.

`visitor_sets` hold who came, so that visitors of many days can be counted once: per server the
digests (DIGEST_BYTES each) of a day's visitors, in order, in parts of PART_VISITORS.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from clickstream import faultpoints
from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NoData, NotRunning, UsageError
from clickstream.ledger import Ledger
from clickstream.rows import ALL, Rows

SCHEMA = 3
FORMER_TABLES = ("books",)
DIGEST_BYTES = 16
PART_VISITORS = 32_768  # half a MiB: far below what MariaDB takes as one packet
HINT = "is it up, and is database.url right? clickstream stack status, clickstream config show"

Days = Sequence[str] | None
Query = sa.Select[Any]


def _name(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


_long_text = sa.Text().with_variant(
    mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
_metadata = sa.MetaData()


def _table(name: str, keys: Mapping[str, Any], values: Mapping[str, Any]) -> sa.Table:
    columns = [sa.Column(key, kind, primary_key=True) for key, kind in keys.items()]
    columns += [sa.Column(key, kind, nullable=False) for key, kind in values.items()]
    return sa.Table(name, _metadata, *columns)


_count = sa.BigInteger()
_number = sa.Integer()
_day = {"date": _name(10)}
_day_server = _day | {"server": _name(255)}
_classes = dict.fromkeys(("success", "failure", "other", "requests"), _count)

daily_visitors = _table(
    "daily_visitors", _day_server, {"unique_visitors": _count, "requests": _count}
)
visitor_sets = _table(
    "visitor_sets",
    _day_server | {"part": _number},
    {"digests": sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")},
)
daily_responses = _table("daily_responses", _day_server, _classes)
status_counts = _table("status_counts", _day_server | {"status": _name(3)}, {"requests": _count})
hourly_traffic = _table("hourly_traffic", _day_server | {"hour": _number}, {"requests": _count})
minute_traffic = _table("minute_traffic", _day_server | {"minute": _name(5)}, _classes)
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


class LineCount(NamedTuple):
    """The ledger's count of one log and day: how many of its lines are valid, and are not."""

    server: str
    file: str
    date: str
    valid_lines: int
    rejects: int = 0


class DayInputs(NamedTuple):
    """The inputs of a day's rows: the files and the configuration as they were given, which run."""

    files: list[Any]
    made_with: dict[str, str]
    run: str


class BatchViews:
    """The database of the batch views; use it as a context manager.

    Raises NotRunning when the database does not answer, ClickstreamError when it refuses.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def connect(cls, settings: Settings, reader: bool = False) -> "BatchViews":
        """The configured database, or the local stack's; makes the tables where there are none.

        A `reader` makes none: raises NoData.
        """
        views = cls(_engine(endpoints.database_url(settings, reader)))
        try:
            views._check_schema(reader)
        except ClickstreamError:
            views.close()
            raise
        return views

    def __enter__(self) -> "BatchViews":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def drop(self) -> None:
        """Remove every table of the batch views, line counts and former tables, too."""
        with self._begin() as connection:
            _metadata.drop_all(connection)
            for name in FORMER_TABLES:
                sa.Table(name, sa.MetaData()).drop(connection, checkfirst=True)

    def replace_day(
        self, day: str, rows: Mapping[str, Rows], before: Mapping[str, str] | None = None
    ) -> None:
        """Replace a day's rows, by table of DAY_TABLES: all or nothing.

        `before` has the run of each day that the caller knew when it began to count. Where another
        has written the day since, wherever it runs, its rows stand: raises ClickstreamError.
        """
        with self._writing() as connection:
            run = sa.select(batch_runs.c.run).where(batch_runs.c.date == day)
            if before is not None and connection.scalar(run) != before.get(day):
                raise ClickstreamError(
                    f"another batch run has written {day} meanwhile; its rows stand",
                    "run it again: clickstream batch run",
                )
            for name, table in DAY_TABLES.items():
                connection.execute(sa.delete(table).where(table.c.date == day))
                faultpoints.reached("batch-deleted")
                if rows.get(name):
                    connection.execute(sa.insert(table), rows[name])
            faultpoints.reached("batch-inserted")
        faultpoints.reached("batch-committed")

    def publish_line_counts(self, rows: Iterable[LineCount]) -> None:
        """Replace the line counts of these logs."""
        entries = [row._asdict() for row in rows]
        files = {(entry["server"], entry["file"]) for entry in entries}
        with self._writing() as connection:
            for server, file in sorted(files):
                same = (line_counts.c.server == server) & (line_counts.c.file == file)
                connection.execute(sa.delete(line_counts).where(same))
            if entries:
                connection.execute(sa.insert(line_counts), entries)

    def days(self) -> list[str]:
        """The days that have been computed."""
        return [row["date"] for row in self._all(sa.select(batch_runs.c.date).order_by("date"))]

    def inputs(self, days: Days = None) -> dict[str, DayInputs]:
        """The inputs of each computed day."""
        runs = batch_runs.c
        query: Query = sa.select(runs.date, runs.manifest, runs.made_with, runs.run)
        rows = self._all(_where(query, batch_runs, days, None))
        return {
            row["date"]: DayInputs(
                json.loads(row["manifest"]), json.loads(row["made_with"]), row["run"]
            )
            for row in rows
        }

    def visitors(self, days: Days = None, server: str | None = None) -> Rows:
        """Rows of date, server, unique_visitors, requests; each server and `all`."""
        return self._rows(daily_visitors, days, server)

    def visitors_of_range(self, days: list[str]) -> Rows:
        """Rows of server, unique_visitors, requests over all the days; each server and `all`.

        A visitor counts once, however many days and servers saw it. Memory: about 120 bytes for
        each visitor.
        """
        requests: Counter[str] = Counter()
        for row in self.visitors(days):
            requests[row["server"]] += row["requests"]
        sets = self._visitor_sets(days)
        sets[ALL] = set().union(*sets.values())
        return [
            {"server": server, "unique_visitors": len(sets[server]), "requests": requests[server]}
            for server in sorted(requests)
        ]

    def responses(self, days: Days = None, server: str | None = None) -> Rows:
        """Rows of date, server, success, failure, other, requests; each server and `all`."""
        return self._rows(daily_responses, days, server)

    def hourly(self, days: Days = None, server: str | None = ALL, by_day: bool = False) -> Rows:
        """Rows of hour, server, requests (and date when by_day), summed over the days."""
        table = hourly_traffic
        keys: list[sa.Column[Any]] = [table.c.date] * by_day + [table.c.hour, table.c.server]
        query: Query = sa.select(*keys, sa.func.sum(table.c.requests).label("requests"))
        rows = self._all(_where(query, table, days, server).group_by(*keys).order_by(*keys))
        return [row | {"requests": int(row["requests"])} for row in rows]

    def categories(
        self, days: Days = None, server: str | None = None, top: int | None = 10
    ) -> Rows:
        """Rows of date, server, category, requests: the most requested first, ties by bytes."""
        table = daily_categories
        shown = (table.c.date, table.c.server, table.c.category, table.c.requests)
        query = _where(sa.select(*shown), table, days, server)
        if top is not None:
            query = query.where(table.c.rank <= top)
        return self._all(query.order_by(table.c.date, table.c.server, table.c.rank))

    def other_categories(self, days: Days, server: str | None, top: int) -> Rows:
        """Rows of date, server, requests: the sum of those that `categories` leaves out."""
        table = daily_categories
        keys = (table.c.date, table.c.server)
        query: Query = sa.select(*keys, sa.func.sum(table.c.requests).label("requests"))
        query = _where(query.where(table.c.rank > top), table, days, server).group_by(*keys)
        return [row | {"requests": int(row["requests"])} for row in self._all(query)]

    def runs(self, days: Days = None) -> Rows:
        """Rows of date, finished (ISO UTC), seconds, files, bytes, lines, copies, final.

        A day is final when its distinct lines are, server by server, the line counts of the logs.
        """
        runs = batch_runs.c
        columns = (runs.finished, runs.seconds, runs.files, runs.bytes, runs.copies)
        query: Query = sa.select(runs.date, *columns, runs.distinct_lines.label("lines"))
        rows = self._all(_where(query, batch_runs, days, None).order_by(runs.date))
        final = self._final(days)
        return [row | {"final": row["date"] in final} for row in rows]

    def rejects(self) -> dict[str, int]:
        """For each day, how many lines of the logs are not valid."""
        columns = line_counts.c
        query = sa.select(columns.date, sa.func.sum(columns.rejects).label("n"))
        return {row["date"]: int(row["n"]) for row in self._all(query.group_by(columns.date))}

    def _visitor_sets(self, days: list[str]) -> defaultdict[str, set[bytes]]:
        columns = visitor_sets.c
        query = _where(sa.select(columns.server, columns.digests), visitor_sets, days, None)
        sets: defaultdict[str, set[bytes]] = defaultdict(set)
        with self._begin() as connection:
            for server, digests in connection.execution_options(yield_per=8).execute(query):
                offsets = range(0, len(digests), DIGEST_BYTES)
                sets[server].update(digests[at : at + DIGEST_BYTES] for at in offsets)
        return sets

    def _final(self, days: Days) -> set[str]:
        seen = sa.select(daily_visitors.c.date, daily_visitors.c.server, daily_visitors.c.requests)
        seen = seen.where(daily_visitors.c.server != ALL)
        valid = line_counts.c.valid_lines
        keys = (line_counts.c.date, line_counts.c.server)
        expected = sa.select(*keys, sa.func.sum(valid).label("n")).where(valid > 0).group_by(*keys)
        counted = _by_day(self._all(_where(seen, daily_visitors, days, None)), "requests")
        present = _by_day(self._all(_where(expected, line_counts, days, None)), "n")
        return {day for day, servers in counted.items() if present.get(day) == servers}

    def _rows(self, table: sa.Table, days: Days, server: str | None) -> Rows:
        query = _where(sa.select(table), table, days, server)
        return self._all(query.order_by(table.c.date, table.c.server))

    def _all(self, query: Query) -> Rows:
        with self._begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _check_schema(self, reader: bool) -> None:
        with self._begin() as connection:
            exists = sa.inspect(connection).has_table(batch_schema.name)
            number = connection.scalar(sa.select(batch_schema.c.number)) if exists else None
            if number is None and reader:
                raise NoData("the batch layer has not run yet", "run it: clickstream batch run")
            if number is None:
                _metadata.create_all(connection)
                connection.execute(sa.insert(batch_schema), {"number": SCHEMA})
            elif number != SCHEMA:
                raise ClickstreamError(
                    f"the batch views in the database have schema {number}, this version's is"
                    f" {SCHEMA}",
                    "they can be computed again: clickstream batch drop, then"
                    " clickstream batch run --all",
                )

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that waits for any other: its first write locks a row, or all of SQLite."""
        with self._begin() as connection:
            connection.execute(sa.update(batch_schema).values(number=batch_schema.c.number))
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with _errors(self._engine.url), self._engine.begin() as connection:
            yield connection


def drop(settings: Settings) -> None:
    """Remove the batch views, whatever their schema number is."""
    views = BatchViews(_engine(endpoints.database_url(settings)))
    with views:
        views.drop()


def publish(settings: Settings, views: BatchViews) -> list[LineCount]:
    """Store the line counts of this home's ledger, if it has one, by which `final` is decided;
    returns them."""
    path = settings.files.ledger
    if not path.is_file():
        return []
    with Ledger.open(path) as ledger:
        counts = [LineCount(*entry) for entry in ledger.line_counts()]
    views.publish_line_counts(counts)
    return counts


def _engine(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, hide_parameters=True)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise UsageError(f"database.url: no driver for {url.drivername}") from error


@contextmanager
def _errors(url: sa.URL) -> Iterator[None]:
    """The drivers' errors as ours; never with the password, never with the rows."""
    address = url.set(query={}).render_as_string(hide_password=True)
    try:
        yield
    except sa.exc.OperationalError as error:
        raise NotRunning(f"the database {address} cannot be used", HINT) from error.orig
    except sa.exc.DBAPIError as error:
        raise ClickstreamError(f"the database {address} refuses") from error.orig


def _where(
    query: sa.Select[Any], table: sa.Table, days: Days, server: str | None
) -> sa.Select[Any]:
    if days is not None:
        query = query.where(table.c.date.in_(days))
    return query if server is None else query.where(table.c.server == server)


def _by_day(rows: Rows, count: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row["date"], {})[row["server"]] = int(row[count])
    return counts
