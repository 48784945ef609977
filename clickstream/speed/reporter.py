"""In the driver: the report on the stream while it runs, batch or no batch."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from clickstream.config import Settings
from clickstream.speed import driver_status
from clickstream.speed.driver_status import Status
from clickstream.views.realtime.retry import RetryPolicy

if TYPE_CHECKING:
    from pyspark.sql.streaming import StreamingQuery
    from pyspark.sql.streaming.listener import StreamingQueryProgress

QUIET_TRIGGERS = 3


class StreamState(Protocol):
    """The stream's last stored batch: its number, line counts and open alerts after it, its ms by
    part, and what a user should know of how it was counted.
    """

    batch: int | None
    servers: dict[str, dict[str, int]]
    alerts: int
    parts: dict[str, int]
    notice: str


class StatusReporter:
    """Writes the status file. `report` is called a few times each second.

    `failing`: by sink of alerts that takes nothing now, why.
    """

    def __init__(
        self,
        settings: Settings,
        query: "StreamingQuery",
        stream: StreamState,
        retry: RetryPolicy,
        failing: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._query = query
        self._stream = stream
        self._retry = retry
        self._failing = failing
        self._last = Status()
        self._changed = self._healthy_at = time.time()

    def report(self) -> None:
        """Report the state of the stream now."""
        now = time.time()
        if self._stream.batch != self._last.batch and self._refresh():
            self._changed = self._healthy_at = now
        elif not self._query.status["isTriggerActive"]:
            self._healthy_at = now
        quiet = now - self._changed > QUIET_TRIGGERS * self._settings.speed.trigger_seconds
        status = replace(
            self._last,
            updated_at=now,
            healthy_at=self._healthy_at,
            waiting_since=self._retry.since or 0.0,
            failing=dict(self._failing),
        )
        driver_status.write(self._settings, replace(status, rows_per_s=0.0) if quiet else status)

    def _refresh(self) -> bool:
        """Take over the last stored batch once Spark has reported it; it does so a moment after."""
        batch, last = self._stream.batch, self._query.lastProgress
        if batch is None or last is None or last.batchId < batch:
            return False
        self._last = status_of(last, batch, self._stream)
        return True


def status_of(last: "StreamingQueryProgress", batch: int, stream: StreamState) -> Status:
    """The status after a batch, from Spark's report and the stream's own figures."""
    rate = last.inputRowsPerSecond or 0.0
    return Status(
        batch=batch,
        rows=last.numInputRows,
        batch_ms=last.durationMs.get("triggerExecution", 0),
        behind=sum(lag(source.latestOffset, source.endOffset) for source in last.sources),
        started=last.timestamp,
        servers=stream.servers,
        rows_per_s=round(rate, 1) if math.isfinite(rate) else 0.0,
        alerts=stream.alerts,
        parts=last.durationMs | stream.parts,
        notice=stream.notice,
    )


def lag(latest: str, end: str) -> int:
    """The lag: records between two positions of Spark's Kafka source.

    A position is JSON of {topic: {partition: offset}}. 0 where Spark does not say.
    """
    return max(0, _position(latest) - _position(end)) if json.loads(latest or "null") else 0


def _position(offsets: str) -> int:
    return sum(sum(partitions.values()) for partitions in json.loads(offsets).values())
