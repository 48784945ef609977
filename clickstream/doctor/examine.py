"""All checks, side by side; one that fails or hangs is one problem, and stops no other."""

import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from clickstream.config import Settings
from clickstream.console.program import spoken
from clickstream.doctor import (
    agents,
    cassandra,
    clock,
    collector,
    database,
    hdfs,
    kafka,
    machine,
    spark,
)
from clickstream.doctor.finding import PROBLEM, STATES, Check, Finding, problem
from clickstream.errors import ClickstreamError
from clickstream.rows import Rows
from clickstream.side_by_side import Asked

DEADLINE_S = 12.0
"""Only what hangs takes so long; on a machine with much to do, what is slow must not seem to."""
HANGS = "what hangs? clickstream stack status, clickstream stack logs"
COLUMNS = ("part", "state", "finding", "do")

CHECKS: dict[str, Check] = {
    "machine": machine.check,
    "kafka": kafka.check,
    "hdfs": hdfs.check,
    "cassandra": cassandra.check,
    "database": database.check,
    "spark": spark.check,
    "agents": agents.check,
    "collector": collector.check,
    "events": clock.events,
}


class Examination(NamedTuple):
    """The findings of each part, in the order of CHECKS."""

    parts: Mapping[str, list[Finding]]

    @property
    def rows(self) -> Rows:
        """A row for each finding, as COLUMNS names it."""
        return [
            {"part": part, "state": each.state, "finding": each.text, "do": each.hint}
            for part, findings in self.parts.items()
            for each in findings
        ]

    def number(self, state: str) -> int:
        """How many findings are in a state."""
        return sum(row["state"] == state for row in self.rows)

    @property
    def summary(self) -> str:
        """`31 ok, 2 warning, 1 problem`."""
        return ", ".join(f"{self.number(state)} {state}" for state in STATES)

    def check(self) -> None:
        """Raise ClickstreamError where there is a problem."""
        if number := self.number(PROBLEM):
            raise ClickstreamError(f"{number} problem{'s' * (number > 1)} found")


def examine(
    settings: Settings, checks: Mapping[str, Check] = CHECKS, deadline_s: float = DEADLINE_S
) -> Examination:
    """Ask everything; it changes nothing and never waits longer than the deadline."""
    due = time.monotonic() + deadline_s
    found: dict[str, list[Finding]] = {name: [] for name in checks}
    asked = {
        name: Asked(name, partial(_look, check, settings, found[name]))
        for name, check in checks.items()
    }
    for name, each in asked.items():
        if not each.answer(due):
            found[name] = [*found[name], problem(f"no answer within {deadline_s:g} s", HANGS)]
    return Examination(found)


def page(examination: Examination) -> list[str]:
    """A line for each finding, what to do behind it."""
    width = max(map(len, examination.parts))
    return [
        f"{row['state']:<8} {row['part']:<{width}}  {row['finding']}"
        + (f": {spoken(row['do'])}" if row["do"] else "")
        for row in examination.rows
    ]


def _look(check: Check, settings: Settings, findings: list[Finding]) -> bool:
    """Add the findings of a check, each as it comes; True at its end."""
    try:
        for each in check(settings):
            findings.append(each)
    except ClickstreamError as error:
        findings.append(problem(error.message, error.hint))
    except Exception as error:  # one check must never take the others with it
        text = f"{type(error).__name__}: {error}"
        findings.append(problem(text, "a fault of this program: ask with --debug, and report it"))
    return True
