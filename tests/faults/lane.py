"""A lane: a stack of its own, on which runs follow one another; a home for each fault's runs."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream import config
from clickstream.config import Settings
from tests.faults import account
from tests.faults.faults import Fault
from tests.faults.logs import Log
from tests.faults.run import Run
from tests.faults.services import Services
from tests.stack.homes import forget_environment, fresh_home, left_running


class Result(NamedTuple):
    """The result of one run; `recovery_s` from the end of the fault to all lines in both stores."""

    fault: str
    seed: int
    note: str
    recovered: int
    lines: int
    lost: int
    doubled: int
    altered: int
    copies: int
    recovery_s: float
    seconds: float
    problems: list[str]

    def good(self) -> bool:
        """Tell whether nothing was lost, doubled, altered or left wrong."""
        return not (self.lost or self.doubled or self.altered or self.problems)


class Home:
    """A home with its agents, through which several runs of one fault may go."""

    def __init__(self, settings: Settings, stack: Services, directory: Path) -> None:
        self.settings = settings
        self._stack = stack
        self._directory = directory
        self._logs: list[Log] = []
        self._copies = 0

    def run(self, fault: Fault, seed: int, audit: bool = True) -> Result:
        """One run; never raises but for Ctrl-C: what went wrong stands in `problems`.

        Whatever is counted, and audited, is everything that ever went through this home.
        """
        began = time.monotonic()
        directory = self._directory / f"{fault.name}-{seed}"
        directory.mkdir(parents=True)
        run = Run(self.settings, self._stack, fault.name, seed, fault.parts, directory)
        self._logs += run.logs
        problems: list[str] = []
        count, recovery_s = account.NOTHING, 0.0
        try:
            recovery_s = _strike(run, fault)
            count = account.take(self.settings, self._logs)
            problems += count.problems + (_audit(run) if audit else [])
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
        finally:
            run.abandon()
        return self._result(run, fault, seed, count, (recovery_s, began), problems)

    def _result(
        self,
        run: Run,
        fault: Fault,
        seed: int,
        count: account.Account,
        times: tuple[float, float],
        problems: list[str],
    ) -> Result:
        copies, self._copies = count.copies - self._copies, count.copies
        recovery_s, began = times
        return Result(
            *(fault.name, seed, run.note, run.recovered),
            sum(len(log.lines) for log in run.logs),
            *(count.lost, count.doubled, count.altered, copies),
            *(round(recovery_s, 1), round(time.monotonic() - began, 1)),
            problems,
        )


class Lane:
    """Runs faults on a stack; a fault's runs share a home until one of them goes wrong.

    `audit`: after `each` run, after the `last` of a home (it covers the earlier ones), or `never`.
    """

    def __init__(self, stack: Settings, directory: Path, audit: str) -> None:
        self._stack = stack
        self._audit = audit
        self._services = Services(stack)
        self._directory = directory
        self.failed = False

    def runs(self, fault: Fault, seeds: list[int]) -> Iterator[Result]:
        """A result for each seed."""
        left = list(seeds)
        while left:
            with ExitStack() as held:
                home = self._home(held, fault, left[0])
                good = True
                while left and good:
                    seed = left.pop(0)
                    audited = self._audit == "each" or (self._audit == "last" and not left)
                    result = home.run(fault, seed, audited)
                    good = result.good()
                    self.failed |= not good
                    yield result

    def _home(self, held: ExitStack, fault: Fault, seed: int) -> Home:
        directory = self._directory / f"{fault.name}-from-{seed}"
        flags = fault.flags | {"database.url": f"sqlite:///{directory}/views.db"}
        made = contextmanager(fresh_home)(self._stack, directory / "home", **flags)
        return Home(held.enter_context(made), self._services, directory / "logs")


@contextmanager
def lane(audit: str) -> Iterator[Lane]:
    """A lane whose stack runs; it is stopped in the end, and removed where all went well."""
    from clickstream.stack import local

    forget_environment()
    directory = Path(tempfile.mkdtemp(prefix="clickstream-faults-"))
    stack = config.load(home=directory / "stack")
    made = Lane(stack, directory, audit)
    try:
        local.up(stack, ["kafka", "hdfs"])
        yield made
    finally:
        local.down(stack)
        print(*left_running(directory), sep="\n", end="", file=sys.stderr)
        if made.failed:
            print(f"homes and logs are left in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory)


def _strike(run: Run, fault: Fault) -> float:
    run.put(run.logs)
    run.start()
    run.count_from_here()
    run.begin()
    fault.strike(run)
    return run.recover()


def _audit(run: Run) -> list[str]:
    """The output of `clickstream audit` where it finds mismatches."""
    try:
        run.clickstream("audit")
    except AssertionError as error:
        return [f"audit: {error}"]
    return []
