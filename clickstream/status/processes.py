"""The processes: services of the stack, agents and their channels."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clickstream.config import Settings
from clickstream.errors import NotRunning
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume import status as flume
from clickstream.ingest.flume.agent import Agent
from clickstream.rows import Row
from clickstream.stack import local
from clickstream.status.part import Part, Problem, named

UP, STOPPED, DOWN, ABSENT = "up", "stopped", "down", "never started here"


def services(settings: Settings) -> Part:
    """The processes of the stack; one that is configured elsewhere shows by its own part."""
    rows = local.status(settings)
    missing = [row.process for row in rows if row.state == "stopped"]
    elsewhere = sorted({row.service for row in rows if row.state.startswith("elsewhere")})
    running = [row.process for row in rows if row.pid]
    texts = {"run": running, "stopped": missing, "elsewhere": elsewhere}
    summary = "; ".join(f"{', '.join(names)} {state}" for state, names in texts.items() if names)
    are = "are" if len(missing) > 1 else "is"
    problem = Problem(f"{named(missing)} {are} not running", "clickstream stack up")
    return Part(summary, [row._asdict() for row in rows], [problem] if missing else [])


def agents(settings: Settings) -> Part:
    """The agents as wholes; one that somebody has stopped, or that runs elsewhere, is no fault."""
    components: dict[str, list[flume.Status]] = defaultdict(list)
    for each in flume.status(settings, []):
        components[each.agent].append(each)
    rows = [_agent(settings, name, own) for name, own in components.items()]
    states: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        states[row["state"]].append(row["agent"])
    summary = "; ".join(f"{', '.join(names)} {state}" for state, names in states.items())
    return Part(summary, rows, [problem for row in rows for problem in _agent_problems(row)])


def _agent(settings: Settings, name: str, components: Sequence[flume.Status]) -> Row:
    up = sum(row.state == "up" for row in components)
    first = components[0]
    if not any(row.component for row in components):
        state = ABSENT
    elif first.pid is None and Agent(settings, name).state().stopped:
        state = STOPPED
    else:
        state = UP if up == len(components) else DOWN
    down = [row for row in components if row.state != "up" and row.component]
    return {
        "agent": name,
        "state": state,
        "pid": first.pid,
        "components": sum(bool(row.component) for row in components),
        "up": up,
        "down": ", ".join(row.component for row in down),
        "configuration": first.configuration,
        "last_error": next((row.last_error for row in (*down, first) if row.last_error), ""),
    }


def _agent_problems(row: Row) -> Iterator[Problem]:
    name = row["agent"]
    if row["state"] == DOWN:
        what = f": {row['down']} down" if row["pid"] else " does not run"
        because = f" ({row['last_error']})" if row["last_error"] else ""
        yield Problem(f"{name}{what}{because}", f"clickstream ingest start {name}")
    elif row["configuration"] == "differs":
        hint = f"clickstream ingest stop {name}, then clickstream ingest start {name}"
        yield Problem(f"{name} {flume.DIFFERS.partition(':')[0]}", hint)


def channels(settings: Settings) -> Part:
    """The channels of the agents that answer: events held, and how full they are."""
    rows, silent = [], []
    for name in agent_config.agents(settings):
        agent = Agent(settings, name)
        if agent.running() is None:
            silent += [name] * settings.files.channels(name).exists()
            continue
        try:
            kinds = agent.channel_types()
            rows += [_channel(name, kinds, bean) for bean in agent.channels()]
        except NotRunning:
            silent.append(name)
    held = [f"{row['channel']} {row['events']:,}{_fill(row)}" for row in rows if row["events"]]
    texts = [f"{', '.join(held)} events" if held else "empty"] if rows else []
    texts += [f"{', '.join(silent)} not running, may hold lines"] if silent else []
    limit = settings.replay.pause_fill_percent
    full = [row for row in rows if row["fill"] >= limit]
    hint = "what follows it does not take them: clickstream ingest status"
    problems = [Problem(f"{row['channel']} is {row['fill']:g} % full", hint) for row in full]
    return Part("; ".join(texts) or "no agent runs here", rows, problems)


def _channel(agent: str, kinds: Mapping[str, str], bean: Any) -> Row:
    return {
        "agent": agent,
        "channel": f"{agent}/{bean.component.name}",
        "kind": kinds[bean.component.name],
        "events": bean.held(),
        "fill": round(float(bean.counters["ChannelFillPercentage"]), 2),
    }


def _fill(row: Row) -> str:
    return f" ({row['fill']:g} %)" if row["fill"] else ""
