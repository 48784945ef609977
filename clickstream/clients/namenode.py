"""What a NameNode says of itself: its state, its room, its clock, and what it lets a user do."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from clickstream.clients.hdfs import REST, Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning

_BEAN = "Hadoop:service=NameNode,name="
NOBODY = "clickstream-doctor-asks"


class NameNode(NamedTuple):
    """The answers; what it lets nobody ask is None or missing.

    `remaining` is in bytes, `ahead_s` how far its clock is ahead of ours. `denied` has of each path
    that was asked for the nearest directory that is there, where our user may not write in it;
    `believes` says whether it takes any name for a user's.
    """

    version: str | None
    safe_mode: str
    missing_blocks: int
    live: int | None
    remaining: int | None
    replication: int | None
    block_bytes: int | None
    ahead_s: float
    user: str
    denied: Mapping[str, str]
    believes: bool


def asked(settings: Settings) -> NameNode:
    """Ask the configured NameNode, or the local stack's; changes nothing. Raises NotRunning."""
    hdfs = Hdfs.connect(settings)
    info, state = _bean(hdfs, "NameNodeInfo"), _bean(hdfs, "FSNamesystemState")
    defaults = _json(hdfs, "/", "GETSERVERDEFAULTS").get("FsServerDefaults", {})
    paths = (settings.hdfs.source, settings.hdfs.master, settings.hdfs.quarantine)
    return NameNode(
        version=info.get("Version"),
        safe_mode=info.get("Safemode", ""),
        missing_blocks=info.get("NumberOfMissingBlocks", 0),
        live=state.get("NumLiveDataNodes"),
        remaining=state.get("CapacityRemaining"),
        replication=defaults.get("replication"),
        block_bytes=defaults.get("blockSize"),
        ahead_s=_ahead(hdfs),
        user=_json(hdfs, "/", "GETHOMEDIRECTORY").get("Path", "").rpartition("/")[2],
        denied={path: at for path in paths for at in [_denied(hdfs, path)] if at},
        believes=hdfs.believes(NOBODY),
    )


def _bean(hdfs: Hdfs, name: str) -> dict[str, Any]:
    answer = hdfs.ask("/jmx", qry=f"{_BEAN}{name}")
    beans = answer.json()["beans"] if answer else []
    return dict(beans[0]) if beans else {}


def _json(hdfs: Hdfs, path: str, operation: str) -> dict[str, Any]:
    answer = hdfs.ask(f"{REST}{path}", op=operation)
    return dict(answer.json()) if answer else {}


def _denied(hdfs: Hdfs, path: str) -> str:
    """The path, or the nearest directory above it that is there, where it may not be written."""
    try:
        while path != "/" and hdfs.stat(path) is None:
            path = path.rpartition("/")[0] or "/"
    except NotRunning:
        raise
    except ClickstreamError:  # a directory above it may not even be looked into
        return path
    return "" if hdfs.ask(f"{REST}{path}", op="CHECKACCESS", fsaction="rwx") else path


def _ahead(hdfs: Hdfs) -> float:
    """Its web server tells the time in whole seconds: half of one is as good as it gets."""
    answer = hdfs.ask("/jmx", qry=f"{_BEAN}StartupProgress")
    shown = answer.headers.get("Date") if answer else None
    return parsedate_to_datetime(shown).timestamp() + 0.5 - time.time() if shown else 0.0
