"""The batch views: exact figures per day and server in an RDBMS, and the line counts of logs."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from clickstream import faultpoints
from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NoData
from clickstream.ledger import Ledger, valid_lines
from clickstream.rows import ALL, Rows, Traffic
from clickstream.views import batch_connection, distinct
from clickstream.views.batch_tables import (
    CLASSES,
    DAY_TABLES,
    SCHEMA,
    batch_runs,
    batch_schema,
    daily_categories,
    daily_responses,
    daily_visitors,
    hourly_traffic,
    line_counts,
    metadata,
    minute_traffic,
    visitor_sets,
)

FORMER_TABLES = ("books",)

Days = Sequence[str] | None
Query = sa.Select[Any]
ValidLines = Mapping[str, Mapping[str, int]]


Grain = Literal["minute", "hour", "day"]
TRAFFIC = {"minute": minute_traffic, "hour": hourly_traffic, "day": daily_responses}


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

    def __init__(self, engine: sa.Engine, spooled: Callable[[], ValidLines] = dict) -> None:
        """`spooled` gives the valid lines by day and server that a ledger has by now."""
        self._engine = engine
        self._spooled = spooled

    @classmethod
    def connect(cls, settings: Settings, reader: bool = False) -> "BatchViews":
        """The configured database, or the local stack's; makes the tables where there are none.

        A `reader` makes none: raises NoData.
        """
        url = endpoints.database_url(settings, reader)
        views = cls(batch_connection.engine(url), partial(valid_lines, settings.files.ledger))
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
            metadata.drop_all(connection)
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

    def forget_before(self, day: str) -> None:
        """Remove the rows of every earlier day, visitor sets too; the line counts stay."""
        with self._writing() as connection:
            for table in DAY_TABLES.values():
                connection.execute(sa.delete(table).where(table.c.date < day))

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
        columns = daily_visitors.c
        query = sa.select(columns.server, columns.date, columns.unique_visitors, columns.requests)
        packed = self._packed(_where(query, daily_visitors, days, server), 1, len("yyyy-mm-d"))
        return [
            {"date": day, "server": name, "unique_visitors": int(unique), "requests": int(requests)}
            for day, name, unique, requests in sorted((day, name, *n) for name, day, *n in packed)
        ]

    def visitors_of_range(self, days: list[str]) -> Rows:
        """Rows of server, unique_visitors, requests over all the days; each server and `all`.

        A visitor counts once, however many days and servers saw it.
        """
        requests: Counter[str] = Counter()
        for row in self.visitors(days):
            requests[row["server"]] += row["requests"]
        columns = visitor_sets.c
        query = _where(sa.select(columns.server, columns.digests), visitor_sets, days, None)
        with self._begin() as connection:
            rows = connection.execution_options(yield_per=8).execute(query)
            unique = distinct.by_server((server, digests) for server, digests in rows)
        return [
            {"server": server, "unique_visitors": unique[server], "requests": requests[server]}
            for server in sorted(requests)
        ]

    def traffic(
        self, days: Days, server: str | None, grain: Grain, together: bool = False
    ) -> list[Traffic]:
        """Requests by day, server and stretch of the day; no `all` where the grain is a minute.

        `together`: those of all the days, dated as the first of them (no minutes).
        """
        table = TRAFFIC[grain]
        slot = sa.null() if grain == "day" else table.c[grain]
        date, name, classes = table.c.date, table.c.server, [table.c[each] for each in CLASSES]
        if together:
            query: Query = sa.select(sa.func.min(date), name, slot, *map(_sum, classes))
            query = query.group_by(name, *([] if grain == "day" else [slot]))
        elif grain == "day":
            query = _where(sa.select(name, date, *classes), table, days, server)
            rows = self._packed(query, 1, len("yyyy-mm-d"))
            return [Traffic(day, name, None, *map(int, counts)) for name, day, *counts in rows]
        elif grain == "minute":
            query = _where(sa.select(date, name, slot, *classes), table, days, server)
            rows = self._packed(query, 2, len("HH:M"))
            return [Traffic(day, name, slot, *map(int, n)) for day, name, slot, *n in rows]
        else:
            query = sa.select(date, name, slot, *classes)
        return [Traffic(*row) for row in self._tuples(_where(query, table, days, server))]

    def _packed(self, query: Query, keys: int, stretch: int) -> Iterator[list[str]]:
        """The rows of a query as texts; many come as one: the driver takes longer for a row.

        Those that are alike in their first `keys` columns, and in so many first characters of the
        column after them. Some databases cut such a text at 1,024 characters: it must be shorter.
        """
        columns = [*query.subquery().c]
        alike, values = columns[:keys], [sa.cast(each, sa.String(20)) for each in columns[keys:]]
        text: sa.ColumnElement[str] = values[0]
        for value in values[1:]:
            text = text + " " + value
        joined = sa.select(*alike, sa.func.aggregate_strings(text, ","))
        joined = joined.group_by(*alike, sa.func.substr(values[0], 1, stretch))
        for *key, texts in self._tuples(joined):
            for each in texts.split(","):
                yield [*key, *each.split()]

    def last_minute(self, day: str) -> str | None:
        """The last printed minute (HH:MM) of a day of which a line was counted."""
        minutes = minute_traffic.c
        with self._begin() as connection:
            query = sa.select(sa.func.max(minutes.minute)).where(minutes.date == day)
            return connection.scalar(query)

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
        """Rows of date, finished (ISO UTC), seconds, files, bytes, closed_ms, lines, copies, final.

        A day is final when its distinct lines are, server by server, its `valid_lines`.
        """
        runs = batch_runs.c
        columns = (runs.finished, runs.seconds, runs.files, runs.bytes, runs.closed_ms, runs.copies)
        query: Query = sa.select(runs.date, *columns, runs.distinct_lines.label("lines"))
        rows = self._all(_where(query, batch_runs, days, None).order_by(runs.date))
        final = self._final(days)
        return [row | {"final": row["date"] in final} for row in rows]

    def rejects(self) -> dict[str, int]:
        """For each day, how many lines of the logs are not valid."""
        columns = line_counts.c
        query = sa.select(columns.date, sa.func.sum(columns.rejects).label("n"))
        return {row["date"]: int(row["n"]) for row in self._all(query.group_by(columns.date))}

    def valid_lines(self, days: Days = None) -> dict[str, dict[str, int]]:
        """By day and server: how many valid lines the logs have, as far as that is known.

        The line counts in the database are as of the last time that they were published; this
        home's ledger, if it has one, knows of lines that have come since.
        """
        valid = line_counts.c.valid_lines
        keys = (line_counts.c.server, line_counts.c.date)
        query = sa.select(*keys, sa.func.sum(valid)).where(valid > 0).group_by(*keys)
        known = self._by_day(_where(query, line_counts, days, None))
        for day, servers in self._spooled().items():
            for server, n in servers.items() if days is None or day in days else ():
                if n > known.setdefault(day, {}).get(server, 0):
                    known[day][server] = n
        return known

    def _final(self, days: Days) -> set[str]:
        seen = sa.select(daily_visitors.c.server, daily_visitors.c.date, daily_visitors.c.requests)
        seen = seen.where(daily_visitors.c.server != ALL)
        counted = self._by_day(_where(seen, daily_visitors, days, None))
        valid = self.valid_lines(days)
        return {day for day, servers in counted.items() if valid.get(day) == servers}

    def _by_day(self, query: Query) -> dict[str, dict[str, int]]:
        """By day and server, from a query of server, day, count."""
        counts: dict[str, dict[str, int]] = {}
        for server, day, n in self._packed(query, 1, len("yyyy-mm")):
            counts.setdefault(day, {})[server] = int(n)
        return counts

    def _tuples(self, query: Query) -> Sequence[Any]:
        with self._begin() as connection:
            return connection.execute(query).all()

    def _all(self, query: Query) -> Rows:
        with self._begin() as connection:
            result = connection.execute(query)
            names = [*result.keys()]
            return [dict(zip(names, row, strict=True)) for row in result]

    def _check_schema(self, reader: bool) -> None:
        with self._begin() as connection:
            exists = sa.inspect(connection).has_table(batch_schema.name)
            number = connection.scalar(sa.select(batch_schema.c.number)) if exists else None
            if number is None and reader:
                raise NoData("the batch layer has not run yet", "run it: clickstream batch run")
            if number is None:
                metadata.create_all(connection)
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
        with batch_connection.errors(self._engine.url), self._engine.begin() as connection:
            yield connection


def drop(settings: Settings) -> None:
    """Remove the batch views, whatever their schema number is."""
    views = BatchViews(batch_connection.engine(endpoints.database_url(settings)))
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


def _where(
    query: sa.Select[Any], table: sa.Table, days: Days, server: str | None
) -> sa.Select[Any]:
    if days is not None:
        query = query.where(table.c.date.in_(days))
    return query if server is None else query.where(table.c.server == server)


def _sum(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """As a BIGINT: databases sum to a decimal."""
    return sa.cast(sa.func.sum(column), sa.BigInteger)
