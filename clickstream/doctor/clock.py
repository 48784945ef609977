"""Clocks: ours against a service's, and against the events of each server."""

import time
from collections.abc import Iterator, Mapping

from clickstream import clocks
from clickstream.config import Settings
from clickstream.days import duration
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.errors import ClickstreamError, NoData
from clickstream.views.realtime import RealTime

NOTICED_S = 2.0
"""What a machine with much to do, and a clock that shows whole seconds, may seem to be off."""
WRONG_S = 60.0
HINT = "let each machine ask a time server (NTP)"


def service(name: str, ahead_s: float) -> Finding:
    """The clock of a service against ours."""
    apart = abs(ahead_s)
    if apart <= NOTICED_S:
        return ok(f"the clock of {name} is ours")
    text = (
        f"the clock of {name} is {duration(round(apart))} {'ahead of' if ahead_s > 0 else 'behind'}"
    )
    return (problem if apart > WRONG_S else warning)(f"{text} ours", HINT)


def events(settings: Settings) -> Iterator[Finding]:
    """The clock of each web server, as the latest event of it that the stream has counted shows."""
    try:
        with RealTime.connect(settings, reader=True) as views:
            latest = views.latest_by_server()
    except NoData:
        latest = {}
    except ClickstreamError:  # which the check of Cassandra says
        return
    yield from of_servers(latest, time.time(), settings.speed.window_seconds)


def of_servers(latest: Mapping[str, int], now_s: float, window_s: int) -> Iterator[Finding]:
    """The same, of the latest event second of each server."""
    for server, second in sorted(latest.items()):
        if second - now_s > NOTICED_S:
            ahead = duration(round(second - now_s))
            yield problem(f"the latest event of {server} is {ahead} ahead of our clock", HINT)
    for server, lag_s in clocks.behind(latest, window_s).items():
        text = f"the latest event of {server} is {duration(lag_s)} behind that of another server"
        yield warning(text, f"is its log still read, and its clock right? {HINT}")
    if latest and max(latest.values()) - now_s <= NOTICED_S:
        yield ok("no event is ahead of our clock")
    if not latest:
        yield ok("the stream has counted no event yet")
