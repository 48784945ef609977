"""The sums of the minutes that batches touch, in memory, so that a batch need not read them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from clickstream.views.realtime import counts
from clickstream.views.realtime.counts import Counts, Leaf

MAX_LEAVES = 1_000_000
MINUTE_LEAVES = 200_000
UNBOUNDED = (counts.IP, counts.CATEGORY)

MinuteKey = tuple[str, int]


class Recent:
    """Sums by (metric, minute) of the partials stored before the batch at hand.

    A minute that is not in memory is loaded when it is touched; the ones touched longest ago are
    dropped once there are more than MAX_LEAVES counts. A minute with more than MINUTE_LEAVES
    addresses or categories is not held: memory must not grow with a flood of them.
    """

    def __init__(
        self, load: Callable[[list[MinuteKey]], Iterable[tuple[MinuteKey, Iterable[Leaf]]]]
    ) -> None:
        self._load = load
        self._sums: OrderedDict[MinuteKey, Counts] = OrderedDict()
        self._leaves: dict[MinuteKey, int] = {}
        self._big: set[MinuteKey] = set()

    def touch(self, keys: Iterable[MinuteKey]) -> None:
        """Have these minutes in memory, as the last to be dropped."""
        missing = []
        for key in keys:
            if key in self._sums:
                self._sums.move_to_end(key)
            else:
                missing.append(key)
                self._sums[key], self._leaves[key] = {}, 0
        for key, stored in self._load(missing):
            self._grow(key, stored)

    def add(self, key: MinuteKey, more: Counts) -> None:
        """Add a batch's partial to a minute that was touched."""
        self._grow(key, counts.leaves(more))

    def is_big(self, key: MinuteKey) -> bool:
        """True where a minute that was touched has too many counts to be held."""
        return key in self._big

    def sums(self, key: MinuteKey) -> Counts:
        """The sums of a minute that was touched; nothing of a big one."""
        return self._sums[key]

    def trim(self) -> None:
        """Drop the minutes touched longest ago while there are too many counts."""
        total = sum(self._leaves.values())
        while total > MAX_LEAVES and self._sums:
            key, _ = self._sums.popitem(last=False)
            total -= self._leaves.pop(key)
            self._big.discard(key)

    def _grow(self, key: MinuteKey, more: Iterable[Leaf]) -> None:
        if key in self._big:
            return
        self._leaves[key] += counts.add(self._sums[key], more)
        if key[0] in UNBOUNDED and self._leaves[key] > MINUTE_LEAVES:
            self._big.add(key)
            self._sums[key], self._leaves[key] = {}, 0
