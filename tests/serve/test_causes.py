"""What is known of lines that a layer has missed: from the topic, the files, the line counts."""

from collections import Counter
from types import SimpleNamespace

import pytest

from clickstream.clients import kafka
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.errors import NotRunning
from clickstream.serve import causes
from clickstream.serve.causes import CAME_LATER, NOT_CLOSED, NOT_READ, RESET
from tests.serve.test_merge import TODAY, counted, line, views  # noqa: F401 (a fixture)

DAY = "2015-05-18"
SERVERS = {"a": {"rows": 40}, "b": {"rows": 7}}


class Status:
    """The real-time views as far as the stream came."""

    def status(self):
        return {"servers": {name: each | {"set_aside": 0} for name, each in SERVERS.items()}}


@pytest.mark.parametrize(
    ("offsets", "unread"),
    [
        ((0, 40), {}),
        ((0, 45), {NOT_READ: 5}),
        ((42, 45), {NOT_READ: 3, RESET: 2}),
        ((45, 45), {RESET: 5}),
        ((0, 30), {}),
    ],
)
def test_what_the_views_have_not_read_of_the_topic(monkeypatch, offsets, unread):
    monkeypatch.setattr(kafka, "offsets", lambda _: {0: offsets, 1: (0, 7)})
    found = causes._unread(SimpleNamespace(servers=SERVERS), Status())
    assert {server: dict(+each) for server, each in found.items()} == {"a": unread, "b": {}}


def test_lines_that_were_not_counted_come_later_or_lie_in_other_files(views):  # noqa: F811
    batch = counted(views, TODAY[:1], published=[*TODAY, line(7, "b", "01:00:00")])
    found = causes._not_counted(batch, [DAY], {(DAY, "b")})
    assert found == {(DAY, "a"): (CAME_LATER, 2), (DAY, "b"): (NOT_CLOSED, 1)}


def test_files_that_no_run_has_read_are_named_by_day_and_server(views, monkeypatch):  # noqa: F811
    batch = counted(views, TODAY)
    closed = Entry(f"/m/dt={DAY}/server=a/x", "x", 9, False, 1)
    opened = Entry(f"/m/dt={DAY}/server=b/_x.tmp", "_x.tmp", 9, False, 1)
    folder = Entry(f"/m/dt={DAY}/server=a", "server=a", 0, True, 1)
    tree = {f"/m/dt={DAY}": [folder], folder.path: [closed]}
    hdfs = SimpleNamespace(list=tree.__getitem__, walk=lambda _: [opened], open_files=lambda _: [])
    monkeypatch.setattr(Hdfs, "connect", lambda _: hdfs)
    settings = SimpleNamespace(hdfs=SimpleNamespace(master="/m", quarantine="/q"))
    assert causes._changed(settings, batch, [DAY]) == {(DAY, "a"), (DAY, "b")}


def test_a_store_that_is_away_is_a_note():
    def away():
        raise NotRunning("it does not answer")

    notes = []
    assert causes._reached(notes, "HDFS", away) is None
    assert notes == ["without HDFS, some causes are not known: it does not answer"]
    assert causes._taken(Counter(x=2), 3) == (["2 x"], 1)
