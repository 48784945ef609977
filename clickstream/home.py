"""The home: marked as ours before anything is put there, and only removed when it is."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickstream.config import FILE_NAME
from clickstream.errors import ClickstreamError, UsageError
from clickstream.process import Child, Running
from clickstream.render import PRIVATE_DIRECTORY

MARKER = ".clickstream-home"
# What commands may have put there before the first `stack up`.
OURS = {
    *(FILE_NAME, MARKER, "agents", "ledger.db", "ledger.db-shm", "ledger.db-wal", "logs"),
    *("ports.json", "run", "speed", "spool", "spooler.lock", "tmp"),
}


def claim(home: Path) -> None:
    """Make the home, or mark a folder that holds nothing foreign; refuses any other."""
    home.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
    if is_ours(home):
        return
    foreign = sorted(entry.name for entry in home.iterdir() if entry.name not in OURS)
    if foreign:
        raise UsageError(
            f"{home} is not a home of clickstream: it holds {', '.join(foreign[:5])}",
            "name an empty folder: clickstream --home DIR …",
        )
    (home / MARKER).write_text("State of `clickstream`; `clickstream stack clean` removes it.\n")


def is_ours(home: Path) -> bool:
    """Whether the home carries our mark."""
    return (home / MARKER).is_file()


def running(home: Path) -> list[Running]:
    """Every child of the home that runs: services, agents, jobs."""
    run = home / "run"
    children = [Child(run, state.stem, Path()) for state in sorted(run.glob("*.json"))]
    return [known for child in children if (known := child.running())]


def empty(home: Path) -> None:
    """Remove all that is in the home but its configuration; refuses a folder that is not ours.

    A home that does not exist is empty already.
    """
    if not home.exists():
        return
    if not is_ours(home):
        raise ClickstreamError(f"{home} is not a home of clickstream: nothing was removed")
    for entry in home.iterdir():
        if entry.name in (FILE_NAME, MARKER):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not (home / FILE_NAME).exists():
        (home / MARKER).unlink()
        home.rmdir()


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One `stack` command at a time in a home; a second one is refused."""
    run = home / "run"
    run.mkdir(parents=True, exist_ok=True)
    with (run / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClickstreamError(
                f"another `clickstream stack` command is at work in {home}", "wait for it"
            ) from None
        yield
