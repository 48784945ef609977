"""The agents of a home together: rendered, started, stopped."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from clickstream.clients import endpoints, kafka
from clickstream.config import Settings
from clickstream.errors import NotRunning
from clickstream.home import exclusive
from clickstream.ingest import orphans
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import Agent, Notify
from clickstream.runtime.render import write


def render(settings: Settings, names: list[str], out: Path | None) -> list[str]:
    """Write the configuration of the agents named (or all), below `out` or in its own directory."""
    paths = []
    for name in agent_config.chosen(settings, names):
        reserve_ports(settings, name)
        directory = out / name if out else settings.files.agent(name)
        paths += write(agent_config.files(settings, name), directory)
    return [str(path) for path in paths]


def start(settings: Settings, names: list[str], notify: Notify) -> list[str]:
    """Start the agents named (or all) that do not run, the collector first; returns those started.

    One that runs with a part down is ended and started again. With the collector down, the files
    that an earlier one left open in HDFS are recovered first (where it runs, those that it has
    given up); with an edge agent down, unexpected files in its spooling directory are moved beside
    it. Both are reported by `notify`.
    """
    wanted = [Agent(settings, name) for name in agent_config.chosen(settings, names)]
    # One start at a time: another would take an agent that comes up for one with parts down.
    with exclusive(settings.files.agents_lock):
        idle = [agent for agent in wanted if _idle(agent, notify)]
        for agent in idle:
            reserve_ports(settings, agent.name)
        for collector in (agent for agent in wanted if agent.server is None):
            for path in _left_open(settings, collector in idle):
                notify(f"recovered {path}, left open by {collector.name}")
            if collector in idle:
                kafka.require_tls_as_configured(settings)
                kafka.ensure_topic(settings)
                kafka.require_write(settings)
                collector.start(notify)
        _start_edges([agent for agent in idle if agent.server], notify)
    return [agent.name for agent in idle]


def stop(settings: Settings, names: list[str]) -> list[str]:
    """Stop the agents named (or all), the collector last; returns those that ran."""
    wanted = [Agent(settings, name) for name in agent_config.chosen(settings, names)]
    with ThreadPoolExecutor() as pool:
        stopped = list(pool.map(Agent.stop, (agent for agent in wanted if agent.server)))
    stopped += [agent.stop() for agent in wanted if agent.server is None]
    ordered = sorted(wanted, key=lambda agent: agent.server is None)
    return [agent.name for agent, ran in zip(ordered, stopped, strict=True) if ran]


def reserve_ports(settings: Settings, agent: str) -> None:
    """Let the home remember a port for the agent's metrics and for the collector."""
    remembered = endpoints.remembered_ports(settings.home)
    wanted = [name for name in (f"{agent}_metrics", "collector") if name not in remembered]
    if settings.flume.collector_port and "collector" in wanted:
        wanted.remove("collector")
    endpoints.remember_ports(settings.home, endpoints.free_ports(wanted))


def _left_open(settings: Settings, idle: bool) -> list[str]:
    """The files recovered that a collector left open; with one that runs, HDFS may be away."""
    if idle:
        return orphans.recover(settings)
    with suppress(NotRunning):
        return orphans.recover(settings, orphans.given_up(settings))
    return []


def _idle(agent: Agent, notify: Notify) -> bool:
    """Tell whether the agent is to be started; one that runs with a part down is ended here."""
    if agent.running() is None:
        return True
    try:
        trouble = agent.trouble()
    except NotRunning as silent:
        trouble = silent.message
    if trouble:
        notify(f"{trouble}; starting {agent.name} again")
        agent.end()
    return bool(trouble)


def _start_edges(edges: Sequence[Agent], notify: Notify) -> None:
    """Side by side; when one fails or the user cancels, none is left half started."""
    cancelled = threading.Event()
    with ThreadPoolExecutor(max(len(edges), 1)) as pool:
        try:
            list(pool.map(lambda agent: agent.start(notify, cancelled), edges))
        except KeyboardInterrupt:
            cancelled.set()
            raise
