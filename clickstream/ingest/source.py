"""The source logs in HDFS: put there whole, checked first, never overwritten by something else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.days import instant
from clickstream.errors import BadInput, ClickstreamError, NotRunning, UsageError
from clickstream.ingest import inspection, local_log, stored_logs
from clickstream.ingest.spool import logs
from clickstream.ingest.stored_logs import STORED, StoredLogs
from clickstream.weblog import Format

NOT_STORED = "not stored"
TABLE = ("file", "outcome", "path", "bytes", "lines", "invalid")


class Put(NamedTuple):
    """The result of a put: `outcome` is one of the three of `stored_logs`, or NOT_STORED.

    `file` as it was named; the others are None where it was not stored, which has its `reason`.
    """

    file: str
    server: str
    outcome: str
    path: str | None = None
    bytes: int | None = None
    lines: int | None = None
    invalid: int | None = None
    reason: str | None = None


class Source(NamedTuple):
    """A source log in HDFS; `bytes` as stored, `modified` in ISO 8601, UTC."""

    server: str
    path: str
    bytes: int
    modified: str


def put(settings: Settings, file: Path, server: str, name: str | None = None) -> Put:
    """Store a log below `<hdfs.source>/<server>/`.

    A log whose content is stored is already there, one that continues a stored log replaces it,
    whatever the names. New content under a name that is in use gets a name of its own; with a
    `name`, only what is stored under that name counts, and other content there is refused.

    BadInput: it cannot be read, is no text, empty, or too much of it is invalid; UsageError: an
    unknown server, or an impossible name; NotRunning without HDFS.
    """
    settings.require_server(server)
    return _put(settings, file, server, name, StoredLogs(settings, server))


def put_each(settings: Settings, files: Sequence[Path], server: str) -> Iterator[Put]:
    """`put` of several logs, each as it is asked for; one that is refused does not stop the others.

    Raises UsageError for an unknown server, NotRunning without HDFS.
    """
    settings.require_server(server)
    stored = StoredLogs(settings, server)
    for file in files:
        try:
            yield _put(settings, file, server, None, stored)
        except NotRunning:
            raise
        except ClickstreamError as refused:
            yield Put(str(file), server, NOT_STORED, reason=refused.message)


def report_not_stored(done: Sequence[Put]) -> None:
    """BadInput where a log was not stored: why, of each."""
    refused = [each for each in done if each.outcome == NOT_STORED]
    if refused:
        reasons = "; ".join(str(each.reason) for each in refused)
        raise BadInput(
            f"{len(refused)} of {len(done)} logs not stored: {reasons}",
            f"see why: clickstream weblog check FILE --server {refused[0].server}",
        )


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
    return stored_logs.files(hdfs, f"{settings.hdfs.source}/{server}")


def _put(settings: Settings, file: Path, server: str, name: str | None, stored: StoredLogs) -> Put:
    own = _name(file, name)
    with local_log.opened(file) as opener:
        counted = inspection.admit(settings, server, opener, str(file))
        target = _target(stored, opener, file, own, name is not None, counted.form)
        size = stored.write(target.name, opener, target.outcome)
    path, invalid = stored.path(target.name), counted.invalid.total()
    return Put(str(file), server, target.outcome, path, size, counted.lines, invalid)


class _Target(NamedTuple):
    name: str
    outcome: str


def _name(file: Path, name: str | None) -> str:
    """The name that a log is to have; UsageError where it cannot be stored under it, or has none.

    HDFS takes no colon: one in the name of a file is replaced.
    """
    if name is None and local_log.is_stream(file):
        raise UsageError(f"what comes from {file} has no name", "name it: --as NAME")
    own = name or file.name.replace(":", "-")
    if "/" in own or own[:1] in ("", ".", "_") or not own.isprintable():
        raise UsageError(f"{own!r} cannot be the name of a source log", "choose one with --as")
    if ":" in own:
        raise UsageError(
            f"{own!r} cannot be the name of a source log: HDFS takes no colon in a name",
            "choose one without: --as NAME",
        )
    return own


def _target(
    stored: StoredLogs, opener: logs.Opener, file: Path, own: str, named: bool, form: Format
) -> _Target:
    """Where a log goes. Raises BadInput where a name that was asked for holds another log."""
    match = stored.compare(own, opener, str(file)) if named else stored.find(opener, str(file))
    if match:
        return _Target(match.entry.name, match.outcome)
    if own not in stored:
        return _Target(own, STORED)
    if named:
        raise BadInput(
            f"{stored.path(own)} holds another log that {file} does not continue",
            "leave --as out, or choose another name",
        )
    return _Target(stored.free_name(own, inspection.first_day(opener, str(file), form)), STORED)
