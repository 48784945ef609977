"""The flow from the spools to the stores: how full each part is, and when all are empty."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from clickstream import faultpoints, master
from clickstream.clients import kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning, ServiceFailed
from clickstream.ingest import orphans
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import REFUSED_SECONDS, ROOM_HINT, START_HINT, Agent
from clickstream.ingest.spool.chunks import Spool
from clickstream.ledger import VALID, Ledger
from clickstream.weblog import formats

INTERVAL_S = 0.2
CLOSING_S = 5.0
ASK_INTERVAL_S = 1.0
Notify = Callable[[str], None]


class Backlog(NamedTuple):
    """Lines on their way; `where` is a sentence's end, `size` falls as it moves, `moved` grows."""

    where: str
    size: int
    moved: int


def require_edges(settings: Settings, servers: Iterable[str]) -> None:
    """NotRunning unless the edge agent of each server runs in this home.

    ClickstreamError where one of them, or a collector that runs here, was started with other
    settings than those of now: lines would go where nobody looks for them. BadInput for a format
    that would misread stored lines.
    """
    formats.check_home(settings)
    edges = [Agent(settings, settings.servers[server].agent) for server in servers]
    for agent in edges:
        if agent.running() is None:
            raise NotRunning(f"{agent.name} is not running", START_HINT)
    for agent in (*edges, Agent(settings, settings.collector)):
        if agent.outdated():
            raise ClickstreamError(
                f"{agent.name} runs with another configuration than the settings ask for",
                f"stop it and start it: clickstream ingest stop {agent.name}, ingest start",
            )


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
    """Tell whether there is room for another chunk: spools not crowded, no channel nearly full."""

    def __init__(self, settings: Settings, ledger: Ledger, spools: Mapping[str, Spool]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._spools = spools
        self._channels = _Channels(settings)
        self._room = _RoomInHdfs(settings)

    def wait(self, notify: Notify) -> None:
        """Wait for room; raises ServiceFailed when nothing moves for a while."""
        watch = _watch(self._settings)
        while backlog := self._crowded() or self._full():
            notify(backlog.where)
            watch.see(backlog)
            self._room.check()
            time.sleep(INTERVAL_S)

    def _crowded(self) -> Backlog | None:
        waiting = tidy(self._ledger, self._spools)
        if max(waiting.values()) < self._settings.replay.max_spooled_chunks:
            return None
        return Backlog(
            "the agents to take the spooled chunks", sum(waiting.values()), self._channels.taken()
        )

    def _full(self) -> Backlog | None:
        fullest = max(self._channels.all(), key=lambda each: each.fill, default=None)
        if fullest is None or fullest.fill < self._settings.replay.pause_fill_percent:
            return None
        return fullest.backlog()


class _Channel(NamedTuple):
    """One channel: `fill` in per cent, how many events it holds, how many have left it."""

    name: str
    fill: float
    held: int
    taken: int

    def backlog(self) -> Backlog:
        return Backlog(f"{self.name} to drain", self.held, self.taken)


class _Channels:
    """The channels of this home's agents that answer, asked at most once a second."""

    def __init__(self, settings: Settings) -> None:
        self._agents = [Agent(settings, name) for name in agent_config.agents(settings)]
        self._queried_at = -ASK_INTERVAL_S
        self._channels: list[_Channel] = []

    def all(self) -> list[_Channel]:
        """Every channel that is up."""
        if time.monotonic() - self._queried_at >= ASK_INTERVAL_S:
            self._channels = [each for agent in self._agents for each in self._channels_of(agent)]
            self._queried_at = time.monotonic()
        return self._channels

    def taken(self) -> int:
        """The number of events that left the edge agents, which send them once they are taken."""
        edges = tuple(f"{agent.name}/" for agent in self._agents if agent.server)
        return sum(each.taken for each in self.all() if each.name.startswith(edges))

    def _channels_of(self, agent: Agent) -> list[_Channel]:
        try:
            return _up(agent)
        except NotRunning:
            return []


def fills(settings: Settings) -> dict[str, float]:
    """The fill, in per cent, of each channel of this home's agents that answer."""
    return {each.name: each.fill for each in _Channels(settings).all()}


def drain(settings: Settings, notify: Notify) -> None:
    """Return when every spooled line is in Kafka and in a closed master or quarantine file.

    In the order in which lines travel, and twice: an agent may have died and come back behind our
    back. What does not answer is waited for. Raises ServiceFailed with the reason when nothing
    moves for `replay.wait_timeout_seconds`, ClickstreamError when Kafka holds fewer lines than
    were valid.
    """
    spools = {name: Spool(settings.files.spool(name)) for name in settings.servers}
    edges = [server.agent for server in settings.servers.values()]
    channels = _Channels(settings)
    with Ledger.open(settings.files.ledger) as ledger:
        stages: list[Callable[[], Backlog]] = [
            lambda: Backlog(
                "the spools to empty", sum(tidy(ledger, spools).values()), channels.taken()
            ),
            lambda: _in_channels(settings, edges),
            _InCollector(settings).backlog,
            _OpenFiles(settings).backlog,
        ]
        room = _RoomInHdfs(settings)
        for stage in (*stages, *stages):
            _wait_empty(stage, settings, notify, room)
        _check_kafka(settings, ledger)


class _InCollector:
    """The collector's channels. A transaction of as many days as lines takes minutes.

    So each file that it closes is a step, too, as long as no write has failed since the last
    transaction: what fails is begun again for ever.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._taken = self._failed = -1

    def backlog(self) -> Backlog:
        """The backlog of its fullest channel; raises NotRunning."""
        backlog = _in_channels(self._settings, [self._settings.collector])
        agent = Agent(self._settings, self._settings.collector)
        failed = agent.sinks_total("EventWriteFail")
        if backlog.moved != self._taken:
            self._taken, self._failed = backlog.moved, failed
        steps = agent.sinks_total("ConnectionClosedCount") if failed == self._failed else 0
        return backlog._replace(moved=backlog.moved + steps)


class _OpenFiles:
    """The files that the collector has open, once its channels are empty.

    It closes them by itself when nothing comes for a while, but not one that it has given up
    because a call took too long or failed: such a file is closed here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        ours = settings.flume
        self._patience_s = ours.idle_timeout_seconds + ours.call_timeout_seconds + CLOSING_S
        self._since: dict[str, float] = {}

    def backlog(self) -> Backlog:
        """The number of files that are open; raises NotRunning without HDFS."""
        now = time.monotonic()
        open_files = master.in_use(Hdfs.connect(self._settings), self._settings)
        self._since = {entry.path: self._since.get(entry.path, now) for entry in open_files}
        old = [
            entry
            for entry in open_files
            if master.is_stuck(entry) or now - self._since[entry.path] > self._patience_s
        ]
        closed = len(orphans.recover(self._settings, old)) if old else 0
        return Backlog("files in HDFS to close", len(open_files), closed)


class _Watch:
    """Notices that nothing moves."""

    def __init__(self, timeout_s: float, reason: Callable[[], str]) -> None:
        self._timeout_s = timeout_s
        self._reason = reason
        self._last: Backlog | None = None
        self._since = time.monotonic()

    def see(self, backlog: Backlog) -> None:
        """Raises ServiceFailed when the backlog has been the same for the whole time."""
        if backlog != self._last:
            self._last, self._since = backlog, time.monotonic()
        elif time.monotonic() - self._since > self._timeout_s:
            raise ServiceFailed(
                f"waited for {backlog.where}, but nothing moved for {self._timeout_s:g} s"
                f"{self._reason()}",
                "look at: clickstream ingest status",
            )


class _RoomInHdfs:
    """Notices that HDFS lacks room: the collector tries again for ever, and nothing frees it.

    A refusal alone is no end: room may come back as idle files are closed.
    """

    def __init__(self, settings: Settings) -> None:
        self._collector = Agent(settings, settings.collector)
        self._written = -1
        self._since = self._looked = time.time()

    def check(self) -> None:
        """Raises ServiceFailed where it refused blocks, and took nothing, for a while."""
        now = time.time()
        if now - self._looked < ASK_INTERVAL_S:
            return
        self._looked = now
        try:
            written = self._collector.sinks_total("EventDrainSuccessCount")
        except NotRunning:  # told by others, if it matters
            return
        if written != self._written:
            self._written, self._since = written, now
        elif now - self._since > REFUSED_SECONDS and (
            refused := self._collector.refused(now - REFUSED_SECONDS)
        ):
            raise ServiceFailed(refused, ROOM_HINT)


def _watch(settings: Settings) -> _Watch:
    return _Watch(settings.replay.wait_timeout_seconds, partial(_reason, settings))


def _reason(settings: Settings) -> str:
    """Name the reason why nothing moves, if it is known: a store, else an agent, in trouble."""
    try:
        kafka.offsets(settings)
        Hdfs.connect(settings).stat(settings.hdfs.master)
    except ClickstreamError as error:
        return f": {error.message}"
    for agent in (Agent(settings, name) for name in agent_config.agents(settings)):
        try:
            trouble = agent.trouble()
        except NotRunning as silence:
            trouble = silence.message
        if trouble:
            return f": {trouble}"
    errors = {name: Agent(settings, name).last_error() for name in agent_config.agents(settings)}
    latest = max(errors, key=lambda name: errors[name])
    return f"; the last error is {latest}'s: {errors[latest]}" if errors[latest] else ""


def _wait_empty(
    stage: Callable[[], Backlog], settings: Settings, notify: Notify, room: "_RoomInHdfs"
) -> None:
    watch = _watch(settings)
    while (backlog := _query(stage)).size > 0:
        notify(backlog.where)
        watch.see(backlog)
        room.check()
        time.sleep(INTERVAL_S)


def _query(stage: Callable[[], Backlog]) -> Backlog:
    try:
        return stage()
    except NotRunning as silence:
        return Backlog(f"an answer ({silence.message})", 1, 0)


def _in_channels(settings: Settings, names: Iterable[str]) -> Backlog:
    """The backlog of the fullest channel of the agents.

    Not a sum: while one branch of the collector stands still, copies may go round in the other.
    """
    channels = [each for name in names for each in _declared(settings, name)]
    return max(channels, key=lambda each: each.held).backlog()


def _declared(settings: Settings, name: str) -> list[_Channel]:
    """Every declared channel of an agent; NotRunning while one is not up: it may hold events."""
    agent = Agent(settings, name)
    channels = _up(agent)
    buffers = {channel.name for channel in agent.buffers()}
    if not channels or buffers - {each.name.partition("/")[2] for each in channels}:
        raise NotRunning(f"{name}'s channels are not up", START_HINT)
    return channels


def _up(agent: Agent) -> list[_Channel]:
    return [
        _Channel(
            f"{agent.name}/{bean.component.name}",
            float(bean.counters["ChannelFillPercentage"]),
            bean.held(),
            bean.number("EventTakeSuccessCount"),
        )
        for bean in agent.channels()
        if bean.up()
    ]


def _check_kafka(settings: Settings, ledger: Ledger) -> None:
    ends = {partition: end for partition, (_, end) in kafka.offsets(settings).items()}
    for server in settings.servers:
        valid = ledger.totals(server)[VALID]
        received = ends.get(kafka.partition_of(settings, server), 0)
        if received < valid:
            raise ClickstreamError(
                f"{server}: {valid} valid lines were spooled, but Kafka received {received}",
                "was the topic recreated? clickstream stack clean starts over",
            )
