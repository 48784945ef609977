"""The source logs in HDFS: put there whole, checked first, never overwritten by something else."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from clickstream.config import Settings
from clickstream.errors import BadInput, UsageError
from clickstream.hdfs import Entry, Hdfs
from clickstream.ingest import logs
from clickstream.weblog import judge, sniff


class Put(NamedTuple):
    """What became of a log: `outcome` is `stored`, `continued` or `already there`."""

    server: str
    path: str
    outcome: str
    bytes: int
    lines: int
    invalid: int


class Source(NamedTuple):
    """A source log in HDFS; `bytes` as stored, `modified` in ISO 8601, UTC."""

    server: str
    path: str
    bytes: int
    modified: str


class _Count(NamedTuple):
    lines: int
    invalid: int
    first_reason: str


def put(settings: Settings, file: Path, server: str, name: str | None = None) -> Put:
    """Store a log as `<hdfs.source>/<server>/<name>`.

    The same content is already there, a longer continuation replaces, anything else under that
    name is refused. BadInput: no such file, a directory, empty, not a log; UsageError: an unknown
    server or an impossible name.
    """
    if server not in settings.servers:
        raise UsageError(f"there is no server {server}", f"servers: {', '.join(settings.servers)}")
    name = name or file.name
    if "/" in name or name[:1] in ("", ".", "_"):
        raise UsageError(f"{name!r} cannot be the name of a source log", "choose one with --as")
    counted = _checked(file)
    path = f"{settings.hdfs.source}/{server}/{name}"
    hdfs = Hdfs.connect(settings)
    outcome = _compare(hdfs, path, file)
    size = file.stat().st_size
    if outcome != "already there":
        with file.open("rb") as stream:
            hdfs.write(path, iter(partial(stream.read, logs.BLOCK_BYTES), b""))
    return Put(server, path, outcome, size, counted.lines, counted.invalid)


def listing(settings: Settings) -> list[Source]:
    """Every source log of the configured servers."""
    hdfs = Hdfs.connect(settings)
    return [
        Source(server, entry.path, entry.size, _iso(entry.modified_ms))
        for server in settings.servers
        for entry in entries(hdfs, settings, server)
    ]


def entries(hdfs: Hdfs, settings: Settings, server: str) -> list[Entry]:
    """The source logs of a server, in the order of their names."""
    found = hdfs.list(f"{settings.hdfs.source}/{server}")
    return [entry for entry in found if not entry.is_dir and entry.name[0] not in "._"]


def _checked(file: Path) -> _Count:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise BadInput(f"{file} is {what}", "name a log file")
    with logs.plain(partial(_local, file), str(file)) as stream:
        sniff((line.raw for line in logs.lines(stream)), str(file))
    with logs.plain(partial(_local, file), str(file)) as stream:
        counted = _count(stream)
    _refuse_worthless(file, counted)
    return counted


def _refuse_worthless(file: Path, counted: _Count) -> None:
    if counted.lines == 0:
        raise BadInput(f"{file} is empty", "there is nothing to put")
    if counted.invalid == counted.lines:
        raise BadInput(
            f"not one of the {counted.lines} lines of {file} is a valid log line"
            f" (the first one: {counted.first_reason})",
            "it must be in the common or the combined log format",
        )


def _count(stream: BinaryIO) -> _Count:
    lines = invalid = 0
    first = ""
    for line in logs.lines(stream):
        reason = "too-long" if line.big else judge(line.raw).reason
        lines += 1
        invalid += reason is not None
        first = first or reason or ""
    return _Count(lines, invalid, first)


def _compare(hdfs: Hdfs, path: str, file: Path) -> str:
    """`stored` (nothing there), `already there` or `continued`; BadInput for anything else."""
    there = hdfs.stat(path)
    if there is None:
        return "stored"
    size = file.stat().st_size
    with hdfs.open(path) as old, file.open("rb") as new:
        same = there.size <= size and all(a == b for a, b in _pairs(old, new, there.size))
    if not same:
        raise BadInput(
            f"{path} holds another log that {file} does not continue",
            "store it beside: --as NAME",
        )
    return "already there" if there.size == size else "continued"


def _pairs(old: BinaryIO, new: BinaryIO, size: int) -> Iterator[tuple[bytes, bytes]]:
    for block in logs.blocks(old, size):
        yield block, new.read(len(block))
        size -= len(block)
    if size:
        yield b"", b"?"  # the old one was cut short: nothing can be said of the rest


def _local(file: Path) -> BinaryIO:
    return cast(BinaryIO, file.open("rb"))


def _iso(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
