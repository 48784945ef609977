"""The highest trailing count of non-200 responses, kept for each server and partition of buckets.

A row is computed from the sums of the buckets alone, whenever a trailing count in it may have
changed, and never from the row before it: a batch that runs again makes the same rows, and it does
not matter in which order lines come.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from clickstream.views.realtime import counts
from clickstream.views.realtime.store import PART_S, part_of

STORE = (
    "INSERT INTO peaks (day, server, part, second, non_200) VALUES (?,?,?,?,?)"
    " USING TTL ? AND TIMESTAMP ?"
)
FORGET = "DELETE FROM peaks USING TIMESTAMP ? WHERE day = ?"
READ = "SELECT server, second, non_200 FROM peaks WHERE day = ?"


class Peak(NamedTuple):
    """The earliest `second` (epoch UTC) with the highest trailing count, `non_200`."""

    second: int
    non_200: int


def changed(
    touched: Mapping[str, Iterable[int]],
    window_s: int,
    non_200: Callable[[str, int, int], Mapping[int, int]],
) -> Iterator[tuple[str, int, Peak]]:
    """The (server, partition, peak) that change where these seconds of each server have changed.

    `non_200` gives a server's non-200 responses by second, of (start, end].
    """
    for server, seconds in touched.items():
        for part in sorted({part for second in seconds for part in _changed_by(second, window_s)}):
            around = non_200(server, part - window_s, part + PART_S - 1)
            if peak := counts.peak(around, window_s, part):
                yield server, part, Peak(*peak)


def highest(peaks: Iterable[tuple[str, Peak]]) -> dict[str, Peak]:
    """The highest of each server's peaks, the earliest on a tie."""
    best: dict[str, Peak] = {}
    for server, peak in peaks:
        if server not in best or _rank(peak) > _rank(best[server]):
            best[server] = peak
    return best


def _changed_by(second: int, window_s: int) -> range:
    """The partitions whose trailing counts a second is part of."""
    return range(part_of(second), second + window_s, PART_S)


def _rank(peak: Peak) -> tuple[int, int]:
    return peak.non_200, -peak.second
