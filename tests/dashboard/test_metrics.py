"""The metrics: parsed as Prometheus does, from rows as the status gives them."""

import threading
import time
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clickstream import config
from clickstream.dashboard import run
from clickstream.dashboard.metrics import Metrics, families, parts
from clickstream.status.collector import Collector
from clickstream.status.part import Part

from .conftest import Views
from .served import serving

COMPONENT = {"agent": "agent1", "pid": 1, "component": "source spool", "state": "up"}
DRIVER = {"running": True, "healthy": False, "rows_per_s": 990.0, "batch_ms": 350}
COUNTS = {"rows": 20, "copies": 3, "set_aside": 2, "skipped": 1}
ROWS = {
    "components": [
        COMPONENT | {"events_in": 12, "events_out": 11, "fill": None},
        COMPONENT | {"agent": "agent3", "state": "down", "events_in": None, "events_out": None},
    ],
    "channels": [
        {"channel": "agent1/file", "events": 900, "fill": 90.0},
        {"channel": "agent3/to-master", "events": 5, "fill": 0.0},
    ],
    "spools": [{"server": "weblog1", "chunks": 2, "lines": 4000, "blocked_by": ""}],
    "topic": [
        {"server": "weblog1", "behind": 7, "behind_seconds": 1.5},
        {"server": "weblog2", "behind": 0, "behind_seconds": None},
        {"server": 'we"b\n3', "behind": None, "behind_seconds": None},
    ],
    "speed": [DRIVER | COUNTS | {"server": "weblog1", "latest": "1970-01-01T00:01:40Z"}],
    "days": [
        {"date": "2015-05-17", "state": "fresh", "final": True},
        {"date": "2015-05-18", "state": "dirty", "final": False},
    ],
    "alerts": [{"kind": "health"}],
    "rejects": [{"server": "weblog1", "rejects": 31, "new": 4}],
}
EXPECTED = {
    ("component_up", "agent1", "source spool"): 1,
    ("component_up", "agent3", "source spool"): 0,
    ("agent_events_in_total", "agent1", "source spool"): 12,
    ("agent_events_out_total", "agent1", "source spool"): 11,
    ("channel_fill_ratio", "agent1/file"): 0.9,
    ("channel_fill_ratio", "agent3/to-master"): 0,
    ("stream_lag_seconds", "weblog1"): 1.5,
    ("stream_lag_seconds", "weblog2"): 0,
    ("stream_running",): 1,
    ("stream_healthy",): 0,
    ("stream_rows_per_second",): 990,
    ("stream_batch_seconds",): 0.35,
    ("stream_records_total", "counted", "weblog1"): 14,
    ("stream_records_total", "copies", "weblog1"): 3,
    ("stream_records_total", "set_aside", "weblog1"): 2,
    ("stream_records_total", "skipped", "weblog1"): 1,
    ("stream_latest_event_timestamp_seconds", "weblog1"): 100,
    ("alerts_open", "ddos"): 0,
    ("alerts_open", "health"): 1,
    ("days", "fresh"): 1,
    ("days", "dirty"): 1,
    ("days", "missing"): 0,
    ("days", "gone"): 0,
    ("days", "pruned"): 0,
    ("days_final",): 1,
    ("rejects_total", "weblog1"): 31,
    ("rejects_new", "weblog1"): 4,
    ("lag_lines", "spool", "weblog1"): 4000,
    ("lag_lines", "channel", "agent1/file"): 900,
    ("lag_lines", "channel", "agent3/to-master"): 5,
    ("lag_lines", "stream", "weblog1"): 7,
    ("lag_lines", "stream", "weblog2"): 0,
}


def parsed(text):
    """(name without its prefix, values of the labels in the order of their names) -> value."""
    found = text_string_to_metric_families(text.decode())
    samples = [sample for family in found for sample in family.samples]
    return {
        (each.name.removeprefix("clickstream_"), *dict(sorted(each.labels.items())).values()): (
            each.value
        )
        for each in samples
    }


@pytest.fixture
def status():
    """A status whose parts can be changed, and the metrics of it; they are read by hand."""
    known = {name: Part("", rows) for name, rows in ROWS.items()}
    collector = SimpleNamespace(collect=lambda _: SimpleNamespace(parts=known))
    metrics = Metrics(None, collector)
    metrics._thread = threading.current_thread()  # so that none is started
    return known, metrics


def test_every_figure_of_the_status_is_there(status):
    _, metrics = status
    metrics.read()
    found = parsed(metrics.text())
    own = {key: value for key, value in found.items() if not key[0].startswith("part_")}
    assert own == EXPECTED
    assert {key[1] for key in found if key[0] == "part_up"} == ROWS.keys()


def test_a_part_that_fails_keeps_its_values_and_shows_their_age(status):
    known, metrics = status
    metrics.read()
    time.sleep(0.01)
    known["alerts"] = Part("", error="Cassandra does not answer")
    metrics.read()
    found = parsed(metrics.text())
    assert found["alerts_open", "health"] == 1
    assert (found["part_up", "alerts"], found["part_up", "days"]) == (0, 1)
    assert found["part_age_seconds", "alerts"] > found["part_age_seconds", "days"] >= 0


def test_names_of_servers_are_only_text(status):
    known, metrics = status
    hostile = 'a"} 1\nclickstream_forged 1\\'
    known["rejects"] = Part("", [{"server": hostile, "rejects": 1, "new": 0}])
    metrics.read()
    found = parsed(metrics.text())
    assert found["rejects_total", hostile] == 1
    assert ("forged",) not in found


def test_what_was_never_read_has_no_figure():
    assert all(not family.samples for family in families({}))


def test_every_part_that_is_read_has_its_metrics(tmp_path):
    assert parts().keys() == ROWS.keys()
    found = Collector(config.load(home=tmp_path), {"components": parts()["components"]})
    assert found.collect(60).parts["components"].error == ""


def test_a_scrape_waits_for_no_store():
    over = threading.Event()

    def hangs(_):
        assert over.wait(60)
        return SimpleNamespace(parts={})

    metrics = Metrics(None, SimpleNamespace(collect=hangs))
    try:
        assert parsed(metrics.text()) == {}
    finally:
        over.set()


def test_the_token_of_the_metrics_opens_them_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Metrics, "read", lambda _: None)
    monkeypatch.setenv("CLICKSTREAM_DASHBOARD__METRICS_TOKEN", "of-the-monitor")
    own = config.load(home=tmp_path)
    with serving(own, Views().connect) as client:
        for token, path, status in (
            ("of-the-monitor", "/metrics", 200),
            (run.token(own), "/metrics", 200),
            ("of-the-monitor", "/api/servers", 403),
            ("another", "/metrics", 403),
        ):
            answer = client.get(path, cookie=False, Authorization=f"Bearer {token}")
            assert answer.status == status
        assert client.get("/metrics").getheader("content-type").startswith("text/plain; version=")
