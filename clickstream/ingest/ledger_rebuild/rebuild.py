"""A new ledger, made of the master dataset and the quarantine, for one that is lost.

Whatever is still on its way would be missing in it, so nothing may be.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clickstream import master
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NoData
from clickstream.ingest import in_flight
from clickstream.ingest.flume import agent_config
from clickstream.ingest.spool import spooler
from clickstream.ingest.spool.chunks import CHUNK_NAME
from clickstream.ledger import Ledger
from clickstream.rows import Rows
from clickstream.spark import submit
from clickstream.spark.submit import Watch

MODULE = "clickstream.ingest.ledger_rebuild.job"
COLUMNS = ("server", "file", "bytes", "lines", "valid", "invalid", "drained", "behind")
PARTS = ("", "-wal", "-shm")


def rebuild(settings: Settings, servers: Sequence[str] = (), watch: Watch = lambda _: None) -> Rows:
    """Recreate the ledger, of some servers or of all; a row for each log, as COLUMNS names it.

    `behind`: lines behind a gap, which the new ledger does not know. The old ledger is kept beside
    it. Raises ClickstreamError while anything is on its way, NoData where nothing is stored.
    """
    servers = _known(settings, servers)
    hdfs = Hdfs.connect(settings)
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(spooler.locked(settings, server))
        watch("looking whether anything is on its way")
        valid, rejects = _stored(hdfs, settings, servers)
        _refuse_flight(settings, servers, master.among(hdfs, settings, valid + rejects))
        successor = _fresh_successor(settings)
        rows = _submit(settings, _plan(settings, servers, valid, rejects), watch)
        watch("replacing the ledger")
        _swap(settings, successor)
        with Ledger.open(settings.files.ledger) as ledger:
            for server in servers:
                spooler.claim(hdfs, settings, ledger, server)
    return rows


def _known(settings: Settings, servers: Sequence[str]) -> list[str]:
    for server in servers:
        settings.require_server(server)
    return list(servers or settings.servers)


def _stored(
    hdfs: Hdfs, settings: Settings, servers: Sequence[str]
) -> tuple[list[Entry], list[Entry]]:
    """Every file of these servers in the master dataset and in the quarantine."""
    days = [entry.path for entry in hdfs.list(settings.hdfs.master) if entry.is_dir]
    valid, rejects = (
        [e for root in roots for server in servers for e in hdfs.walk(f"{root}/server={server}")]
        for roots in (days, [settings.hdfs.quarantine])
    )
    if not master.closed(valid + rejects):
        raise NoData(
            f"there are no lines of {', '.join(servers)} below {settings.hdfs.master}",
            "a new home needs no ledger: clickstream ingest replay makes it",
        )
    return valid, rejects


def _refuse_flight(settings: Settings, servers: Sequence[str], used: list[Entry]) -> None:
    for server in servers:
        spool = settings.files.spool(server)
        waiting = [path.name for path in spool.glob("*") if CHUNK_NAME.match(path.name)]
        if waiting:
            _refuse(f"{len(waiting)} chunks wait in {spool}")
    for agent in agent_config.agents(settings):
        if held := in_flight.held(settings, agent):
            _refuse(f"{agent} holds {held} events in its channels")
        if held is None:
            _refuse(f"{agent} does not run, and its channels may hold events")
    if used:
        _refuse(f"{len(used)} files in HDFS are open ({used[0].path})")


def _refuse(reason: str) -> None:
    raise ClickstreamError(
        f"the ledger cannot be recreated: {reason}",
        "let the agents finish first: clickstream ingest start, then wait for ingest status to"
        " show empty channels",
    )


def _fresh_successor(settings: Settings) -> Path:
    """The path of the new ledger; leftovers of an interrupted run are removed."""
    successor = settings.files.ledger_successor
    for part in PARTS:
        successor.with_name(successor.name + part).unlink(missing_ok=True)
    return successor


def _plan(
    settings: Settings, servers: Sequence[str], valid: list[Entry], rejects: list[Entry]
) -> dict[str, Any]:
    valid, rejects = master.closed(valid), master.closed(rejects)
    return {
        "master": master.source(settings, settings.hdfs.master, valid),
        "quarantine": master.source(settings, settings.hdfs.quarantine, rejects),
        "bytes": sum(entry.size for entry in valid + rejects),
        "ledger": str(settings.files.ledger_successor),
        "servers": list(servers),
    }


def _submit(settings: Settings, plan: dict[str, Any], watch: Watch) -> Rows:
    job = submit.Job("rebuild", MODULE, plan, java_options=submit.options_for(plan["bytes"]))
    rows: Rows = submit.submit(settings, job, watch)["rows"]
    return rows


def _swap(settings: Settings, successor: Path) -> None:
    """The new ledger in the place of the old one, which stays beside it under another name."""
    ledger = settings.files.ledger
    kept = settings.files.ledger_predecessor(time.strftime("%Y%m%dT%H%M%S"))
    for part in PARTS:
        old = ledger.with_name(ledger.name + part)
        if old.exists():
            old.rename(kept.with_name(kept.name + part))
    successor.rename(ledger)
