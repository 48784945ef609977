"""Why a layer may have missed lines: what is known of it outside of the two views."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from clickstream import master
from clickstream.days import DAY_SECONDS
from clickstream.errors import NotRunning

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.batch import BatchViews
    from clickstream.views.realtime import RealTime

CAME_LATER = "came after the batch run"
NOT_CLOSED = "in files not closed at the batch run"
SET_ASIDE = "set aside by the stream"
SKIPPED = "skipped by the stream"
REPROCESSED = "reprocessed rejects, which the stream takes for copies"
NOT_READ = "in the topic, not read by the stream yet"
RESET = "gone from the topic before the views were reset"
FORGOTTEN = "forgotten by the real-time views (cassandra.ttl_days)"

T = TypeVar("T")
DayServer = tuple[str, str]


class Causes:
    """How many lines each layer may have missed, and why; lines that are explained are taken off.

    `batch`: by (day, server) the cause and the lines. `speed`: by server the lines of each cause;
    `forgotten` are the days of which the real-time views may have forgotten any number.
    """

    def __init__(
        self,
        batch: Mapping[DayServer, tuple[str, int]],
        speed: Mapping[str, Mapping[str, int]],
        forgotten: Iterable[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.notes = notes
        self._batch = {key: Counter({cause: n}) for key, (cause, n) in batch.items()}
        self._speed = {server: Counter(each) for server, each in speed.items()}
        self._forgotten = frozenset(forgotten)

    def of_batch(self, day: str, server: str, missed: int) -> tuple[list[str], int]:
        """The causes of so many lines that the batch layer has missed, and how many have none."""
        return _taken(self._batch.get((day, server), Counter()), missed)

    def of_speed(self, day: str, server: str, missed: int) -> tuple[list[str], int]:
        """The same of the speed layer."""
        causes, left = _taken(self._speed.get(server, Counter()), missed)
        if left and day in self._forgotten:
            return [*causes, f"{left} {FORGOTTEN}"], 0
        return causes, left


def collect(
    settings: "Settings", batch: "BatchViews", realtime: "RealTime", days: list[str]
) -> Causes:
    """What the ledger, the master dataset and the topic say of these days of the batch layer."""
    notes: list[str] = []
    closed_ms = {day: [file[2] for file in each.files] for day, each in batch.inputs(days).items()}
    unread = _reached(notes, "Kafka", lambda: _unread(settings, realtime))
    changed = _reached(notes, "HDFS", lambda: _changed(settings, batch, days))
    speed = {
        server: Counter({SET_ASIDE: each["set_aside"], SKIPPED: each["skipped"]})
        for server, each in realtime.status()["servers"].items()
    }
    for server, more in [*_reprocessed(settings).items(), *(unread or {}).items()]:
        speed.setdefault(server, Counter()).update(more)
    horizon_ms = 1000 * (time.time() - settings.cassandra.ttl_days * DAY_SECONDS)
    forgotten = [day for day, times in closed_ms.items() if times and min(times) < horizon_ms]
    return Causes(_not_counted(batch, days, changed or set()), speed, forgotten, notes)


def pruned_days(settings: "Settings") -> frozenset[str]:
    """The days that were pruned, as far as HDFS answers."""
    from clickstream import pruned
    from clickstream.clients.hdfs import Hdfs

    with suppress(NotRunning):
        return pruned.read(Hdfs.connect(settings), settings).days
    return frozenset()


def _not_counted(
    batch: "BatchViews", days: list[str], changed: set[DayServer]
) -> dict[DayServer, tuple[str, int]]:
    """By day and server: the lines of the logs that the batch layer has not counted."""
    counted = {(row["date"], row["server"]): row["requests"] for row in batch.visitors(days)}
    found = {}
    for day, servers in batch.valid_lines(days).items():
        for server, n in servers.items():
            cause = NOT_CLOSED if (day, server) in changed else CAME_LATER
            found[day, server] = cause, n - counted.get((day, server), 0)
    return found


def _changed(settings: "Settings", batch: "BatchViews", days: list[str]) -> set[DayServer]:
    """The days and servers of the master dataset with a file that no run of the day has read."""
    from clickstream.clients.hdfs import Hdfs

    hdfs = Hdfs.connect(settings)
    read = {tuple(file) for each in batch.inputs(days).values() for file in each.files}
    closed = [
        file.path
        for files in master.closed_files(hdfs, settings.hdfs.master, days).values()
        for file in files
        if tuple(file) not in read
    ]
    paths = [*closed, *(entry.path for entry in master.in_use(hdfs, settings))]
    return {key for path in paths for key in _partition(path)}


def _partition(path: str) -> list[DayServer]:
    found = dict(part.split("=", 1) for part in path.split("/") if part.count("=") == 1)
    return [(found["dt"], found["server"])] if {"dt", "server"} <= found.keys() else []


def _unread(settings: "Settings", realtime: "RealTime") -> dict[str, Counter[str]]:
    """By server: the topic's records that the views do not have, in the topic still or not."""
    from clickstream.clients import kafka

    read = {server: each["rows"] for server, each in realtime.status()["servers"].items()}
    found = {}
    for (_, (first, end)), server in zip(
        sorted(kafka.offsets(settings).items()), settings.servers, strict=False
    ):
        missing = max(0, end - read.get(server, 0))
        still = min(missing, end - first)
        found[server] = Counter({NOT_READ: still, RESET: missing - still})
    return found


def _reprocessed(settings: "Settings") -> dict[str, Counter[str]]:
    from clickstream.ledger import Ledger

    if not settings.files.ledger.is_file():
        return {}
    with Ledger.open(settings.files.ledger) as ledger:
        servers = Counter(server for server, _, _ in ledger.reprocessed())
    return {server: Counter({REPROCESSED: n}) for server, n in servers.items()}


def _reached(notes: list[str], name: str, ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except NotRunning as error:
        notes.append(f"without {name}, some causes are not known: {error.message}")
        return None


def _taken(known: Counter[str], missed: int) -> tuple[list[str], int]:
    causes = []
    for cause, n in known.items():
        if taken := min(n, missed):
            known[cause] -= taken
            missed -= taken
            causes.append(f"{taken} {cause}")
    return causes, missed
