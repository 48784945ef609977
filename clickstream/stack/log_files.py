"""The log lines that `stack logs` shows."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from clickstream.config import Settings
from clickstream.console.escape import printable
from clickstream.errors import NoData, UsageError
from clickstream.stack.local import SERVICES

FOLLOW_SECONDS = 0.3


def log(settings: Settings, name: str, lines: int, follow: bool = False) -> Iterator[str]:
    """The last lines of the logs of a service or of one process, made printable."""
    paths = [settings.files.log(process) for process in processes(name)]
    there = [path for path in paths if path.is_file()]
    if not there:
        raise NoData(f"{name} has no log yet", "clickstream stack up starts it")
    for path in there:
        yield from _tail(path, lines)
    if follow:
        yield from _follow(there)


def processes(name: str) -> list[str]:
    """The processes that a service's or a process's name stands for; UsageError when none."""
    for kind in SERVICES:
        if name == kind.name:
            return list(kind.processes)
        if name in kind.processes:
            return [name]
    known = sorted({kind.name for kind in SERVICES} | {p for k in SERVICES for p in k.processes})
    raise UsageError(f"there is no service {name}", f"there are {', '.join(known)}")


def _tail(path: Path, lines: int) -> Iterator[str]:
    with path.open(errors="replace") as file:
        for line in deque(file, lines):
            yield printable(line.rstrip("\n"))


def _follow(paths: Sequence[Path]) -> Iterator[str]:
    files = [path.open(errors="replace") for path in paths]
    for file in files:
        file.seek(0, 2)
    while True:
        for file in files:
            for line in file:
                yield printable(line.rstrip("\n"))
        time.sleep(FOLLOW_SECONDS)
