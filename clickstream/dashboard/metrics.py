"""`/metrics`: the figures of `clickstream status` in the text format of Prometheus.

A scrape only writes down what a thread has read before it: a store that hangs makes values old,
which their age says, and never a scrape slow.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from clickstream.alerts import DDOS, HEALTH
from clickstream.rows import Rows

if TYPE_CHECKING:
    from prometheus_client import Metric

    from clickstream.config import Settings
    from clickstream.status.collector import Collector
    from clickstream.status.part import Part, Read

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
INTERVAL_S = 10.0
REST_S = 300.0  # after so long without a scrape
KINDS = (DDOS, HEALTH)
STATES = ("fresh", "dirty", "missing", "gone", "pruned")
OUTCOMES = ("copies", "set_aside", "skipped")

Family = TypeVar("Family", GaugeMetricFamily, CounterMetricFamily)
Sample = tuple[tuple[str, ...], float | None]
"""The values of the labels, and that of the metric; None: not known, so there is no sample."""


class Known(NamedTuple):
    """The rows of a part as they were read last, and when (monotonic s)."""

    rows: Rows
    read_at: float


class Metrics:
    """The text for a scrape. A thread reads while scrapes come; the first one finds nothing yet."""

    def __init__(self, settings: "Settings", collector: "Collector | None" = None) -> None:
        self._settings = settings
        self._collector = collector
        self._known: dict[str, Known] = {}
        self._failed: set[str] = set()
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """What is known now; asks no store."""
        with self._lock:
            self._asked_at = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()
        return generate_latest(self._registry)

    def read(self) -> None:
        """Read every part once; what fails keeps its values."""
        from clickstream.status.collector import CERTAIN_S, Collector

        self._collector = self._collector or Collector(self._settings, parts())
        found = self._collector.collect(CERTAIN_S).parts
        with self._lock:
            for name, part in found.items():
                if not part.error:
                    self._known[name] = Known(list(part.rows), time.monotonic())
            self._failed = {name for name, part in found.items() if part.error}

    def collect(self) -> "Iterator[Metric]":
        """The metrics, as a registry asks for them."""
        with self._lock:
            known, failed = dict(self._known), set(self._failed)
        names, now = sorted(known.keys() | failed), time.monotonic()
        answers = [((name,), float(name not in failed)) for name in names]
        yield _gauge("part_up", "1: the part of the status was read last time.", "part", answers)
        ages = [((name,), now - each.read_at) for name, each in known.items()]
        yield _gauge("part_age_seconds", "Age of the part's values.", "part", ages)
        yield from families({name: each.rows for name, each in known.items()})

    def _run(self) -> None:
        while True:
            self.read()
            time.sleep(INTERVAL_S)
            with self._lock:
                if time.monotonic() - self._asked_at > REST_S:
                    self._thread = None
                    return


def parts() -> "dict[str, Read]":
    """What is read: parts of the status, and each component of the agents."""
    from clickstream.status.collector import PARTS

    names = ("channels", "spools", "topic", "speed", "days", "alerts", "rejects")
    return {"components": _components} | {name: PARTS[name] for name in names}


def families(rows: Mapping[str, Rows]) -> "Iterator[Metric]":
    """The metrics of the rows of each part; a part that was never read has none."""
    for name, made in MADE.items():
        if name in rows:
            yield from made(rows[name])
    lags = [*_lags(rows, "spools", "spool", "server", "lines")]
    lags += _lags(rows, "channels", "channel", "channel", "events")
    lags += _lags(rows, "topic", "stream", "server", "behind")
    yield _gauge("lag_lines", "Lines that wait for this stage to go on.", "stage where", lags)


def _components(settings: "Settings") -> "Part":
    from clickstream.ingest.flume import status as flume
    from clickstream.status.part import Part

    return Part("", [row._asdict() for row in flume.status(settings, []) if row.component])


def _lags(
    rows: Mapping[str, Rows], part: str, stage: str, where: str, figure: str
) -> Iterator[Sample]:
    return (((stage, row[where]), row[figure]) for row in rows.get(part, []))


def _of_components(rows: Rows) -> "Iterator[Metric]":
    def samples(key: str) -> list[Sample]:
        return [((row["agent"], row["component"]), row[key]) for row in rows]

    up = [(labels, float(state == "up")) for labels, state in samples("state")]
    yield _gauge("component_up", "1: the component of the agent works.", "agent component", up)
    for key, way in (("events_in", "into"), ("events_out", "out of")):
        about = f"Lines {way} the component since the agent's start."
        yield _counter(f"agent_{key}", about, "agent component", samples(key))


def _of_channels(rows: Rows) -> "Iterator[Metric]":
    fills = [((row["channel"],), _divided(row["fill"], 100)) for row in rows]
    yield _gauge("channel_fill_ratio", "How full the channel is, 0 to 1.", "channel", fills)


def _of_topic(rows: Rows) -> "Iterator[Metric]":
    ages = [((row["server"],), 0 if row["behind"] == 0 else row["behind_seconds"]) for row in rows]
    about = "Age of the oldest record that the stream has not read."
    yield _gauge("stream_lag_seconds", about, "server", ages)


def _of_speed(rows: Rows) -> "Iterator[Metric]":
    driver = rows[0]
    alone = {
        "stream_running": ("1: the driver runs.", driver["running"]),
        "stream_healthy": ("1: it runs and is well.", driver["healthy"]),
        "stream_rows_per_second": ("Records per second.", driver["rows_per_s"]),
        "stream_batch_seconds": ("How long the last batch took.", _divided(driver["batch_ms"])),
    }
    for name, (about, value) in alone.items():
        yield _gauge(name, about, "", [((), value)])
    servers = [row for row in rows if "server" in row]
    counted = [((row["server"], each), n) for row in servers for each, n in _outcomes(row)]
    about = "Records by what the stream did with them."
    yield _counter("stream_records", about, "server outcome", counted)
    latest = [((row["server"],), _epoch(row["latest"])) for row in servers]
    yield _gauge("stream_latest_event_timestamp_seconds", "The latest event.", "server", latest)


def _outcomes(row: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    yield "counted", row["rows"] - sum(row[each] for each in OUTCOMES)
    yield from ((each, row[each]) for each in OUTCOMES)


def _of_alerts(rows: Rows) -> "Iterator[Metric]":
    yield _counts("alerts_open", "Open alerts.", "kind", KINDS, (row["kind"] for row in rows))


def _of_days(rows: Rows) -> "Iterator[Metric]":
    states = (row["state"] for row in rows)
    yield _counts("days", "Days by what the batch views have of them.", "state", STATES, states)
    yield _gauge("days_final", "Final days.", "", [((), sum(row["final"] for row in rows))])


def _of_rejects(rows: Rows) -> "Iterator[Metric]":
    every = [((row["server"],), row["rejects"]) for row in rows]
    yield _counter("rejects", "Lines rejected.", "server", every)
    fresh = [((row["server"],), row["new"]) for row in rows]
    yield _gauge("rejects_new", "Of these, since they were listed last.", "server", fresh)


MADE = {
    "components": _of_components,
    "channels": _of_channels,
    "topic": _of_topic,
    "speed": _of_speed,
    "alerts": _of_alerts,
    "days": _of_days,
    "rejects": _of_rejects,
}


def _counts(
    name: str, about: str, label: str, known: Iterable[str], values: Iterable[str]
) -> GaugeMetricFamily:
    found = Counter(values)
    return _gauge(name, about, label, [((each,), found[each]) for each in known])


def _gauge(name: str, about: str, labels: str, samples: Iterable[Sample]) -> GaugeMetricFamily:
    return _filled(GaugeMetricFamily(f"clickstream_{name}", about, labels=labels.split()), samples)


def _counter(name: str, about: str, labels: str, samples: Iterable[Sample]) -> CounterMetricFamily:
    made = CounterMetricFamily(f"clickstream_{name}", about, labels=labels.split())
    return _filled(made, samples)


def _filled(family: Family, samples: Iterable[Sample]) -> Family:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, float(value))
    return family


def _divided(value: float | None, by: float = 1000) -> float | None:
    return None if value is None else value / by


def _epoch(moment: str) -> float | None:
    return None if moment == "-" else datetime.fromisoformat(moment).timestamp()
