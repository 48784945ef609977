"""The status as a whole: its parts, read side by side, none of which waits for another.

A part that has no answer by the deadline is left to itself: a service that hangs does not hang the
status. Its thread is asked again only once it has ended.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from clickstream.config import Settings
from clickstream.days import instant
from clickstream.errors import ClickstreamError
from clickstream.side_by_side import Asked
from clickstream.status import ingest, layers, processes
from clickstream.status.part import Part, Problem, Read

DEADLINE_S = 2.0
CERTAIN_S = 10.0
"""For an alarm: a part that is only slow, on a machine with much to do, is not to raise one."""

PARTS: dict[str, Read] = {
    "services": processes.services,
    "agents": processes.agents,
    "source": ingest.source,
    "spools": ingest.spools,
    "channels": processes.channels,
    "topic": layers.topic,
    "speed": layers.speed,
    "files": ingest.files,
    "days": layers.days,
    "alerts": layers.alerts,
    "rejects": ingest.rejects,
}
"""In the order in which lines travel."""


class Found(NamedTuple):
    """A problem and the part that has it."""

    part: str
    problem: Problem


@dataclass(frozen=True)
class Status:
    """The state of a home as of `at` (ISO UTC); `parts` as PARTS names them."""

    at: str
    home: str
    parts: Mapping[str, Part]

    @property
    def problems(self) -> list[Found]:
        """What is wrong first, then what is due, each in the order in which lines travel."""
        every = [Found(name, each) for name, part in self.parts.items() for each in part.problems]
        return sorted(every, key=lambda found: not found.problem.wrong)

    @property
    def wrong(self) -> list[Found]:
        """The problems that make the status a failure."""
        return [found for found in self.problems if found.problem.wrong]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: `healthy`, `problems`, and each part with summary, rows and error."""
        problems = [{"part": name, **problem._asdict()} for name, problem in self.problems]
        parts = {
            name: {"summary": part.summary, "rows": list(part.rows), "error": part.error or None}
            for name, part in self.parts.items()
        }
        about = {"at": self.at, "home": self.home, "healthy": not self.wrong}
        return about | {"problems": problems} | parts


class Collector:
    """Reads the status again and again; safe to use from one thread at a time."""

    def __init__(self, settings: Settings, parts: Mapping[str, Read] | None = None) -> None:
        self._settings = settings
        self._reads = PARTS if parts is None else parts
        self._running: dict[str, Asked[Part]] = {}

    def collect(self, deadline_s: float = DEADLINE_S) -> Status:
        """The state now; never raises for a part that fails, nor waits longer than the deadline."""
        due = time.monotonic() + deadline_s
        for name, read in self._reads.items():
            if name not in self._running:
                self._running[name] = Asked(name, partial(_read, read, self._settings))
        parts = {name: self._answer(name, due, deadline_s) for name in self._reads}
        parts["not_counted"] = layers.not_counted(parts)
        return Status(instant(int(time.time())), str(self._settings.home), parts)

    def _answer(self, name: str, due: float, deadline_s: float) -> Part:
        answer = self._running[name].answer(due)
        if answer is None:
            text = f"no answer within {deadline_s:g} s"
            hint = "what hangs? clickstream stack status, clickstream stack logs"
            return _failed(text, Problem(f"{name}: {text}", hint))
        del self._running[name]
        return answer


def _read(read: Read, settings: Settings) -> Part:
    try:
        return read(settings)
    except ClickstreamError as error:
        return _failed(error.message, Problem(error.message, error.hint))
    except Exception as error:  # a part must never take the others with it
        text = f"{type(error).__name__}: {error}"
        return _failed(text, Problem(text, "a fault of this program: run the part's own command"))


def _failed(text: str, problem: Problem) -> Part:
    return Part(text, problems=[problem], error=text)
