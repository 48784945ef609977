"""The sums of the minutes that batches touch, in memory, so that a batch need not read them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from clickstream.views.realtime import counts
from clickstream.views.realtime.counts import Counts, Leaf

MAX_LEAVES = 1_000_000

Slot = tuple[str, int]


class Recent:
    """Sums by (metric, minute) of the partials stored before the batch at hand.

    A minute that is not in memory is loaded when it is touched; the ones touched longest ago are
    dropped once there are more than MAX_LEAVES counts.
    """

    def __init__(self, load: Callable[[list[Slot]], Iterable[tuple[Slot, Iterable[Leaf]]]]) -> None:
        self._load = load
        self._sums: OrderedDict[Slot, Counts] = OrderedDict()
        self._leaves: dict[Slot, int] = {}

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
            self._leaves[slot] += counts.add(self._sums[slot], stored)

    def add(self, slot: Slot, more: Counts) -> None:
        """Add a batch's partial to a minute that was touched."""
        self._leaves[slot] += counts.add(self._sums[slot], counts.leaves(more))

    def sums(self, slot: Slot) -> Counts:
        """The sums of a minute that was touched."""
        return self._sums[slot]

    def trim(self) -> None:
        """Drop the minutes touched longest ago while there are too many counts."""
        total = sum(self._leaves.values())
        while total > MAX_LEAVES and self._sums:
            slot, _ = self._sums.popitem(last=False)
            total -= self._leaves.pop(slot)
