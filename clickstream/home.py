"""The home: marked as ours before anything is put there, and only removed when it is."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clickstream.errors import ClickstreamError, UsageError

FILE_NAME = "clickstream.toml"
PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
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
def exclusive(path: Path, busy: str = "", hint: str = "") -> Iterator[None]:
    """Hold a lock file alone; it holds the pid of its holder.

    While another process holds it: raises ClickstreamError, `busy` and that pid, or waits where
    `busy` is empty. The kernel releases the lock of a process that was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise ClickstreamError(f"{busy}{_held_by(file)}", hint) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def write_atomic(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a draft beside the path and put it in its place: readers see the old or the new.

    `private`: only its owner may read the file, and look into a directory made for it.
    """
    modes = (PRIVATE_FILE, PRIVATE_DIRECTORY) if private else (0o666, 0o777)
    path.parent.mkdir(parents=True, exist_ok=True, mode=modes[1])
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, modes[0]), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _held_by(lock: IO[str]) -> str:
    """The pid in a lock file, in brackets; empty while its holder has not written it yet."""
    lock.seek(0)
    pid = lock.read().strip()
    return f" (pid {pid})" if pid else ""
