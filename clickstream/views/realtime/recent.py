"""The sums of the minutes that batches touch, in memory, so that a batch need not read them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from clickstream.views.realtime import counts
from clickstream.views.realtime.counts import Counts, Leaf

MAX_LEAVES = 1_000_000
MINUTE_LEAVES = 200_000
UNBOUNDED = (counts.IP, counts.CATEGORY)

Slot = tuple[str, int]


class Recent:
    """Sums by (metric, minute) of the partials stored before the batch at hand.

    A minute that is not in memory is loaded when it is touched; the ones touched longest ago are
    dropped once there are more than MAX_LEAVES counts. A minute with more than MINUTE_LEAVES
    addresses or categories is not held: memory must not grow with a flood of them.
    """

    def __init__(self, load: Callable[[list[Slot]], Iterable[tuple[Slot, Iterable[Leaf]]]]) -> None:
        self._load = load
        self._sums: OrderedDict[Slot, Counts] = OrderedDict()
        self._leaves: dict[Slot, int] = {}
        self._big: set[Slot] = set()

    def touch(self, slots: Iterable[Slot]) -> None:
        """Have these minutes in memory, as the last to be dropped."""
        missing = []
        for slot in slots:
            if slot in self._sums:
                self._sums.move_to_end(slot)
            else:
                missing.append(slot)
                self._sums[slot], self._leaves[slot] = {}, 0
        for slot, stored in self._load(missing):
            self._grow(slot, stored)

    def add(self, slot: Slot, more: Counts) -> None:
        """Add a batch's partial to a minute that was touched."""
        self._grow(slot, counts.leaves(more))

    def is_big(self, slot: Slot) -> bool:
        """Whether a minute that was touched has too many counts to be held."""
        return slot in self._big

    def sums(self, slot: Slot) -> Counts:
        """The sums of a minute that was touched; nothing of a big one."""
        return self._sums[slot]

    def trim(self) -> None:
        """Drop the minutes touched longest ago while there are too many counts."""
        total = sum(self._leaves.values())
        while total > MAX_LEAVES and self._sums:
            slot, _ = self._sums.popitem(last=False)
            total -= self._leaves.pop(slot)
            self._big.discard(slot)

    def _grow(self, slot: Slot, more: Iterable[Leaf]) -> None:
        if slot in self._big:
            return
        self._leaves[slot] += counts.add(self._sums[slot], more)
        if slot[0] in UNBOUNDED and self._leaves[slot] > MINUTE_LEAVES:
            self._big.add(slot)
            self._sums[slot], self._leaves[slot] = {}, 0
