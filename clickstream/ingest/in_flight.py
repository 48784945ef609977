"""Lines that may still reach the stores: spools, the agents' channels, open files."""

from collections.abc import Iterable

from clickstream.config import Settings
from clickstream.errors import NotRunning
from clickstream.ingest.flume import agent_config
from clickstream.ingest.flume.agent import Agent
from clickstream.ingest.spool.chunks import Spool
from clickstream.ledger import Chunk


def waiting(settings: Settings, chunks: Iterable[Chunk]) -> dict[str, str]:
    """For each server, in words, what is on its way; "" where nothing is known to be."""
    lines = dict.fromkeys(settings.servers, 0)
    for chunk in chunks:
        if chunk.server in lines and not _taken(settings, chunk):
            lines[chunk.server] += chunk.lines
    collector = held(settings, settings.collector) or 0
    return {
        name: _in_words(lines[name], (held(settings, server.agent) or 0) + collector)
        for name, server in settings.servers.items()
    }


def unknown(settings: Settings) -> list[str]:
    """Agents that do not answer, and whose channels may hold lines."""
    return [name for name in agent_config.agents(settings) if held(settings, name) is None]


def _in_words(lines: int, events: int) -> str:
    texts = {f"{lines} lines in the spool": lines, f"{events} events in channels": events}
    return ", ".join(text for text, number in texts.items() if number)


def _taken(settings: Settings, chunk: Chunk) -> bool:
    spool = Spool(settings.files.spool(chunk.server))
    return spool.state(chunk) == "completed"


def held(settings: Settings, agent: str) -> int | None:
    """Events in the channels of an agent; None where it does not answer and may hold some."""
    flow = Agent(settings, agent)
    if flow.running() is None:
        return None if settings.files.channels(agent).exists() else 0
    try:
        return sum(channel.held() for channel in flow.channels())
    except NotRunning:
        return None
