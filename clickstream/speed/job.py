"""The speed layer's driver: read the topic, transform each batch, write its counts.

One query, a batch a second. Spark's checkpoint alone remembers which offsets a batch number
stands for; the views alone remember what was counted; both meet at the batch's number.
"""

import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from clickstream.clients import kafka_security
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, ServiceFailed
from clickstream.runtime.process import signals_handled
from clickstream.spark import driver, events, submit
from clickstream.speed import alert_dispatch, compatibility, driver_status
from clickstream.speed.prepared_query import Prepared
from clickstream.speed.reporter import StatusReporter
from clickstream.speed.transform import (
    Rows,
    batch_of,
    count,
    overlaps,
    parse,
    rows_of,
    scattered,
    text,
)
from clickstream.views.realtime.writer import Batch, Writer
from clickstream.weblog import formats

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

POLL_S = 0.2
PLANNED_EACH_TIME = (
    "each batch is planned again, which takes more CPU: this Spark does not run a prepared plan"
)
# The error classes of Spark's Kafka source for records that were removed, and its older sentence.
LOSS = re.compile(r"KAFKA_DATA_LOSS|failOnDataLoss|some data may have been (?:lost|missed)", re.I)
# The last two spare each batch a look into our functions' byte code and a long text of its plan.
SQL_CONF = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.usePartitionEvaluator": "true",
    "spark.sql.ui.explainMode": "simple",
}
# Spark asks Kafka for each piece again, with two questions about the topic's ends, and throws away
# what came with it: as few pieces as may be, of a bounded size. The consumer has asked for the next
# one by then, and a broker answers in turn: it must not wait for lines that nobody has asked for.
FETCH = {
    "kafka.fetch.max.wait.ms": "1",
    "kafka.max.poll.records": "50000",
    "kafka.max.partition.fetch.bytes": str(16 * 2**20),
    "kafka.receive.buffer.bytes": "-1",
}
# Spark's own choice costs ten processes a file on a local disk (Hadoop runs readlink and chmod),
# this one two: 58 instead of 242 ms a batch on a busy machine.
LOCAL_CHECKPOINT = {
    "spark.sql.streaming.checkpointFileManagerClass": "org.apache.spark.sql.execution.streaming"
    ".checkpointing.FileSystemBasedCheckpointFileManager"
}


class Stream:
    """The query's batches, one after the other, into the views.

    `batch` is the last one that is stored, `servers` the line counts and `alerts` the open
    alerts after it, `parts` the ms that counting and storing took; `notice` is what a
    user should know of how it counts; `failure` is what ended the stream, if anything did.
    """

    def __init__(self, settings: Settings, writer: Writer) -> None:
        self.failure: ClickstreamError | None = None
        self.batch: int | None = None
        self.servers: dict[str, dict[str, int]] = {}
        self.alerts = 0
        self.parts: dict[str, int] = {}
        self.notice = ""
        self._between = threading.Lock()
        self._ended = False
        self._settings = settings
        self._writer = writer
        self._query = ""
        self._started = threading.Event()
        file = settings.files.counted_batch
        self._fresh = Prepared(lambda parsed: self._counted(parsed, {}), file)
        self._copying = self._scattered = False

    def begin(self, query: str) -> None:
        """Name the query, once it is known; its first batch waits for that."""
        self._query = query
        self._started.set()

    def take(self, parsed: "DataFrame", number: int) -> None:
        """One batch of parsed records: called by Spark, again with that number after a crash."""
        self._started.wait()
        with self._between:
            if self._ended:
                raise InterruptedError("the stream is to end; Spark must not commit this batch")
            try:
                self._take(parsed, number)
            except Exception as error:
                self.failure = failure_of(error, f"batch {number} failed")
                raise

    def end(self) -> None:
        """Wait for the batch at hand; none is taken from now on."""
        with self._between:
            self._ended = True

    def _take(self, parsed: "DataFrame", number: int) -> None:
        if self.batch is None:
            self._writer.resume(self._query, number)
            self._writer.set_compatibility(compatibility.of(self._settings))
        began = time.monotonic()
        counts = self._count(parsed)
        counted = time.monotonic()
        self._writer.write(number, counts)
        ended = time.monotonic()
        self.parts = {"count": _ms(counted - began), "store": _ms(ended - counted)}
        self.alerts, self.servers = self._writer.open_alerts(), self._writer.servers
        self.batch = number

    def _count(self, parsed: "DataFrame") -> Batch:
        """Count each partition by itself, as if no line of its files had come before.

        Where that may be wrong, count once more. What is known of the files would be another query
        for each batch, to be planned again; partitions would have to be exchanged. Copies come in
        long runs, so a batch after one with copies is not tried the quick way.
        """
        highest = self._writer.highest
        parts = None if self._copying or self._scattered else self._parts(parsed)
        if parts is not None:
            self._scattered = scattered(parts)
            rows = [row for part in parts for row in part]
            if not (self._scattered or overlaps(rows, highest)):
                return batch_of(rows)
        if submit.is_local(self._settings.spark.master):
            # One task and no shuffle: what shuffles cost is more than a second core brings.
            parsed = parsed.coalesce(1)
        (row,) = self._counted(parsed, highest).collect()
        batch = batch_of(rows_of(row.text))
        self._copying = any("copies" in outcomes for outcomes in batch.lines.values())
        return batch

    def _parts(self, parsed: "DataFrame") -> list[Rows] | None:
        """The rows of each partition; None, once and for all, where this Spark has other plans.

        What else may have failed fails again in the plain query, which says why.
        """
        if self.notice:
            return None
        try:
            return [rows_of(each) for each in self._fresh.texts(parsed)]
        except Exception as error:
            traceback.print_exc()
            self.notice = f"{PLANNED_EACH_TIME}: {events.reason(error)}"
            return None

    def _counted(self, parsed: "DataFrame", highest: Mapping[tuple[str, str], int]) -> "DataFrame":
        return text(count(parsed, highest, self._settings.speed))


def failure_of(error: Exception, what: str) -> ClickstreamError:
    """The error that the user gets to see of an exception; its traceback is in the log."""
    if isinstance(error, ClickstreamError):
        return error
    if LOSS.search(str(error)):
        return ServiceFailed(
            "the topic has lost lines that were not counted yet (deleted, or past its retention)",
            compatibility.LOST,
        )
    return ServiceFailed(f"{what}: {type(error).__name__}: {events.reason(error)}")


def read(session: "SparkSession", settings: Settings, max_rows: int) -> "DataFrame":
    """The topic as a stream of Kafka records."""
    options = {
        "subscribe": settings.kafka.topic,
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "maxOffsetsPerTrigger": str(max_rows),
    }
    return (
        session.readStream.format("kafka")
        .options(**FETCH | kafka_security.spark(settings) | options)
        .load()
    )


def start(
    records: "DataFrame", stream: Stream, settings: Settings, available_now: bool
) -> "StreamingQuery":
    """Start the query; `available_now` ends it at what is in the topic by then."""
    seconds = f"{settings.speed.trigger_seconds} seconds"
    trigger: dict[str, Any] = {"processingTime": seconds}
    parsed = parse(records, formats.readings(settings), settings.categories)
    query = (
        parsed.writeStream.foreachBatch(stream.take)
        .option("checkpointLocation", driver_status.checkpoint(settings))
        .trigger(**({"availableNow": True} if available_now else trigger))
        .start()
    )
    stream.begin(str(query.id))
    return query


def compute(session: "SparkSession", settings: Settings, plan: driver.Plan) -> None:
    """Run the query until it ends, fails, or is asked to stop.

    `plan`: `available_now` ends it at what is in the topic by now; `max_rows` of a batch, where
    not null, goes before the setting.
    """
    signalled = threading.Event()

    def stop_requested() -> bool:
        return signalled.is_set() or driver_status.stop_wanted(settings)

    from py4j.protocol import Py4JNetworkError

    with signals_handled(lambda *_: signalled.set(), [signal.SIGTERM]):
        try:
            _stream(session, settings, plan, stop_requested)
        except (Py4JNetworkError, ConnectionError):  # the signal met the JVM, too
            if not stop_requested():
                raise


def _stream(
    session: "SparkSession",
    settings: Settings,
    plan: driver.Plan,
    stop_requested: Callable[[], bool],
) -> None:
    local = compatibility.local(driver_status.checkpoint(settings)) is not None
    for key, value in (SQL_CONF | (LOCAL_CHECKPOINT if local else {})).items():
        session.conf.set(key, value)
    with Writer.connect(settings) as writer, alert_dispatch.delivering(settings) as failing:
        writer.retry.cancelled = stop_requested
        stream = Stream(settings, writer)
        records = read(session, settings, plan["max_rows"] or settings.speed.max_rows_per_batch)
        query = start(records, stream, settings, plan["available_now"])
        reporter = StatusReporter(settings, query, stream, writer.retry, failing)
        while query.isActive and not stop_requested():
            reporter.report()
            time.sleep(POLL_S)
        _end(query, stream)
        reporter.report()


def _end(query: "StreamingQuery", stream: Stream) -> None:
    """Stop the query between two batches; raise why it has ended where it did so by itself."""
    if query.isActive:
        stream.end()
        query.stop()
    elif stream.failure:
        raise stream.failure
    elif error := query.exception():
        raise failure_of(error, "the stream ended")


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


if __name__ == "__main__":
    driver.job_main(compute)
