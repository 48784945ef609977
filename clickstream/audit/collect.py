"""The audit: every line of every spooled log, accounted for in every store.

The ledger says what there should be; a Spark job says what there is; the source logs are counted
once more beside it, line end by line end. Nothing is changed.
"""

import gzip
import hashlib
import io
import json
import posixpath
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from clickstream import master, pruned
from clickstream.audit.reconcile import Audit, LedgerState, Log, Stores, compare
from clickstream.batch.run import select
from clickstream.clients import kafka
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.clocks import DayVolume
from clickstream.config import Settings
from clickstream.days import DaySelection, utc_today
from clickstream.errors import BadInput, ClickstreamError, NoData, NotRunning
from clickstream.ingest import in_flight
from clickstream.ingest.spool import spooler
from clickstream.ledger import UNDATED, Ledger, LogFile
from clickstream.master import File
from clickstream.pruned import Pruned
from clickstream.rows import ALL
from clickstream.runtime import jars
from clickstream.spark import submit
from clickstream.spark.submit import Watch
from clickstream.views.batch import BatchViews

NAME = "audit"
MODULE = "clickstream.audit.job"
JARS = "spark-kafka"
BLOCK_BYTES = 1 << 20
NAMED = 5


class Scope(NamedTuple):
    """The days and servers to audit; None is all of them."""

    days: list[str] | None
    servers: list[str] | None

    def has(self, day: str) -> bool:
        """True where a day is selected."""
        return self.days is None or day in self.days

    def has_server(self, server: str) -> bool:
        """True where a server is selected."""
        return self.servers is None or server in self.servers


EVERYTHING = Scope(None, None)


class Files(NamedTuple):
    """The closed files of both directories in HDFS, and the paths of those in use.

    `manifests`: day -> the closed files of every server, as the batch layer knows them. `pruned`
    says what was removed on purpose.
    """

    master: list[Entry]
    quarantine: list[Entry]
    in_use: list[str]
    manifests: dict[str, list[File]]
    pruned: Pruned


def audit(
    settings: Settings,
    selection: DaySelection = DaySelection(),
    server: str | None = None,
    watch: Watch = lambda _: None,
) -> Audit:
    """Hold the stores against the ledger; `watch` gets each stage.

    Of chosen days the lines are counted and compared; gaps and the source logs need all days.
    Raises NoData without a ledger or a day, UsageError for an unknown server, NotRunning.
    """
    hdfs = Hdfs.connect(settings)
    watch("listing")
    foreign = _foreign(hdfs, settings, server)
    scope = _scope(hdfs, settings, selection, server, foreign)
    before = read_ledger(settings, scope)
    files = _files(hdfs, settings, scope)
    stores, notes = _stores(settings, scope, files, before, watch)
    ledger = _with_in_flight(before, read_ledger(settings, scope), files)
    done = compare(ledger, stores, scope.days is None)
    others = {
        "another ledger accounts for": foreign,
        "these agents do not run, and their channels may hold lines:": (
            in_flight.unknown(settings) if done.problems else []
        ),
    }
    notes += [*_notes(ledger, files, stores, scope), *_texts(others)]
    return done._replace(notes=notes)


def read_ledger(settings: Settings, scope: Scope = EVERYTHING) -> LedgerState:
    """The ledger's state of the selected servers; raises NoData without a ledger."""
    path = _ledger(settings)
    drained: dict[Log, list[int]] = defaultdict(list)
    with Ledger.open(path) as ledger:
        for name, file, offset in ledger.reprocessed():
            if scope.has_server(name):
                drained[name, file].append(offset)
        waiting = in_flight.waiting(settings, ledger.open_chunks())
        files = [log for log in ledger.files() if scope.has_server(log.server)]
        counts = [
            count
            for count in ledger.counts()
            if scope.has_server(count.server) and scope.has(count.day)
        ]
    pending = {name: text for name, text in waiting.items() if scope.has_server(name)}
    return LedgerState(files, counts, drained, pending)


def _ledger(settings: Settings) -> Path:
    path = settings.files.ledger
    if not path.is_file():
        raise NoData(
            f"there is no ledger in {settings.home}: nothing was spooled there",
            "is it lost? clickstream ingest ledger rebuild",
        )
    return path


def _foreign(hdfs: Hdfs, settings: Settings, server: str | None) -> list[str]:
    """Servers whose master dataset belongs to another home; raises where none is left to audit."""
    if server:
        settings.require_server(server)
    with Ledger.open(_ledger(settings)) as ledger:
        ours = (None, ledger.uuid)
    wanted = [server] if server else list(settings.servers)
    foreign = [name for name in wanted if spooler.owner(hdfs, settings, name) not in ours]
    if foreign == wanted:
        raise ClickstreamError(
            f"another ledger accounts for the master dataset of {', '.join(foreign)}",
            "audit it in the home it was made with; where that is lost:"
            " clickstream ingest ledger rebuild",
        )
    return foreign


def count_source(hdfs: Hdfs, log: LogFile) -> int | None:
    """The lines of a source log, as far as it was spooled, by its line ends alone.

    None where it was removed, or does not begin with what was spooled.
    """
    digest, lines, left, last = hashlib.sha256(), 0, log.bytes, b"\n"
    try:
        with _opened(hdfs, log.path) as stream:
            while left > 0 and (block := stream.read(min(left, BLOCK_BYTES))):
                digest.update(block)
                lines += block.count(b"\n")
                left, last = left - len(block), block[-1:]
    except (OSError, EOFError, zlib.error, BadInput):
        return None
    return lines + (last != b"\n") if digest.hexdigest() == log.digest else None


@contextmanager
def _opened(hdfs: Hdfs, path: str) -> Iterator[BinaryIO]:
    local = path.startswith(spooler.LOCAL)
    if not local and hdfs.stat(path) is None:
        raise FileNotFoundError(path)
    with open(path.removeprefix(spooler.LOCAL), "rb") if local else hdfs.open(path) as raw:
        stream = io.BufferedReader(cast(io.RawIOBase, raw), BLOCK_BYTES)
        packed = stream.peek(2)[:2] == b"\x1f\x8b"
        yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream


@contextmanager
def _sources(
    settings: Settings, files: Iterable[LogFile]
) -> Iterator[Callable[[], dict[Log, int | None]]]:
    """Counts the source logs meanwhile; the value waits for the counts."""
    with ThreadPoolExecutor(2) as pool:
        counts = {
            (log.server, log.file): pool.submit(count_source, Hdfs.connect(settings), log)
            for log in files
        }
        try:
            yield lambda: {log: count.result() for log, count in counts.items()}
        finally:
            pool.shutdown(cancel_futures=True)


def _scope(
    hdfs: Hdfs, settings: Settings, selection: DaySelection, server: str | None, foreign: list[str]
) -> Scope:
    ours = [name for name in settings.servers if name not in foreign]
    servers = [server] if server else ours if foreign else None
    if selection.is_empty:
        return Scope(None, servers)
    ledger = read_ledger(settings, Scope(None, servers))
    spooled = {count.day for count in ledger.counts} - {UNDATED}
    present = sorted(spooled | set(master.days(hdfs, settings.hdfs.master)))
    lines = Counter[str]()
    for count in ledger.counts:
        lines[count.day] += count.lines
    today = utc_today()
    volumes = {day: DayVolume(lines[day], today.isoformat()) for day in present}
    days = select(selection, present, today, lambda: volumes)
    if not days:
        raise NoData("neither the ledger nor the master dataset has a line of these days")
    return Scope(days, servers)


def _files(hdfs: Hdfs, settings: Settings, scope: Scope) -> Files:
    root = settings.hdfs.master
    days = master.days(hdfs, root)
    entries = [e for day in days if scope.has(day) for e in hdfs.walk(f"{root}/dt={day}")]
    rejects = list(hdfs.walk(settings.hdfs.quarantine))
    used = [entry.path for entry in master.among(hdfs, settings, entries + rejects)]
    closed, rejects = master.closed(entries, used), master.closed(rejects, used)
    manifests, removed = _manifests(root, closed), pruned.read(hdfs, settings)
    return Files(_of(scope, closed), _of(scope, rejects), used, manifests, removed)


def _of(scope: Scope, entries: list[Entry]) -> list[Entry]:
    """Those below the directories of the servers asked for."""
    parents = (posixpath.basename(posixpath.dirname(entry.path)) for entry in entries)
    pairs = zip(entries, parents, strict=True)
    return [entry for entry, name in pairs if scope.has_server(name.removeprefix("server="))]


def _manifests(root: str, entries: list[Entry]) -> dict[str, list[File]]:
    files: dict[str, list[File]] = defaultdict(list)
    for entry in entries:
        path = entry.path.removeprefix(f"{root}/")
        files[path[3:13]].append(File(path, entry.size, entry.modified_ms))
    return {day: sorted(of_day) for day, of_day in files.items()}


def _stores(
    settings: Settings, scope: Scope, files: Files, ledger: LedgerState, watch: Watch
) -> tuple[Stores, list[str]]:
    """The contents of the stores, and notes on them."""
    offsets = _offsets(settings, scope)
    cut = _cut(settings, offsets)
    with _sources(settings, ledger.files if scope.days is None else []) as sources:
        rows = _submit(settings, _plan(settings, scope, files, offsets, ledger), watch)
        watch("counting the source logs")
        counted = sources()
    present = {day: of for day, of in files.manifests.items() if day not in files.pruned.days}
    batch, notes = _batch(settings, present, scope)
    rows = [row for row in rows if scope.has(row["day"])]
    return Stores(rows, frozenset(cut), counted, batch, files.pruned), notes


def _offsets(settings: Settings, scope: Scope) -> dict[int, tuple[int, int]]:
    """First and end offset of the partitions of the servers asked for."""
    parts = {kafka.partition_of(settings, server) for server in scope.servers or ()}
    offsets = kafka.offsets(settings)
    return {part: ends for part, ends in offsets.items() if not parts or part in parts}


def _cut(settings: Settings, offsets: dict[int, tuple[int, int]]) -> list[str]:
    """Servers whose partition begins after its first record."""
    firsts = {part: first for part, (first, _) in offsets.items()}
    return [name for name in settings.servers if firsts.get(kafka.partition_of(settings, name))]


def _plan(
    settings: Settings,
    scope: Scope,
    files: Files,
    offsets: dict[int, tuple[int, int]],
    ledger: LedgerState,
) -> dict[str, Any]:
    """The plan of the Spark job, as JSON."""
    records = sum(end - first for first, end in offsets.values())
    drained = [
        {"server": server, "file": file, "offsets": lines}
        for (server, file), lines in ledger.drained.items()
    ]
    days = scope.days or [""]
    return {
        "master": master.source(settings, settings.hdfs.master, files.master, files.in_use),
        "quarantine": master.source(
            settings, settings.hdfs.quarantine, files.quarantine, files.in_use
        ),
        "kafka": {
            "topic": settings.kafka.topic,
            "starts": {part: first for part, (first, _) in offsets.items()},
            "ends": {part: end for part, (_, end) in offsets.items()},
            "records": records,
        },
        "bytes": sum(entry.size for entry in files.master + files.quarantine),
        "records": records,
        "values": {
            "servers": ",".join(settings.servers),
            "cut": ",".join(_cut(settings, offsets)),
            "pruned": ",".join(sorted(files.pruned.days)),
            "drained": json.dumps(drained),
            "whole": scope.days is None,
            "first": days[0] or "0001-01-01",
            "last": days[-1] or "0001-01-01",
        },
    }


def _submit(settings: Settings, plan: dict[str, Any], watch: Watch) -> list[dict[str, Any]]:
    options = submit.options_for(plan["bytes"])
    job = submit.Job(NAME, MODULE, plan, tuple(jars.files(JARS)), options)
    rows: list[dict[str, Any]] = submit.submit(settings, job, watch)["rows"]
    return rows


def _with_in_flight(before: LedgerState, after: LedgerState, files: Files) -> LedgerState:
    """The ledger as it was before the stores were read; what moved since is in flight."""
    moving = {log.server for log in set(after.files) - set(before.files)}
    texts = {name: list(filter(None, [text])) for name, text in before.in_flight.items()}
    for name in moving:
        texts.setdefault(name, []).append("lines were spooled meanwhile")
    if files.in_use:
        for parts in texts.values():
            parts.append("files in HDFS are open")
    return before._replace(in_flight={name: "; ".join(parts) for name, parts in texts.items()})


def _batch(
    settings: Settings, present: dict[str, list[File]], scope: Scope
) -> tuple[dict[tuple[str, str], int], list[str]]:
    """Requests by server and day of the days that are computed from the present files; notes."""
    try:
        with BatchViews.connect(settings) as views:
            inputs, visitors = views.inputs(), views.visitors()
    except NotRunning as error:
        return {}, [f"the batch views were not read: {error.message}"]
    computed = {day: [File(*file) for file in each.files] for day, each in inputs.items()}
    fresh = {day for day, files in present.items() if computed.get(day) == files}
    rows = {
        (row["server"], row["date"]): int(row["requests"])
        for row in visitors
        if row["date"] in fresh and row["server"] != ALL
        if scope.has_server(row["server"])
    }
    missing = sorted(present.keys() - computed.keys())
    dirty = sorted((present.keys() & computed.keys()) - fresh)
    texts = {"batch has not computed": missing, "batch has to compute again": dirty}
    return rows, _texts(texts)


def _notes(ledger: LedgerState, files: Files, stores: Stores, scope: Scope) -> list[str]:
    sources = stores.sources.items()
    texts = {
        "open files in HDFS, whose lines are not all counted:": files.in_use,
        "in flight:": [f"{server} ({text})" for server, text in ledger.in_flight.items() if text],
        "retention has cut the Kafka partition of": sorted(stores.cut),
        "pruned, and not looked for:": sorted(filter(scope.has, files.pruned.days)),
        "the source log was removed or replaced:": [
            f"{server} {file}" for (server, file), lines in sources if lines is None
        ],
    }
    only = "of chosen days only the counts are compared; the audit of all days looks for gaps, too"
    return _texts(texts) + [only] * (scope.days is not None)


def _texts(lists: dict[str, list[str]]) -> list[str]:
    return [f"{text} {_named(names)}" for text, names in lists.items() if names]


def _named(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
