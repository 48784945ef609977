"""What the stored counts rest on: a change of it is refused before anything is started."""

import json

import pytest

from clickstream import config
from clickstream.clients import kafka
from clickstream.errors import ClickstreamError
from clickstream.speed import compatibility, driver_status

COUNTED = {"weblog1": {}}


class Views:
    """What the views hold, without Cassandra."""

    def __init__(self, stored=None, query=None, batch=None, servers=()):
        self.stored = stored
        self.stored_status = {"query": query, "batch": batch, "servers": servers}

    def compatibility(self):
        return self.stored

    def status(self):
        return self.stored_status


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads settings in one home, as if the topic were there."""
    monkeypatch.setattr(kafka, "topic_id", lambda settings: f"id of {settings.kafka.topic}")
    return lambda **flags: config.load(
        home=tmp_path, flags={key.replace("__", "."): value for key, value in flags.items()}
    )


def checkpoint(settings, query, batches=0):
    """A checkpoint as Spark leaves it."""
    directory = compatibility.local(driver_status.checkpoint(settings))
    (directory / "commits").mkdir(parents=True)
    (directory / "metadata").write_text(json.dumps({"id": query}))
    for number in range(batches):
        (directory / "commits" / str(number)).write_text("v1\n{}")


def counted(settings):
    """The views after a batch with these settings."""
    return Views(compatibility.of(settings), "q", 0, COUNTED)


def test_the_same_settings_go_on(load):
    settings = load()
    checkpoint(settings, "q", 1)
    compatibility.check(settings, counted(settings))
    compatibility.check(
        load(speed__trigger_seconds="9", speed__max_rows_per_batch="7"), counted(settings)
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("speed.max_ahead_seconds", "60"),
        ("speed.healthy_statuses", "200,304"),
        ("speed.ddos_requests_per_second", "50"),
        ("speed.window_seconds", "60"),
        ("speed.health_non_200", "5"),
        ("speed.health_resolve_non_200", "5"),
        ("speed.alert_gap_seconds", "5"),
        ("kafka.topic", "other"),
    ],
)
def test_another_configuration_is_refused_by_name(load, key, value):
    checkpoint(load(), "q", 1)
    with pytest.raises(ClickstreamError, match=rf"made under other settings: {key} was") as refusal:
        compatibility.check(load(**{key: value}), counted(load()))
    assert "speed reset" in refusal.value.hint


def test_another_mapping_of_categories_is_refused(load):
    checkpoint(load(), "q", 1)
    with pytest.raises(ClickstreamError, match="categories was"):
        compatibility.check(load(categories__parameter="category"), counted(load()))


def test_lines_are_counted_again_as_they_were_whatever_the_topic_is(load):
    views = counted(load())
    compatibility.check_lines(load(kafka__topic="other"), views)
    for key in ("categories__parameter", "speed__max_ahead_seconds"):
        with pytest.raises(ClickstreamError, match="made under other settings"):
            compatibility.check_lines(load(**{key: "60"}), views)
    with pytest.raises(ClickstreamError, match="made under other settings"):
        compatibility.check_lines(load(), Views(None, "q", 0, COUNTED))


def test_another_build_is_refused(load, monkeypatch):
    settings = load()
    checkpoint(settings, "q", 1)
    views = counted(settings)
    monkeypatch.setattr(compatibility, "BUILD", compatibility.BUILD + 1)
    with pytest.raises(ClickstreamError, match=f"build was {compatibility.BUILD - 1}"):
        compatibility.check(settings, views)
    with pytest.raises(ClickstreamError, match="another build"):
        compatibility.check(settings, Views(None, "q", 0, COUNTED))


def test_a_recreated_topic_is_refused_and_named_as_such(load, monkeypatch):
    settings = load()
    checkpoint(settings, "q", 1)
    views = counted(settings)
    monkeypatch.setattr(kafka, "topic_id", lambda _: "another")
    with pytest.raises(ClickstreamError, match="deleted and recreated") as refusal:
        compatibility.check(settings, views)
    assert "speed reset" in refusal.value.hint


@pytest.mark.parametrize(("server", "refused"), [("weblog1", True), ("weblog2", False)])
def test_only_a_server_that_was_counted_must_keep_its_format(load, server, refused):
    now = load(**{f"servers.{server}.format": "vhost_combined"})
    assert (
        bool(compatibility.differences(compatibility.of(load()), compatibility.of(now), COUNTED))
        is refused
    )
    assert (
        bool(compatibility.differences(compatibility.of(now), compatibility.of(load()), COUNTED))
        is refused
    )


@pytest.mark.parametrize("query", [None, "another"])
def test_views_without_their_checkpoint_are_refused(load, query):
    settings = load()
    if query:
        checkpoint(settings, query, 1)
    with pytest.raises(ClickstreamError, match="another checkpoint") as refusal:
        compatibility.check(settings, counted(settings))
    assert "speed reset" in refusal.value.hint


def test_a_checkpoint_without_its_views_is_refused_once_a_batch_was_committed(load):
    settings = load()
    checkpoint(settings, "q")
    compatibility.check(settings, Views())
    (compatibility.local(driver_status.checkpoint(settings)) / "commits" / "0").write_text("")
    with pytest.raises(ClickstreamError, match="no real-time views"):
        compatibility.check(settings, Views())


def test_a_checkpoint_that_cannot_be_read_is_one_line(load):
    settings = load()
    checkpoint(settings, "q")
    (compatibility.local(driver_status.checkpoint(settings)) / "metadata").write_text("{")
    with pytest.raises(ClickstreamError, match="cannot be read"):
        compatibility.check(settings, Views())


def test_a_checkpoint_elsewhere_is_left_to_its_driver(load):
    settings = load(speed__checkpoint="hdfs://h:1/c")
    compatibility.check(settings, counted(load()))
