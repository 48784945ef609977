"""The keyspace of the real-time views: its tables and the connection to them.

Truth is `buckets`: partial counts of one batch, keyed by the batch, so that a batch which runs
again overwrites itself. Readers sum the partials. A row holds one minute of one metric as JSON:
a backlog of months then costs a row per minute with lines, a live second one row per metric.
`present` says which partitions of `buckets` exist. `state` and `files` hold how far the stream
came, each with its value before the last batch, since that batch may run again. `basis` says
under which settings and which build the counts were made.

`peaks` has each server's highest trailing count of non-200 responses in each partition of
`buckets`, computed from them by the batch that touches one: a report then reads a row for ten
minutes, not their partials.

`ddos`, `popularity` and `health` are what a person would SELECT; they are overwritten batch by
batch, and so are `peaks`, `state` and `files`: their write timestamp begins with the batch's
number, which never goes back, where a wall clock can (and the older timestamp would lose without a
word).

`alerts` holds each alert as of the last batch that changed it, with what it was before;
`alert_changes` every change by batch, from which sinks are served; `delivered` how far each came.
"""

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from cassandra import DriverException
from cassandra.cluster import Cluster, NoHostAvailable
from cassandra.concurrent import execute_concurrent
from cassandra.query import PreparedStatement

from clickstream.alerts import Alert
from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.errors import NoData, no_line_yet
from clickstream.views.realtime import ring

PART_S = 600
CONCURRENCY = 64

TABLES = {
    "buckets": """part bigint, metric text, slot bigint, batch_id bigint, piece int, counts text,
        PRIMARY KEY ((part), metric, slot, batch_id, piece)""",
    "present": "metric text, part bigint, PRIMARY KEY (metric, part)",
    "state": """name text PRIMARY KEY, query text, batch_id bigint, servers text, before text""",
    "basis": "name text PRIMARY KEY, basis text",
    "files": """server text, file text, batch_id bigint, highest bigint, before bigint,
        PRIMARY KEY (server, file)""",
    "ddos": """day date, second timestamp, ip text, requests int,
        PRIMARY KEY ((day), second, ip)""",
    "popularity": """server text, rank int, as_of timestamp, category text, requests int,
        PRIMARY KEY (server, rank)""",
    "health": "server text PRIMARY KEY, window_end timestamp, non_200 int, state text",
    "peaks": """day date, server text, part bigint, second timestamp, non_200 int,
        PRIMARY KEY ((day), server, part)""",
    "alerts": """kind text, key text, first timestamp, last timestamp, until timestamp, peak int,
        peak_second timestamp, servers frozen<list<text>>, state text, merged_into text, seq int,
        batch_id bigint, before text, PRIMARY KEY ((kind, key), first)""",
    "alert_changes": """part bigint, batch_id bigint, n int, event text, alert text,
        PRIMARY KEY ((part), batch_id, n)""",
    "delivered": "sink text PRIMARY KEY, batch_id bigint, n int",
}


KEYSPACE_OF = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
TABLES_OF = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"


class Store:
    """A connection to the keyspace. A context manager; made by `connect`."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.settings = settings
        self._cluster = cluster
        self._session = cluster.connect()
        self._prepared: dict[str, PreparedStatement] = {}

    @classmethod
    def connect(cls, settings: Settings, reader: bool = False) -> Self:
        """Connect, and make keyspace and tables where they are missing.

        A `reader` makes nothing and is `cassandra.reader_username` where there is one, so that a
        role that may only SELECT suffices. Raises NotRunning where nothing answers,
        ClickstreamError where we are not let in, NoData where a reader finds keyspace or tables
        missing.
        """
        cluster = ring.cluster(settings, reader)
        # It takes the driver longer to read than a report its rows. What a reader gives up is to
        # ask a node that holds the partition.
        cluster.schema_metadata_enabled = not reader
        try:
            store = cls(settings, cluster)
            store._open(reader)
            return store
        except NoData:
            cluster.shutdown()
            raise
        except NoHostAvailable as error:
            cluster.shutdown()
            raise ring.unreachable(settings, reader, error) from error
        except DriverException as error:
            cluster.shutdown()
            raise ring.refusal(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._cluster.shutdown()

    def run(self, cql: str, *values: Any) -> Any:
        """One statement, prepared once; raises NotRunning while there is no answer."""
        try:
            return self._session.execute(self.prepared(cql), values)
        except ring.FAILURES as error:
            raise ring.failure(error) from error

    def run_many(self, work: Iterable[tuple[Any, Sequence[Any]]]) -> Iterator[Any]:
        """Many (statement, values) side by side, results in order; raises as `run`.

        `work` is made a list at once: the driver would draw on an iterator in the thread that
        waits for answers, where preparing a statement waits for itself.
        """
        try:
            done = execute_concurrent(
                self._session, list(work), concurrency=CONCURRENCY, results_generator=True
            )
            for _, result in done:
                yield result
        except ring.FAILURES as error:
            raise ring.failure(error) from error

    def prepared(self, cql: str) -> PreparedStatement:
        """The prepared statement of a CQL text; raises as `run`."""
        if cql not in self._prepared:
            try:
                statement = self._session.prepare(cql)
            except ring.FAILURES as error:
                raise ring.failure(error) from error
            statement.is_idempotent = True
            self._prepared[cql] = statement
        return self._prepared[cql]

    def parts(self, metric: str, first: int, last: int) -> list[int]:
        """The partitions of `buckets` that hold seconds of first..last, in order."""
        cql = "SELECT part FROM present WHERE metric = ? AND part >= ? AND part <= ?"
        return [row.part for row in self.run(cql, metric, part_of(first), last)]

    def compatibility(self) -> dict[str, Any] | None:
        """The settings and build of the stored counts; None before `set_compatibility`."""
        row = self.run("SELECT basis FROM basis WHERE name = 'speed'").one()
        return None if row is None else dict(json.loads(row.basis))

    def set_compatibility(self, conditions: dict[str, Any]) -> None:
        """Store the settings and build of the counts that are stored from now on."""
        cql = "INSERT INTO basis (name, basis) VALUES ('speed', ?)"
        self.run(cql, json.dumps(conditions, sort_keys=True))

    def clear(self) -> None:
        """Empty every table."""
        for table in TABLES:
            self.run(f"TRUNCATE {table}")

    def _open(self, reader: bool) -> None:
        keyspace = self.settings.cassandra.keyspace
        missing = TABLES.keys() - self._named(TABLES_OF, keyspace)
        if reader and missing:
            raise no_line_yet()
        if missing and not self._named(KEYSPACE_OF, keyspace):
            self._create_keyspace(keyspace)
        self._session.set_keyspace(keyspace)
        for table in missing:
            self._session.execute(f"CREATE TABLE IF NOT EXISTS {table} ({TABLES[table]})")

    def _named(self, cql: str, keyspace: str) -> set[str]:
        return {row[0] for row in self._session.execute(cql, (keyspace,))}

    def _create_keyspace(self, keyspace: str) -> None:
        datacenter = endpoints.cassandra(self.settings).datacenter
        copies = self.settings.cassandra.replication_factor
        self._session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication ="
            f" {{'class': 'NetworkTopologyStrategy', '{datacenter}': {copies}}}"
        )


def epoch(moment: datetime.datetime) -> int:
    """Cassandra's value of an instant -> epoch seconds."""
    return int(moment.replace(tzinfo=datetime.UTC).timestamp())


def alert_of(row: Any) -> Alert:
    """From a row of `alerts`, as of the last batch that changed it."""
    moments = (epoch(row.first), epoch(row.last), epoch(row.until))
    counted = (row.peak, epoch(row.peak_second), tuple(row.servers))
    life = (row.state, row.merged_into, row.seq, row.batch_id)
    return Alert(row.kind, row.key, *moments, *counted, *life)


def alert_values(alert: Alert) -> tuple[Any, ...]:
    """The values of a row of `alerts`, in the order of its columns, without `before`."""
    moments = (alert.first * 1000, alert.last * 1000, alert.until * 1000)
    counted = (alert.peak, alert.peak_second * 1000, list(alert.servers))
    life = (alert.state, alert.merged_into, alert.seq, alert.batch)
    return (alert.kind, alert.key, *moments, *counted, *life)


def part_of(second: int) -> int:
    """The partition of `buckets` a second lies in, by its first second."""
    return second // PART_S * PART_S
