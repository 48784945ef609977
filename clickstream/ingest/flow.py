"""What lies between a spool and the stores: how full it is, and when it has run empty."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from clickstream import faultpoints, kafka
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning, ServiceFailed
from clickstream.hdfs import Hdfs
from clickstream.ingest import flume, orphans
from clickstream.ingest.agent import Agent, Bean
from clickstream.ingest.spool import Spool
from clickstream.ledger import VALID, Ledger

INTERVAL_S = 0.2
FILL_INTERVAL_S = 1.0
Tell = Callable[[str], None]


class Backlog(NamedTuple):
    """What is on its way; `where` is a sentence's end, `size` falls as it moves, `moved` grows."""

    where: str
    size: int
    moved: int


def require_edges(settings: Settings, servers: Iterable[str]) -> None:
    """NotRunning unless the edge agent of each server runs in this home."""
    for server in servers:
        agent = settings.servers[server].agent
        if Agent(settings, agent).running() is None:
            raise NotRunning(f"{agent} is not running", "start it: clickstream ingest start")


def tidy(ledger: Ledger, spools: Mapping[str, Spool]) -> dict[str, int]:
    """Note and remove the chunks that agents have taken; how many still wait, by server."""
    waiting = dict.fromkeys(spools, 0)
    for server, spool in spools.items():
        for chunk in ledger.open_chunks(server):
            if spool.state(chunk) == "completed":
                ledger.finish(chunk)
                faultpoints.reached("finished")
                spool.remove_completed(chunk)
            else:
                waiting[server] += 1
    return waiting


class Room:
    """Whether there is room for another chunk: spools not crowded, no channel nearly full."""

    def __init__(self, settings: Settings, ledger: Ledger, spools: Mapping[str, Spool]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._spools = spools
        self._asked = 0.0

    def wait(self, tell: Tell) -> None:
        """Wait for room; raises ServiceFailed when nothing moves for a while."""
        watch = _Watch(self._settings.replay.wait_timeout_seconds)
        while backlog := self._crowded() or self._full():
            tell(backlog.where)
            watch.see(backlog)
            time.sleep(INTERVAL_S)

    def _crowded(self) -> Backlog | None:
        waiting = tidy(self._ledger, self._spools)
        if max(waiting.values()) < self._settings.replay.max_spooled_chunks:
            return None
        return Backlog("the agents to take the spooled chunks", sum(waiting.values()), 0)

    def _full(self) -> Backlog | None:
        """Asked once a second: a chunk is small against what is left of a channel."""
        if time.monotonic() - self._asked < FILL_INTERVAL_S:
            return None
        fill = max(fills(self._settings).values(), default=0.0)
        if fill < self._settings.replay.pause_fill_percent:
            self._asked = time.monotonic()
            return None
        return Backlog("a channel to drain", int(fill * 10_000), 0)


def fills(settings: Settings) -> dict[str, float]:
    """How full each channel of this home's running agents is, in per cent."""
    running = [name for name in flume.agents(settings) if Agent(settings, name).running()]
    return {
        f"{name}/{bean.component.name}": float(bean.counters["ChannelFillPercentage"])
        for name in running
        for bean in _channels(settings, name)
    }


def drain(settings: Settings, tell: Tell) -> None:
    """Return when every spooled line is in Kafka and in a closed master or quarantine file.

    In the order in which lines travel. Raises ServiceFailed when nothing moves for
    `replay.wait_timeout_seconds`, ClickstreamError when Kafka holds fewer lines than were valid.
    """
    spools = {name: Spool(settings.path("spool", name)) for name in settings.servers}
    hdfs = Hdfs.connect(settings)
    edges = [server.agent for server in settings.servers.values()]
    with Ledger.open(settings.path("ledger.db")) as ledger:
        stages: list[Callable[[], Backlog]] = [
            lambda: Backlog("the spools to empty", sum(tidy(ledger, spools).values()), 0),
            lambda: _in_channels(settings, edges),
            lambda: _in_channels(settings, [settings.collector]),
            lambda: Backlog("files in HDFS to close", len(orphans.in_use(hdfs, settings)), 0),
        ]
        for stage in stages:
            _wait_empty(stage, settings.replay.wait_timeout_seconds, tell)
        _check_kafka(settings, ledger)


class _Watch:
    """Notices that nothing moves."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last: Backlog | None = None
        self._since = time.monotonic()

    def see(self, backlog: Backlog) -> None:
        """Raises ServiceFailed when the backlog has been the same for the whole time."""
        if backlog != self._last:
            self._last, self._since = backlog, time.monotonic()
        elif time.monotonic() - self._since > self._timeout_s:
            raise ServiceFailed(
                f"waited for {backlog.where}, but nothing moved for {self._timeout_s:g} s",
                "look at: clickstream ingest status",
            )


def _wait_empty(stage: Callable[[], Backlog], timeout_s: float, tell: Tell) -> None:
    watch = _Watch(timeout_s)
    while (backlog := stage()).size > 0:
        tell(backlog.where)
        watch.see(backlog)
        time.sleep(INTERVAL_S)


def _in_channels(settings: Settings, names: Iterable[str]) -> Backlog:
    """Events that were put and are not yet taken for good, with what is left of earlier runs."""
    size = moved = 0
    for bean in (bean for name in names for bean in _channels(settings, name)):
        taken = bean.number("EventTakeSuccessCount")
        size += max(bean.number("ChannelSize"), bean.number("EventPutSuccessCount") - taken)
        moved += taken
    return Backlog("the channels to drain", size, moved)


def _channels(settings: Settings, name: str) -> list[Bean]:
    agent = Agent(settings, name)
    if agent.running() is None:
        raise NotRunning(f"{name} is not running", "start it: clickstream ingest start")
    return [bean for bean in agent.beans() if bean.component.kind == "channel"]


def _check_kafka(settings: Settings, ledger: Ledger) -> None:
    ends = {partition: end for partition, (_, end) in kafka.offsets(settings).items()}
    for server in settings.servers:
        valid = ledger.totals(server)[VALID]
        found = ends.get(kafka.partition_of(settings, server), 0)
        if found < valid:
            raise ClickstreamError(
                f"{server}: {valid} valid lines were spooled, but Kafka received {found}",
                "was the topic made anew? clickstream stack clean starts over",
            )
