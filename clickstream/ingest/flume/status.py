"""The rows of `ingest status`: each component of each agent, and why one is down."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.errors import NotRunning
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import REFUSED_SECONDS, ROOM_HINT, SPOOLING, Agent, Bean
from clickstream.ingest.flume.agent_config import Component

GUARANTEES = {
    "file": "what is committed survives a crash and kill -9",
    "memory": "what it holds is lost when the agent dies",
    "kafka": "what it took is in the topic; while Kafka is away, edge agents hold the lines of both"
    " branches",
}
TABLE = ("agent", "pid", "component", "state", "events_in", "events_out", "fill", "channel")
DIFFERS = "runs with another configuration than the settings ask for: stop it and start it"
_COUNTERS = {
    "source": ("EventReceivedCount", "EventAcceptedCount"),
    "channel": ("EventPutSuccessCount", "EventTakeSuccessCount"),
    "sink": ("EventDrainAttemptCount", "EventDrainSuccessCount"),
}


class Status(NamedTuple):
    """One component of an agent.

    `state` is up or down; the numbers of events count since the agent's start and are None while
    it does not answer; `fill` is in per cent; `channel` (file, memory or kafka) and its `guarantee`
    are None for what is no channel, `events_out` and `fill` for the topic. `configuration` is
    `current` or `differs` from what the settings of now ask for, None while the agent does not run.
    `last_error` is that of the component where the log distinguishes it, else of the agent since
    its last start; empty where there is none.
    """

    agent: str
    pid: int | None
    component: str
    state: str
    events_in: int | None
    events_out: int | None
    fill: float | None
    channel: str | None
    guarantee: str | None
    configuration: str | None
    last_error: str


def status(settings: Settings, names: list[str]) -> list[Status]:
    """Each component that each agent (named, or all) declares; never fails for one that is down.

    An agent that was never started here is one row, whose component is empty.
    """
    agents = (Agent(settings, name) for name in agent_config.chosen(settings, names))
    return [row for agent in agents for row in _rows(agent)]


def notes(rows: Sequence[Status]) -> str:
    """The lines below the table: errors, configuration, guarantees."""
    lines: list[str] = []
    for agent in dict.fromkeys(row.agent for row in rows):
        own = [row for row in rows if row.agent == agent]
        for error in dict.fromkeys(row.last_error for row in own if row.last_error):
            parts = [row.component for row in own if row.last_error == error]
            where = "" if len(parts) == len(own) else f" ({', '.join(parts)})"
            lines.append(f"{agent}{where}: {error}")
        if any(row.configuration == "differs" for row in own):
            lines.append(f"{agent}: {DIFFERS}")
    kinds = dict.fromkeys(row.channel for row in rows if row.channel)
    return "\n".join([*lines, *(f"channel {kind}: {GUARANTEES[kind]}" for kind in kinds)])


def all_up(rows: Sequence[Status]) -> bool:
    """Tell whether every component of every selected agent is up."""
    return all(row.state == "up" for row in rows)


def _rows(agent: Agent) -> Iterator[Status]:
    running = agent.running()
    beans, silence = _query(agent)
    refused = agent.refused(time.time() - REFUSED_SECONDS) if running else ""
    agent_row = Status(
        agent=agent.name,
        pid=running.pid if running else None,
        component="",
        state="down",
        events_in=None,
        events_out=None,
        fill=None,
        channel=None,
        guarantee=None,
        configuration=("differs" if agent.outdated() else "current") if running else None,
        last_error=(refused and f"{refused}; {ROOM_HINT}") or agent.last_error() or silence,
    )
    declared = sorted(agent.declared())
    for component in declared:
        yield _component_row(agent, agent_row, component, beans.get(component))
    if not declared:
        yield agent_row


def _query(agent: Agent) -> tuple[dict[Component, Bean], str]:
    """Ask the agent for its components; none, and the reason, where it does not answer."""
    try:
        return {bean.component: bean for bean in agent.beans()}, ""
    except NotRunning as silence:
        return {}, silence.message


def _component_row(
    agent: Agent, agent_row: Status, component: Component, bean: Bean | None
) -> Status:
    row = agent_row._replace(component=f"{component.kind} {component.name}")
    if component.kind == "channel":
        kind = agent.channel_types()[component.name]
        row = row._replace(channel=kind, guarantee=GUARANTEES.get(kind))
    if bean is None:
        return row._replace(last_error=row.last_error or "did not come up")
    came, went = _COUNTERS[component.kind]
    row = row._replace(
        state="up" if bean.up() else "down",
        events_in=bean.number(came),
        events_out=bean.number(went),
    )
    fill = bean.counters.get("ChannelFillPercentage")
    if row.channel == "kafka":  # nobody takes from it here, and it has no capacity
        return row._replace(events_out=None)
    if fill is not None:
        return row._replace(fill=round(float(fill), 2))
    return _spooling_row(agent, row, bean) if component == SPOOLING else row


def _spooling_row(agent: Agent, row: Status, bean: Bean) -> Status:
    """A spooling source that has died, or that waits for ever, is down while its process runs."""
    if bean.died():
        return row._replace(last_error=agent.error_of(SPOOLING))
    blocked = [path.name for path in agent.blocked_by()]
    if blocked:
        error = f"{blocked[0]!r} blocks the spooling directory"
        return row._replace(state="down", last_error=error)
    return row
