"""What a page's reports share is shared while it asks, not for longer, and closed after it."""

import threading
from contextlib import contextmanager

import pytest

from clickstream.dashboard import answers, stores
from clickstream.errors import NotRunning
from clickstream.serve.layers import Connections
from clickstream.serve.question import Question


class Views:
    """Views of one connection: what they were asked."""

    def __init__(self, number):
        self.number = number
        self.asked = []

    def minutes(self, spans, by="second"):
        self.asked.append(("minutes", spans, by))
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


@pytest.fixture
def asked(monkeypatch):
    """Has each report answer as the test says, over the connections that it is given."""

    def set_to(answer):
        monkeypatch.setattr(answers, "asked", lambda *given: answer(given[1], given[3]))

    return set_to


ANY = Question()


def test_a_page_connects_once_and_a_store_that_is_away_is_asked_once(made, asked):
    def answer(_, connections):
        with pytest.raises(NotRunning):
            connections.realtime()
        return connections.batch().number

    asked(answer)
    shared = stores.Stores(None, now=lambda: 0.0)
    seen = []
    threads = [
        threading.Thread(target=lambda name=name: seen.append(shared.answer(name, ANY)))
        for name in answers.PANELS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [0] * len(answers.PANELS)
    assert sorted(made) == [("batch", 0), ("realtime", 0)]


def test_the_next_page_connects_anew_and_leaves_those_who_still_ask(made, asked):
    clock = [0.0]
    shared = stores.Stores(None, now=lambda: clock[0])

    def answer(name, connections):
        number = connections.batch().number
        if name == "hourly":
            clock[0] = stores.SHARED_S + 1
            assert shared.answer("visitors", ANY) == number + 1
            assert ("closed", number) not in made
        return number

    asked(answer)
    assert shared.answer("hourly", ANY) == 0
    assert made == [("batch", 0), ("batch", 1), ("closed", 0)]


def test_what_several_reports_read_is_read_once(made, asked):
    monday = [("2015-05-18", "2015-05-18")]
    answered = []

    def answer(_, connections):
        views = connections.batch()
        answered.append(
            (views.minutes([*monday]), views.minutes(monday, by="hour"), views.alerts())
        )
        return views.asked

    asked(answer)
    shared = stores.Stores(None, now=lambda: 0.0)
    shared.answer("hourly", ANY)
    read = shared.answer("responses", ANY)
    (first, other, mine), (second, another, its) = answered
    assert first is second is not other is another
    assert mine is not its
    both = [("minutes", monday, "second"), ("minutes", monday, "hour")]
    assert read == [*both, ("alerts",), ("alerts",)]


def test_nobody_waits_for_an_answer_that_failed_in_another_way(made, asked):
    asked(lambda _, connections: connections.batch().minutes())
    shared = stores.Stores(None, now=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(TypeError):
            shared.answer("hourly", ANY)
