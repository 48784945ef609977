"""The source logs in HDFS: put there whole, checked first, never overwritten by something else."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.days import instant
from clickstream.errors import BadInput, UsageError
from clickstream.ingest import inspection
from clickstream.ingest.spool import logs


class Put(NamedTuple):
    """The result of a put: `outcome` is `stored`, `continued` or `already there`."""

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


def put(settings: Settings, file: Path, server: str, name: str | None = None) -> Put:
    """Store a log as `<hdfs.source>/<server>/<name>`.

    The same content is already there, a longer continuation replaces, anything else under that
    name is refused. BadInput: no such file, a directory, empty, too much of it invalid; UsageError:
    an unknown server or an impossible name.
    """
    settings.require_server(server)
    name = name or file.name
    if "/" in name or name[:1] in ("", ".", "_"):
        raise UsageError(f"{name!r} cannot be the name of a source log", "choose one with --as")
    counted = inspection.admit(settings, server, inspection.local(file), str(file))
    path = f"{settings.hdfs.source}/{server}/{name}"
    hdfs = Hdfs.connect(settings)
    outcome = _compare(hdfs, path, file)
    size = file.stat().st_size
    if outcome != "already there":
        with file.open("rb") as stream:
            hdfs.write(path, iter(partial(stream.read, logs.BLOCK_BYTES), b""))
    return Put(server, path, outcome, size, counted.lines, counted.invalid.total())


def listing(settings: Settings) -> list[Source]:
    """Every source log of the configured servers."""
    hdfs = Hdfs.connect(settings)
    return [
        Source(server, entry.path, entry.size, instant(entry.modified_ms // 1000))
        for server in settings.servers
        for entry in entries(hdfs, settings, server)
    ]


def entries(hdfs: Hdfs, settings: Settings, server: str) -> list[Entry]:
    """The source logs of a server, in the order of their names."""
    stored = hdfs.list(f"{settings.hdfs.source}/{server}")
    return [entry for entry in stored if not entry.is_dir and entry.name[0] not in "._"]


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
