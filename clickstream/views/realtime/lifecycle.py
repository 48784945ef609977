"""The life of alerts, batch after batch: which ones a batch opens, changes, resolves, joins.

It costs nothing but for the IPs above the threshold, the servers with a non-200 response and the
alerts whose time is over; and then only around the seconds that were touched.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from clickstream import alerts
from clickstream.alerts import DDOS, HEALTH, MERGED, OPEN, Alert, Change, Key, Span
from clickstream.config.sections import Speed

MAX_ALERTS = 100_000


class Offence(NamedTuple):
    """A second in which an IP is above the threshold, over `servers` together."""

    ip: str
    second: int
    requests: int
    servers: frozenset[str]


class Lifecycle:
    """The alerts of a stream.

    `load` gives the stored alerts of keys as of the batch before the one at hand; `non_200` a
    server's non-200 responses by second, of (start, end], the batch at hand included. The alerts of
    the keys touched longest ago are dropped from memory once there are more than MAX_ALERTS.
    """

    def __init__(
        self,
        speed: Speed,
        load: Callable[[list[Key]], Iterable[Alert]],
        non_200: Callable[[str, int, int], Mapping[int, int]],
    ) -> None:
        self._speed = speed
        self._load = load
        self._non_200 = non_200
        self._known: OrderedDict[Key, list[Alert]] = OrderedDict()
        self._open: dict[str, Alert] = {}

    def resume(self, stored: Iterable[Alert]) -> None:
        """Begin with these alerts, all there are as of the batch before the next one."""
        self._known.clear()
        self._open = {alert.id: alert for alert in stored if alert.state == OPEN}

    def open(self) -> int:
        """How many alerts are open."""
        return len(self._open)

    def update(
        self,
        batch: int,
        clocks: Mapping[str, int],
        offences: Iterable[Offence],
        touched: Mapping[str, Iterable[int]],
    ) -> list[Change]:
        """The changes by a batch: its offences, and by server its seconds with a non-200 response.

        `clocks` has each server's latest event second after it. One change per alert at most.
        """
        spans: dict[Key, list[Span]] = defaultdict(list)
        for each in offences:
            gap_s = self._speed.alert_gap_seconds
            span = alerts.offence(each.second, each.requests, each.servers, gap_s)
            spans[DDOS, each.ip].append(span)
        for alert in self._open.values():
            if alert.until < alerts.clock_of(alert.servers, clocks):
                spans[alert.kind, alert.key].append(alerts.span_of(alert))
        self._have([*spans, *((HEALTH, server) for server in touched)])
        for server, seconds in touched.items():
            spans[HEALTH, server] += self._health(server, seconds)
        return [
            change
            for key in sorted(spans)
            if spans[key]
            for change in self._joined(batch, clocks, key, spans[key])
        ]

    def trim(self) -> None:
        """Drop the keys touched longest ago while there are too many alerts."""
        total = sum(map(len, self._known.values()))
        while total > MAX_ALERTS and self._known:
            total -= len(self._known.popitem(last=False)[1])

    def _have(self, keys: Iterable[Key]) -> None:
        """Have the alerts of these keys in memory, in order, as the last to be dropped."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        self._known |= {key: [] for key in missing}
        for alert in self._load(missing):
            if alert.state != MERGED:
                self._known[alert.kind, alert.key].append(alert)
        for key in keys:
            self._known.move_to_end(key)
        for key in missing:
            self._known[key].sort(key=_first)

    def _joined(
        self, batch: int, clocks: Mapping[str, int], key: Key, spans: list[Span]
    ) -> Iterator[Change]:
        stored = self._known[key]
        low = bisect_left(stored, min(span.start for span in spans), key=_until)
        high = bisect_right(stored, max(span.until for span in spans), key=_first)
        live = []
        for span, parts in alerts.join(stored[low:high], spans):
            alert = alerts.alert_of(*key, span, clocks)
            same = next((part for part in parts if part.id == alert.id), None)
            after = _numbered(same, alert, batch)
            live.append(after)
            if after is not same:
                yield self._tracked(Change(same, after))
            for part in parts:
                if part is not same:
                    merged = replace(part, state=MERGED, merged_into=alert.id)
                    yield self._tracked(Change(part, _numbered(part, merged, batch)))
        stored[low:high] = live

    def _tracked(self, change: Change) -> Change:
        self._open.pop(change.after.id, None)
        if change.after.state == OPEN:
            self._open[change.after.id] = change.after
        return change

    def _health(self, server: str, seconds: Iterable[int]) -> Iterator[Span]:
        """The stretches in which a trailing count may have changed by the touched seconds."""
        for start, end in _around(seconds, self._speed.window_seconds):
            for span in self._whole_runs(server, start, end):
                yield span._replace(servers=frozenset([server]))

    def _whole_runs(self, server: str, start: int, end: int) -> list[Span]:
        """The runs from `start` on that begin at or before `end`, the last one to its own end.

        Each time that is missing twice as many seconds are read. It never is where the two levels
        are equal.
        """
        spans = self._runs(server, start, end)
        while spans and self._cut_off(server, spans[-1], end):
            end += end - start
            spans = self._runs(server, start, end)
        return spans

    def _runs(self, server: str, start: int, end: int) -> list[Span]:
        """`alerts.runs` of a server's non-200 responses."""
        window_s = self._speed.window_seconds
        levels = (self._speed.health_non_200, self._speed.health_resolve_non_200)
        non_200 = self._non_200(server, start - window_s, end)
        return alerts.runs(non_200, start, end, window_s, levels)

    def _cut_off(self, server: str, last: Span, end: int) -> bool:
        """True where the last run up to `end` may have a rest behind it that must be read.

        It may where it reaches the end, since the trailing count may stay between the two levels.
        It need not be read where no alert is open in the run, or a stored alert has the rest.
        """
        if last.until < end or self._alerts_in(server, end, end):
            return False
        return last.first is not None or self._alerts_in(server, last.start, end)

    def _alerts_in(self, server: str, start: int, end: int) -> bool:
        """True where a stored alert of the server has a second of start..end."""
        stored = self._known[HEALTH, server]
        index = bisect_left(stored, start, key=_until)
        return index < len(stored) and stored[index].first <= end


def _around(seconds: Iterable[int], window_s: int) -> list[tuple[int, int]]:
    """The (start, end) of the stretches up to a window behind these seconds, in order, apart.

    One second more on either side, so that what goes on there has a second in common.
    """
    around: list[tuple[int, int]] = []
    for second in sorted(seconds):
        start = second - 1
        if around and start <= around[-1][1]:
            start = around.pop()[0]
        around.append((start, second + window_s))
    return around


def _first(alert: Alert) -> int:
    return alert.first


def _until(alert: Alert) -> int:
    return alert.until


def _numbered(before: Alert | None, after: Alert, batch: int) -> Alert:
    """The alert with its number; the one before, unchanged, where nothing has changed."""
    if before is not None and before.content() == after.content():
        return before
    steps = len(Change(before, after).steps())
    return replace(after, seq=steps + (before.seq if before else 0), batch=batch)
