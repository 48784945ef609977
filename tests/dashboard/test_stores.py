"""What a page's reports share is shared while it asks, not for longer, and closed after it."""

import threading
from contextlib import contextmanager

import pytest

from clickstream.dashboard import stores
from clickstream.errors import NotRunning
from clickstream.serve.layers import Connections


class Views:
    """Views of one connection: what they were asked."""

    def __init__(self, number):
        self.number = number
        self.asked = []

    def minutes(self, spans):
        self.asked.append(("minutes", spans))
        return object()

    def alerts(self):
        self.asked.append(("alerts",))
        return object()


@pytest.fixture
def made(monkeypatch):
    """What was connected and what was closed, in order."""
    events = []

    @contextmanager
    def connected(_settings):
        number = sum(event[0] == "batch" for event in events)

        def batch():
            events.append(("batch", number))
            return Views(number)

        def realtime():
            events.append(("realtime", number))
            raise NotRunning("Cassandra does not answer")

        yield Connections(batch, realtime)
        events.append(("closed", number))

    monkeypatch.setattr(stores, "connected", connected)
    return events


def test_a_page_connects_once_and_a_store_that_is_away_is_asked_once(made):
    shared = stores.Stores(None, now=lambda: 0.0)
    seen = []

    def ask():
        with shared.connections() as connections:
            seen.append(connections.batch().number)
            with pytest.raises(NotRunning):
                connections.realtime()

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen, made) == ([0] * 5, [("batch", 0), ("realtime", 0)])


def test_the_next_page_connects_anew(made):
    clock = [0.0]
    shared = stores.Stores(None, now=lambda: clock[0])
    with shared.connections() as first:
        first.batch()
        clock[0] = stores.SHARED_S + 1
        with shared.connections() as second:
            assert second.batch().number == 1
        assert ("closed", 0) not in made
    assert made == [("batch", 0), ("batch", 1), ("closed", 0)]


def test_what_several_reports_read_is_read_once(made):
    shared = stores.Stores(None, now=lambda: 0.0)
    monday, tuesday = [("2015-05-18", "2015-05-18")], [("2015-05-19", "2015-05-19")]
    with shared.connections() as first, shared.connections() as second:
        assert first.batch().minutes(monday) is second.batch().minutes([*monday])
        assert first.batch().minutes(monday) is not first.batch().minutes(tuesday)
        assert first.batch().alerts() is not second.batch().alerts()
        asked = first.batch().asked
    assert asked == [("minutes", monday), ("minutes", tuesday), ("alerts",), ("alerts",)]


def test_nobody_waits_for_an_answer_that_failed_in_another_way(made):
    shared = stores.Stores(None, now=lambda: 0.0)
    with shared.connections() as connections:
        for _ in range(2):
            with pytest.raises(TypeError):
                connections.batch().minutes()


def test_a_page_finds_its_stores_connected(made):
    shared = stores.Stores(None, now=lambda: 0.0)
    shared.connect()
    with shared.connections() as connections:
        assert connections.batch().number == 0
    assert made == [("batch", 0), ("realtime", 0)]
