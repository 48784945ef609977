"""How many distinct visitors sets of digests hold together, by server and over all."""

import tempfile
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from struct import unpack
from typing import NamedTuple

from clickstream.rows import ALL
from clickstream.views.batch_tables import DIGEST_BYTES

RANGES = 128
"""As many as keep the sets of one range in a processor's cache: half the time of 16."""


class _Part(NamedTuple):
    """The digests of a server in order: where they begin and end in the file, in digests."""

    server: str
    start: int
    end: int


def by_server(sets: Iterable[tuple[str, bytes]]) -> Counter[str]:
    """The distinct digests of each server, and of `all`, in (server, digests in order) rows.

    The digests lie in a temporary file meanwhile, and are counted range by range of their values:
    memory is 120 bytes for each distinct one of a RANGES-th of them.
    """
    counts: Counter[str] = Counter()
    with tempfile.TemporaryFile() as file:
        parts = []
        for server, ordered in sets:
            start = file.tell() // DIGEST_BYTES
            file.write(ordered)
            parts.append(_Part(server, start, file.tell() // DIGEST_BYTES))
        if not file.tell():
            return counts
        file.flush()
        with mmap(file.fileno(), 0, access=ACCESS_READ) as digests:
            for number in range(1, RANGES + 1):
                parts = _count_below(number * 256 // RANGES, digests, parts, counts)
    return counts


def _count_below(byte: int, digests: mmap, parts: list[_Part], counts: Counter[str]) -> list[_Part]:
    """Count the digests that begin below a byte; returns what is left of the parts."""
    distinct: defaultdict[str, set[bytes]] = defaultdict(set)
    left = []
    for server, start, end in parts:
        cut = bisect_left(range(end), byte, lo=start, key=lambda n: digests[n * DIGEST_BYTES])
        text = digests[start * DIGEST_BYTES : cut * DIGEST_BYTES]
        # Slices would take a quarter longer, and 28 days may have millions.
        distinct[server].update(unpack(f"{DIGEST_BYTES}s" * (cut - start), text))
        left.append(_Part(server, cut, end))
    counts[ALL] += len(set().union(*distinct.values()))
    for server, each in distinct.items():
        counts[server] += len(each)
    return left
