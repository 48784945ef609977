"""Alerts as a function of the stored counts: their definition, and how late counts join two.

An alert is a stretch of the event clock in which a key (an IP, a server) is too bad:

ddos    seconds with more requests of one IP, over all servers, than the threshold, each at most
        the gap after the one before
health  seconds in which the trailing non-200 count of a server stays above the level at which an
        alert resolves, from the first second on at which it is above the level that opens one

Counts only ever grow, and so do these stretches. It is therefore enough to look around the seconds
that a batch has touched and to join the stretches there with the stored alerts: the same
lines make the same open and resolved alerts, in whatever order they came and wherever the batches
were cut. What does depend on the order is history: how often an alert changed (`seq`), in which
batch (`batch`), and the alerts that a late line has joined to an earlier one (`merged`), which
remain so that whoever was notified of them finds out what became of them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from clickstream.console.escape import show_bytes
from clickstream.days import instant

DDOS, HEALTH = "ddos", "health"
OPEN, RESOLVED, MERGED = "open", "resolved", "merged"
UPDATE, MERGED_INTO = "update", "merged-into"
NEVER = -1
_HISTORY = {"seq", "batch"}

Key = tuple[str, str]


@dataclass(frozen=True)
class Alert:
    """An alert as of one batch; all seconds are epoch seconds.

    `first`..`last`: its offending seconds (health: those with a non-200 response). It is open as
    long as the event clock of one of its `servers` is not after `until`. `peak` is the highest
    count, `peak_second` the earliest second that has it. `merged_into` is an id.
    """

    kind: str
    key: str
    first: int
    last: int
    until: int
    peak: int
    peak_second: int
    servers: tuple[str, ...]
    state: str = OPEN
    merged_into: str = ""
    seq: int = 0
    batch: int = NEVER

    @property
    def id(self) -> str:
        """Kind, key and first second: `ddos/1.2.3.4/2015-05-18T09:05:59Z`."""
        return f"{self.kind}/{self.key}/{instant(self.first)}"

    @classmethod
    def of(cls, text: str) -> "Alert":
        """From `text()`."""
        fields = json.loads(text)
        return cls(**{**fields, "servers": tuple(fields["servers"])})

    def text(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self))

    def content(self) -> dict[str, Any]:
        """Its fields without its history: a change of the alert is a change of these."""
        return {key: value for key, value in asdict(self).items() if key not in _HISTORY}


class Change(NamedTuple):
    """The change of an alert by a batch: `before` is None for a new one."""

    before: Alert | None
    after: Alert

    @property
    def event(self) -> str:
        """`open` (a reopened one, too), `update`, `resolved` or `merged-into`."""
        if self.after.state == MERGED:
            return MERGED_INTO
        same = self.before is not None and self.before.state == self.after.state
        return UPDATE if same else self.after.state

    def steps(self) -> list["Change"]:
        """The changes as they are reported: an alert that is new and over was open before."""
        if self.before is not None or self.after.state != RESOLVED:
            return [self]
        opened = replace(self.after, state=OPEN, seq=self.after.seq - 1)
        return [Change(None, opened), Change(opened, self.after)]


class Span(NamedTuple):
    """A stretch that is too bad, as far as it was looked at, from `start` to `until`.

    `first` is the second that opens an alert, None where there is none in it; `last` the last
    offending second, NEVER where there is none.
    """

    start: int
    first: int | None
    last: int
    until: int
    peak: int
    peak_second: int
    servers: frozenset[str]


def span_of(alert: Alert) -> Span:
    """The stretch of an alert."""
    times = (alert.first, alert.first, alert.last, alert.until)
    return Span(*times, alert.peak, alert.peak_second, frozenset(alert.servers))


def offence(second: int, requests: int, servers: Iterable[str], gap_s: int) -> Span:
    """The stretch of one offending second of an IP."""
    return Span(second, second, second, second + gap_s, requests, second, frozenset(servers))


def runs(
    counts: Mapping[int, int], start: int, end: int, window_s: int, levels: tuple[int, int]
) -> list[Span]:
    """Where in start..end the sum over (t - window_s, t] is above a level; without servers.

    `counts` by second must reach back to start - window_s. `levels`: above the first an alert
    opens, at the second or below it is over.
    """
    steps: Counter[int] = Counter()
    for second, n in counts.items():
        if start - window_s < second <= end:
            steps[max(second, start)] += n
            steps[second + window_s] -= n
    spans: list[Span] = []
    total, above = 0, False
    for second in sorted(moment for moment in steps if moment <= end):
        total += steps[second]
        if total > levels[1]:
            step = _step(second, total, second in counts, levels[0])
            spans.append(_both(spans.pop(), step) if above else step)
        elif above:
            spans[-1] = spans[-1]._replace(until=second - 1)
        above = total > levels[1]
    return [*spans[:-1], spans[-1]._replace(until=end)] if above else spans


def join(stored: Sequence[Alert], spans: Iterable[Span]) -> list[tuple[Span, list[Alert]]]:
    """The stretches that these make together, in order, each with the alerts that are part of it.

    Two are one where they have a second in common. One in which no alert opens is left out.
    """
    parts: list[tuple[Span, list[Alert]]] = [(span_of(alert), [alert]) for alert in stored]
    parts += [(span, []) for span in spans]
    joined: list[tuple[Span, list[Alert]]] = []
    for span, alerts in sorted(parts, key=lambda part: part[0].start):
        if joined and span.start <= joined[-1][0].until:
            whole, others = joined[-1]
            joined[-1] = (_both(whole, span), [*others, *alerts])
        else:
            joined.append((span, alerts))
    return [(span, alerts) for span, alerts in joined if span.first is not None]


def clock_of(servers: Iterable[str], clocks: Mapping[str, int]) -> int:
    """The event clock that resolves an alert of these servers, of which each has one.

    Each server has its own, and it may be wrong by hours. An alert is over once all of its servers
    are past it: one that has not got there may still go on.
    """
    return min(clocks[server] for server in servers)


def alert_of(kind: str, key: str, span: Span, clocks: Mapping[str, int]) -> Alert:
    """The alert of a stretch in which one opens, by the servers' clocks; not numbered yet."""
    first = span.start if span.first is None else span.first
    state = OPEN if clock_of(span.servers, clocks) <= span.until else RESOLVED
    counted = (span.peak, span.peak_second, tuple(sorted(span.servers)))
    return Alert(kind, key, first, span.last, span.until, *counted, state)


TABLE = ("id", "state", "last", "peak", "peak_second", "servers")
COLUMNS = (
    *("id", "kind", "key", "state", "first", "last", "until", "peak", "peak_second"),
    *("servers", "merged_into", "seq", "batch"),
)


def flat(alert: Alert) -> dict[str, Any]:
    """The alert as a row of COLUMNS, its text as `escape.show_bytes` shows it, instants as ISO UTC.

    `servers` are joined by commas; `merged_into` is None where it is not.
    """
    moments = {key: instant(getattr(alert, key)) for key in _MOMENTS}
    names = {"id": show_bytes(alert.id), "key": show_bytes(alert.key)}
    names["servers"] = ",".join(alert.servers)
    into = {"merged_into": show_bytes(alert.merged_into) or None}
    row = asdict(alert) | moments | names | into
    return {key: row[key] for key in COLUMNS}


_MOMENTS = ("first", "last", "until", "peak_second")


def _step(second: int, total: int, event: bool, opens: int) -> Span:
    first = second if total > opens else None
    return Span(second, first, second if event else NEVER, second, total, second, frozenset())


def _both(one: Span, other: Span) -> Span:
    """Two stretches that have a second in common, or follow one another."""
    firsts = [span.first for span in (one, other) if span.first is not None]
    peak, earliest = max((one.peak, -one.peak_second), (other.peak, -other.peak_second))
    return Span(
        min(one.start, other.start),
        min(firsts, default=None),
        max(one.last, other.last),
        max(one.until, other.until),
        peak,
        -earliest,
        one.servers | other.servers,
    )
