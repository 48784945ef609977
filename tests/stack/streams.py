"""A stream by hand: `Stream.take`, on the shared session, with batches cut where a test likes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clickstream.clients import kafka
from clickstream.config import Settings
from clickstream.speed import job
from clickstream.speed.transform import parse
from clickstream.views.realtime.writer import Writer
from clickstream.weblog import formats
from tests.stack import in_process

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Records = Mapping[int, Sequence[bytes]]
"""Partition -> values, in the topic's order."""

QUERY = "by hand"


class Hand:
    """Takes one batch after the other, as Spark would hand them to `foreachBatch`."""

    def __init__(self, settings: Settings, writer: Writer, number: int, ends: Counter[int]) -> None:
        self.stream = job.Stream(settings, writer)
        self.stream.begin(QUERY)
        self.number = number
        self._ends = ends
        self._settings = settings
        self._session = in_process.session()
        for key, value in job.SQL_CONF.items():
            self._session.conf.set(key, value)

    def take(self, records: Records) -> None:
        """The next batch."""
        frame = self._frame(records)
        self._ends.update({part: len(values) for part, values in records.items()})
        self.number += 1
        self.stream.take(frame, self.number - 1)

    def _frame(self, records: Records) -> "DataFrame":
        """Parsed records, a partition of the topic in each of the frame's; a bare RDD, as there."""
        from pyspark.sql import DataFrame

        whole: DataFrame | None = None
        now = datetime.now(UTC)
        for part, values in records.items():
            first = self._ends[part]
            rows = [(bytearray(each), first + n, now) for n, each in enumerate(values)]
            columns = "value BINARY, offset LONG, timestamp TIMESTAMP"
            frame = self._session.createDataFrame(rows, columns).coalesce(1)
            whole = frame if whole is None else whole.union(frame)
        parsed = parse(whole, formats.readings(self._settings), self._settings.categories)._jdf
        rdd = parsed.queryExecution().toRdd()
        bare = self._session._jsparkSession.internalCreateDataFrame(rdd, parsed.schema(), False)
        return DataFrame(bare, self._session)


@contextmanager
def stream(settings: Settings, number: int = 0, ends: Counter[int] | None = None) -> Iterator[Hand]:
    """A driver's life, from its first batch on; `ends` are the offsets that came before."""
    kafka.ensure_topic(settings)  # what is counted is tied to it
    with Writer.connect(settings) as writer:
        yield Hand(settings, writer, number, Counter() if ends is None else ends)


def cut(records: Records, size: int) -> Iterator[dict[int, Sequence[bytes]]]:
    """Batches of at most so many records of each partition."""
    longest = max(map(len, records.values()))
    for first in range(0, longest, size):
        yield {part: values[first : first + size] for part, values in records.items()}
