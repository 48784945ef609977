"""Unexpected files in a spooling directory: whatever is not a chunk of ours.

Flume's spooling source waits for ever on a FIFO, a socket or a dangling link, and dies of a chunk X
whose X.COMPLETED exists. With its agent down such things are moved beside the spool, never deleted.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from clickstream.home import set_aside
from clickstream.ingest.spool.chunks import COMPLETED


def unexpected_files(spool: Path, server: str) -> list[Path]:
    """The entries that no chunk of the server can be, by name; hidden ones no agent looks at.

    Of a chunk X beside X.COMPLETED the second: X may not be taken yet, and a line that is taken
    twice is only a copy.
    """
    chunk = re.compile(rf"{re.escape(server)}-[0-9a-f]{{16}}-[0-9]+-[0-9]+-[0-9]+\.log")
    return [path for path in _entries(spool) if not _fits(path, chunk) or _twice(path)]


def blocking(spool: Path) -> list[Path]:
    """The entries that a spooling source can neither take nor pass by."""
    linked = (path for path in _entries(spool) if not (path.is_symlink() and path.is_file()))
    return [path for path in linked if _kind(path) not in ("file", "directory")]


def clear(spool: Path, server: str) -> Iterator[tuple[Path, Path]]:
    """Move the unexpected files beside the spool; yields (from, to). Only with the agent down."""
    for path in unexpected_files(spool, server):
        target = _free(set_aside(spool) / path.name)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        yield path, target


def _entries(spool: Path) -> list[Path]:
    if not spool.is_dir():
        return []
    return sorted(path for path in spool.iterdir() if not path.name.startswith("."))


def _fits(path: Path, chunk: re.Pattern[str]) -> bool:
    return bool(chunk.fullmatch(path.name.removesuffix(COMPLETED))) and _kind(path) == "file"


def _twice(path: Path) -> bool:
    waiting = path.with_name(path.name.removesuffix(COMPLETED))
    return path.name.endswith(COMPLETED) and waiting.exists()


def _kind(path: Path) -> str:
    """`file`, `directory`, `unreadable`, or `other`; a link is never a file of ours."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "file"  # an agent renamed it meanwhile, and it renames nothing else
    if stat.S_ISDIR(mode):
        return "directory"
    if not stat.S_ISREG(mode):
        return "other"
    readable = os.access(path, os.R_OK) or not path.exists()  # renamed meanwhile
    return "file" if readable else "unreadable"


def _free(target: Path) -> Path:
    number, free = 0, target
    while os.path.lexists(free):
        number += 1
        free = target.with_name(f"{target.name}.{number}")
    return free
