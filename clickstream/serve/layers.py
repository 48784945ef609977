"""Both layers behind one question: each is opened when it is first needed, and may be away."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from clickstream.errors import ClickstreamError, NoData, NotRunning, no_line_yet
from clickstream.rows import Rows, Traffic
from clickstream.serve.merge import spans_of
from clickstream.serve.question import BATCH, MERGED, SPEED, Layer

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.batch import BatchViews
    from clickstream.views.realtime import RealTime
    from clickstream.views.realtime.reader import Volumes

T = TypeVar("T")


class Layers:
    """The readers of the two layers; None in place of one that is away or was not chosen.

    A layer is away when its database does not answer or has nothing; `away` then says why.
    """

    def __init__(
        self,
        batch: Callable[[], "BatchViews"],
        realtime: Callable[[], "RealTime"],
        chosen: Layer = MERGED,
    ) -> None:
        self.chosen = chosen
        self.away: dict[str, ClickstreamError] = {}
        self._open_batch = batch
        self._open_realtime = realtime
        self._read: tuple[set[str], tuple[list[Traffic], Volumes]] = set(), ([], {})

    @cached_property
    def runs(self) -> Rows:
        """The batch layer's days that hold lines, with `finished` and `final`; empty if away."""
        if self.chosen == SPEED:
            return []
        return self._reached(BATCH, lambda: _runs(self._open_batch())) or []

    @cached_property
    def batch(self) -> "BatchViews | None":
        """The batch views, if they hold a day."""
        return self._open_batch() if self.runs else None

    @cached_property
    def latest(self) -> int | None:
        """The speed layer's latest event second; None if it is away."""
        if self.chosen == BATCH:
            return None
        return self._reached(SPEED, lambda: _latest(self._open_realtime()))

    @cached_property
    def realtime(self) -> "RealTime | None":
        """The real-time views, if they hold a line."""
        return None if self.latest is None else self._open_realtime()

    def speed_minutes(self, days: Sequence[str]) -> "tuple[list[Traffic], Volumes]":
        """The speed layer's minutes of these days (in order), and the days' volumes.

        Those of fewer days are not read again.
        """
        if not days or self.realtime is None:
            return [], {}
        read, found = self._read
        if not set(days) <= read:
            read, found = self._read = set(days), self.realtime.minutes(spans_of(days))
        minutes, volumes = found
        chosen = set(days)
        return [minute for minute in minutes if minute.date in chosen], volumes

    def check(self) -> None:
        """Raise the reason where no chosen layer can answer."""
        if self.batch is None and self.realtime is None:
            reasons = list(self.away.values())
            raise reasons[0] from (reasons[1] if len(reasons) > 1 else None)

    def _reached(self, layer: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except (NotRunning, NoData) as error:
            self.away[layer] = error
            return None


class Connections(NamedTuple):
    """The connections of a home to both databases, each made when it is first asked for."""

    batch: Callable[[], "BatchViews"]
    realtime: Callable[[], "RealTime"]


@contextmanager
def connected(settings: "Settings") -> Iterator[Connections]:
    """The connections of a home; what was opened is closed again."""
    with ExitStack() as stack:

        def batch() -> "BatchViews":
            from clickstream.views.batch import BatchViews

            return stack.enter_context(BatchViews.connect(settings, reader=True))

        def realtime() -> "RealTime":
            from clickstream.views.realtime import RealTime

            return stack.enter_context(RealTime.connect(settings, reader=True))

        yield Connections(cache(batch), cache(realtime))


@contextmanager
def opened(settings: "Settings") -> Iterator[Layers]:
    """The layers of a home, for one question; what was opened is closed again."""
    with connected(settings) as connections:
        yield Layers(*connections)


def _runs(views: "BatchViews") -> Rows:
    runs = [run for run in views.runs(None) if run["lines"]]
    if not runs:
        raise NoData("the batch layer has not run yet", "run it: clickstream batch run")
    return runs


def _latest(views: "RealTime") -> int:
    latest = views.latest()
    if latest is None:
        raise no_line_yet()
    return latest
