"""From the source logs to files in HDFS: what waits where, and what was rejected."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from clickstream import master
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import BadInput
from clickstream.ingest import rejects as quarantine
from clickstream.ingest import source as sources
from clickstream.ingest.flume.agent import Agent
from clickstream.ingest.follow import record
from clickstream.ingest.spool import logs, unexpected
from clickstream.ingest.spool.chunks import Spool
from clickstream.ledger import VALID, Ledger, LogFile
from clickstream.rows import Row, Rows
from clickstream.status.part import Part, Problem, counted, named, size

LOOKED_INTO = 20
"""Most logs of an unknown path that are looked into: known content may lie under two names."""


def source(settings: Settings) -> Part:
    """The source logs in HDFS, and those that no replay has read to their end."""
    hdfs, known = Hdfs.connect(settings), _known(settings)
    looks = iter(range(LOOKED_INTO))
    rows: Rows = []
    for server in settings.servers:
        entries = sources.entries(hdfs, settings, server)
        unread = {each.name: _unread(hdfs, server, each, known, looks) for each in entries}
        rows.append(_source(server, entries, {name: n for name, n in unread.items() if n}))
    logs_put, waiting = (sum(row[key] for row in rows) for key in ("logs", "waiting"))
    if not waiting:
        return Part(f"{counted(logs_put, 'log')}, all replayed" if logs_put else "no logs", rows)
    amount = size(sum(row["waiting_bytes"] for row in rows))
    names = "; ".join(f"{row['server']} {row['names']}" for row in rows if row["waiting"])
    text = f"{counted(waiting, 'source log')} not replayed ({names})"
    due = Problem(text, "clickstream ingest replay --wait", wrong=False)
    summary = f"{counted(logs_put, 'log')}, {waiting:,} not replayed: {amount} ({names})"
    return Part(summary, rows, [due])


def _source(server: str, entries: Sequence[Entry], unread: dict[str, int]) -> Row:
    return {
        "server": server,
        "logs": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "waiting": len(unread),
        "waiting_bytes": sum(unread.values()),
        "names": named(unread),
    }


def _known(settings: Settings) -> dict[str, list[LogFile]]:
    """Server -> the logs that the ledger knows."""
    known: dict[str, list[LogFile]] = {server: [] for server in settings.servers}
    if settings.files.ledger.is_file():
        with Ledger.open(settings.files.ledger) as ledger:
            for log in ledger.files():
                known.setdefault(log.server, []).append(log)
    return known


def _unread(
    hdfs: Hdfs, server: str, entry: Entry, known: dict[str, list[LogFile]], looks: Iterator[int]
) -> int:
    """How many stored bytes of a log no replay has read, as far as its size and beginning tell."""
    log = next((log for log in known[server] if log.path == entry.path), None)
    if log is not None and entry.size <= log.bytes:
        return 0
    if next(looks, None) is None:
        return entry.size
    head, packed = _head(hdfs, entry)
    if log is not None:
        return 0 if packed else entry.size - log.bytes
    same = logs.file_id(server, head, set())
    read = max((log.bytes for log in known[server] if log.file == same), default=0)
    return 0 if read and (packed or entry.size <= read) else entry.size


def _head(hdfs: Hdfs, entry: Entry) -> tuple[bytes, bool]:
    """The first uncompressed bytes of a log, and whether it is compressed."""
    opener = partial(hdfs.open, entry.path)
    try:
        with opener() as raw:
            packed = raw.read(2) == logs.GZIP_MAGIC
        with logs.plain(opener, entry.path) as stream:
            return stream.read(logs.HEAD_BYTES), packed
    except BadInput:
        return b"", False


def spools(settings: Settings) -> Part:
    """Chunks that the edge agents have not taken; those of remote web hosts are not seen here."""
    waiting: dict[str, list[int]] = {server: [] for server in settings.servers}
    if settings.files.ledger.is_file():
        with Ledger.open(settings.files.ledger) as ledger:
            for chunk in ledger.open_chunks():
                spool = Spool(settings.files.spool(chunk.server))
                if spool.state(chunk) != "completed":
                    waiting.setdefault(chunk.server, []).append(chunk.lines)
    rows = [_spool(settings, server, lines) for server, lines in waiting.items()]
    texts = [
        f"{row['server']} {counted(row['chunks'], 'chunk')}, {counted(row['lines'], 'line')}"
        for row in rows
        if row["chunks"]
    ]
    followed = [Problem(text, "clickstream ingest status") for text in record.problems(settings)]
    problems = [*_spool_problems(settings, rows), *followed]
    return Part("; ".join(texts) or "empty", rows, problems)


def _spool(settings: Settings, server: str, lines: list[int]) -> Row:
    blocked = unexpected.blocking(settings.files.spool(server))
    names = ", ".join(repr(path.name) for path in blocked)
    return {"server": server, "chunks": len(lines), "lines": sum(lines), "blocked_by": names}


def _spool_problems(settings: Settings, rows: Rows) -> Iterator[Problem]:
    for row in rows:
        known = settings.servers.get(row["server"])
        if known is None:
            continue
        start = f"clickstream ingest start {known.agent}"
        if row["blocked_by"]:
            yield Problem(f"{row['blocked_by']} blocks the spool of {row['server']}", start)
        if row["chunks"] and Agent(settings, known.agent).running() is None:
            lines = counted(row["lines"], "line")
            text = f"{lines} of {row['server']} wait in its spool, and {known.agent} does not run"
            yield Problem(text, start)


def files(settings: Settings) -> Part:
    """The files of the master dataset and of the quarantine: closed, and open."""
    hdfs = Hdfs.connect(settings)
    places = {"master": settings.hdfs.master, "quarantine": settings.hdfs.quarantine}
    rows = [_files(hdfs, name, root) for name, root in places.items()]
    texts = [
        f"{row['place']} {row['closed']:,} closed, {row['open']:,} open ({size(row['bytes'])})"
        for row in rows
    ]
    left = sum(row["open"] for row in rows)
    if left and Agent(settings, settings.collector).running() is None:
        text = f"{counted(left, 'file')} in HDFS open, and {settings.collector} does not run here"
        hint = f"clickstream ingest start {settings.collector} closes what it left"
        return Part("; ".join(texts), rows, [Problem(text, hint, wrong=False)])
    return Part("; ".join(texts), rows)


def _files(hdfs: Hdfs, name: str, root: str) -> Row:
    every = hdfs.tree(root)
    closed = [file for file in every if master.is_closed(file)]
    return {
        "place": name,
        "closed": len(closed),
        "open": sum(master.is_open(file) for file in every),
        "bytes": sum(file.size for file in closed),
    }


def rejects(settings: Settings) -> Part:
    """The rejected lines by server, and how many came since they were listed last."""
    if not settings.files.ledger.is_file():
        return Part("none")
    with Ledger.open(settings.files.ledger) as ledger:
        totals = {server: ledger.totals(server) for server in settings.servers}
        listed = quarantine.listed_before(ledger)
    rows = [_rejects(server, counts, listed) for server, counts in totals.items()]
    every, fresh = (sum(row[key] for row in rows) for key in ("rejects", "new"))
    if not fresh:
        return Part(f"{every:,}, none new" if every else "none", rows)
    names = "; ".join(f"{row['server']} {row['reasons']}" for row in rows if row["new"])
    text = f"{counted(fresh, 'line')} rejected since they were listed last"
    due = Problem(text, "clickstream ingest rejects", wrong=False)
    return Part(f"{fresh:,} new, {every:,} in all ({names})", rows, [due])


def _rejects(server: str, totals: Counter[str], listed: dict[str, int]) -> Row:
    reasons = {reason: n for reason, n in sorted(totals.items()) if reason != VALID}
    every = sum(reasons.values())
    return {
        "server": server,
        "rejects": every,
        "new": max(0, every - listed.get(server, 0)),
        "reasons": ", ".join(f"{reason} {n:,}" for reason, n in reasons.items()),
    }
