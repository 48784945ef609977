"""Connections are shared while a page asks, not for longer, and closed once nobody uses them."""

import threading
from contextlib import contextmanager

import pytest

from clickstream.dashboard import stores
from clickstream.errors import NotRunning
from clickstream.serve.layers import Connections


@pytest.fixture
def made(monkeypatch):
    """What was connected and what was closed, in order; a connection is its number."""
    events = []

    @contextmanager
    def connected(_settings):
        number = sum(event[0] == "batch" for event in events)

        def batch():
            events.append(("batch", number))
            return number

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
            seen.append(connections.batch())
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
            assert second.batch() == 1
        assert ("closed", 0) not in made
    assert made == [("batch", 0), ("batch", 1), ("closed", 0)]
