"""The agents of this host: up, and with the configuration that the settings ask for."""

from collections.abc import Iterator, Sequence

from clickstream.config import Settings
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.rows import Row
from clickstream.status import processes
from clickstream.status.part import Part
from clickstream.status.processes import ABSENT, DOWN


def check(settings: Settings) -> Iterator[Finding]:
    """What runs here of the agents."""
    yield from of(processes.agents(settings))
    if settings.flume.channel == "memory":
        text = "the channels are in memory: an agent that dies loses what they hold"
        yield warning(text, 'flume.channel = "file"')


def of(part: Part) -> Iterator[Finding]:
    """What is wrong with an agent, and the agents with which nothing is."""
    for each in part.problems:
        yield problem(each.text, each.hint)
    yield from (ok(text) for text in _well(part.rows))


def _well(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row["state"] == ABSENT:
            yield f"{row['agent']} was never started here"
        elif row["state"] != DOWN and row["configuration"] != "differs":
            current = ", with the configuration of the settings" if row["configuration"] else ""
            yield f"{row['agent']} is {row['state']}{current}"
