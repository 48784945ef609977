"""Counts per server, second and key: how they are summed, cut to windows, and put into text.

A metric's counts are `{server: {second: {key: n}}}`; seconds are epoch seconds. The metrics:

ip        requests by client, over every server    key: the host as printed
category  requests by category                     key: the category
non_200   requests whose status is not healthy (`speed.healthy_statuses`, 200)  key: the status
minute    requests by printed minute               key: success | failure | other; the "second" is
          the printed wall clock, taken as if it were UTC
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from clickstream.rows import ALL

IP, CATEGORY, NON_200, MINUTE = "ip", "category", "non_200", "minute"
METRICS = (IP, CATEGORY, NON_200, MINUTE)
MINUTE_S = 60
PIECE_CHARS = 500_000
NAME_CHARS = 1000

Counts = dict[str, dict[int, dict[str, int]]]
Leaf = tuple[str, int, str, int]


def minute_of(second: int) -> int:
    """The minute a second lies in, by its first second: the grain of a stored row."""
    return second // MINUTE_S * MINUTE_S


def leaves(counts: Counts) -> Iterator[Leaf]:
    """Every (server, second, key, n)."""
    for server, seconds in counts.items():
        for second, keys in seconds.items():
            for key, n in keys.items():
                yield server, second, key, n


def add(counts: Counts, more: Iterable[Leaf]) -> int:
    """Add to `counts` in place; returns how many new leaves it has grown by."""
    grown = 0
    for server, second, key, n in more:
        keys = counts.setdefault(server, {}).setdefault(second, {})
        grown += key not in keys
        keys[key] = keys.get(key, 0) + n
    return grown


def add_packed(counts: Counts, text: str) -> None:
    """Add one piece in place; a second of a server that is new is taken as it is."""
    for server, seconds in json.loads(text).items():
        mine = counts.setdefault(server, {})
        for second, keys in seconds.items():
            before = mine.setdefault(int(second), keys)
            if before is not keys:
                for key, n in keys.items():
                    before[key] = before.get(key, 0) + n


def pack(counts: Counts) -> list[str]:
    """JSON texts that hold the counts, none much longer than PIECE_CHARS.

    Equal counts give equal pieces, in whatever order they were added: a repeated batch must
    overwrite its own pieces, one by one.
    """
    text = _text(counts)
    if len(text) <= PIECE_CHARS:
        return [text]
    ordered = sorted(leaves(counts))
    if len(ordered) == 1:
        return [text]
    half = len(ordered) // 2
    return [*pack(_summed(ordered[:half])), *pack(_summed(ordered[half:]))]


def unpack(text: str) -> Iterator[Leaf]:
    """The leaves of one piece."""
    for server, seconds in json.loads(text).items():
        for second, keys in seconds.items():
            for key, n in keys.items():
                yield server, int(second), key, n


def by_server(minutes: Iterable[Counts], start: int, end: int) -> dict[str, Counter[str]]:
    """Sums by server and key over (start, end]."""
    sums: dict[str, Counter[str]] = {}
    for counts in minutes:
        for server, seconds in counts.items():
            mine = sums.setdefault(server, Counter())
            for second, keys in seconds.items():
                if start < second <= end:
                    for key, n in keys.items():
                        mine[key] += n
    return sums


def of(sums: Mapping[str, Counter[str]], server: str) -> Counter[str]:
    """One server's sums, or those of `all` servers together."""
    if server != ALL:
        return sums.get(server, Counter())
    total: Counter[str] = Counter()
    for each in sums.values():
        total.update(each)
    return total


def per_second(counts: Counts, server: str) -> dict[int, int]:
    """Sums by second over every key, of a server or of `all`."""
    sums: Counter[int] = Counter()
    for name, seconds in counts.items():
        for second, keys in seconds.items() if server in (name, ALL) else ():
            sums[second] += sum(keys.values())
    return dict(sums)


def by_second(minutes: Iterable[Counts], server: str, start: int, end: int) -> Counter[int]:
    """One server's sums by second over every key, of (start, end]."""
    sums: Counter[int] = Counter()
    for each in minutes:
        for second, keys in each.get(server, {}).items():
            if start < second <= end:
                sums[second] += sum(keys.values())
    return sums


def seconds_of(minutes: Mapping[tuple[str, int], Counts], metric: str) -> dict[str, set[int]]:
    """By server the seconds that a metric has in counts by (metric, minute)."""
    seconds: dict[str, set[int]] = {}
    for (name, _), counts in minutes.items():
        for server, keys in counts.items() if name == metric else ():
            seconds.setdefault(server, set()).update(keys)
    return seconds


def keys_of(counts: Counts) -> dict[int, set[str]]:
    """The keys of each second, over every server."""
    keys: dict[int, set[str]] = {}
    for seconds in counts.values():
        for second, each in seconds.items():
            keys.setdefault(second, set()).update(each)
    return keys


def servers_of(counts: Counts, second: int, key: str) -> frozenset[str]:
    """The servers that have counted a key in a second."""
    return frozenset(name for name, seconds in counts.items() if key in seconds.get(second, {}))


def peak(seconds: Mapping[int, int], window_s: int, first: int) -> tuple[int, int] | None:
    """The highest sum over (t - window_s, t] for the seconds t >= first that have a count.

    Returns (t, sum), the earliest t on a tie; None where no second has a count.
    """
    best: tuple[int, int] | None = None
    ordered = sorted(seconds)
    total = oldest = 0
    for second in ordered:
        total += seconds[second]
        while ordered[oldest] <= second - window_s:
            total -= seconds[ordered[oldest]]
            oldest += 1
        if second >= first and (best is None or total > best[1]):
            best = (second, total)
    return best


def over_threshold(
    counts: Counts, second: int, hosts: Collection[str], limit: int
) -> dict[str, int]:
    """Those of the hosts whose requests in that second, over every server, are above the limit."""
    servers = [seconds[second] for seconds in counts.values() if second in seconds]
    share = limit // max(1, len(servers))  # above it on one server at least
    some = {host for keys in servers for host, n in keys.items() if n > share}
    totals = {host: sum(keys.get(host, 0) for keys in servers) for host in some.intersection(hosts)}
    return {host: total for host, total in totals.items() if total > limit}


def named(key: str) -> str:
    """A client's name where it is part of a row's key, which Cassandra takes up to 64 KiB only.

    A longer one is cut; its digest keeps it apart from others.
    """
    if len(key) <= NAME_CHARS:
        return key
    return f"{key[:NAME_CHARS]}…{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def sql_named(key: str) -> str:
    """Spark SQL: `named` of a column."""
    cut = f"concat(left({key}, {NAME_CHARS}), '…', left(sha2({key}, 256), 16))"
    return f"if(length({key}) <= {NAME_CHARS}, {key}, {cut})"


def top(sums: Mapping[str, int], size: int) -> list[tuple[str, int]]:
    """The largest first, ties by key."""
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:size]


def _summed(ordered: list[Leaf]) -> Counts:
    counts: Counts = {}
    add(counts, ordered)
    return counts


def _text(counts: Counts) -> str:
    return json.dumps(counts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
