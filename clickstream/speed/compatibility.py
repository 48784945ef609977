"""The settings and the build of the stored counts; other counts must not be added to them.

A setting is part of it where lines counted before its change would count differently, or where rows
that are not made from scratch each time (`ddos`, `alerts`) would stay as they were. The trigger,
the rows of a batch and the like are not: where a batch is cut changes nothing.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from clickstream import weblog
from clickstream.clients import kafka
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.speed import driver_status
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.writer import RESET, refuse_other_checkpoint
from clickstream.weblog import formats

# Raised when a line counts differently, or is stored differently, than before.
BUILD = 3
TOPIC_ID, VHOSTS = "topic id", "servers of format vhost_combined"
SETTINGS = (
    "window_seconds",
    "ddos_requests_per_second",
    "health_non_200",
    "health_resolve_non_200",
    "healthy_statuses",
    "alert_gap_seconds",
    "max_ahead_seconds",
)
LOST = (
    "clickstream speed reset, then speed run, counts what the topic holds now;"
    " the batch layer has every line"
)

Conditions = dict[str, Any]


def of(settings: Settings) -> Conditions:
    """The conditions of counting with these settings; raises NotRunning without the topic."""
    return _of_lines(settings) | {
        "kafka.topic": settings.kafka.topic,
        TOPIC_ID: kafka.topic_id(settings),
    }


def check(settings: Settings, views: RealTime) -> None:
    """Refuse to go on with counts and a checkpoint that are not of these settings and this build.

    Raises ClickstreamError. A checkpoint elsewhere than on this machine is checked by its driver.
    """
    stored, status = views.compatibility(), views.status()
    _check_checkpoint(driver_status.checkpoint(settings), status["query"])
    if stored is None and status["batch"] is not None:
        raise ClickstreamError("the real-time views were made by another build", RESET)
    differing = differences(stored, of(settings), status["servers"]) if stored else []
    if differing == [TOPIC_ID]:
        raise ClickstreamError(
            f"the topic {settings.kafka.topic} was deleted and recreated since lines of it were"
            " counted; some may be lost",
            LOST,
        )
    if differing:
        before = "; ".join(f"{key} was {stored.get(key)}" for key in differing) if stored else ""
        raise ClickstreamError(
            f"the real-time views were made under other settings: {before}", RESET
        )


def check_lines(settings: Settings, views: RealTime) -> None:
    """Refuse to count lines again, wherever they come from, in another way than the stored counts.

    Raises ClickstreamError.
    """
    stored, now = views.compatibility() or {}, _of_lines(settings)
    differing = differences(stored, now, views.status()["servers"])
    if differing:
        before = "; ".join(f"{key} was {stored.get(key)}" for key in differing)
        raise ClickstreamError(
            f"the real-time views were made under other settings: {before}", RESET
        )


def differences(stored: Conditions, now: Conditions, counted: Collection[str]) -> list[str]:
    """The keys that differ; the format of a server without a counted line is free."""
    then, now = (_narrowed(each, counted) for each in (stored, now))
    differing = [key for key in now if then.get(key) != now[key]]
    return [key for key in differing if key != TOPIC_ID or "kafka.topic" not in differing]


def local(url: str) -> Path | None:
    """The directory of a checkpoint; None where it is not on this machine."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme in ("", "file") else None


def _of_lines(settings: Settings) -> Conditions:
    """The part of the conditions that says how a line is counted."""
    conditions = {f"speed.{key}": getattr(settings.speed, key) for key in SETTINGS}
    mapping = settings.categories.fingerprint
    return conditions | {"build": BUILD, "categories": mapping, VHOSTS: _formats(settings)}


def _formats(settings: Settings) -> list[str]:
    """The servers not read as combined: each with what tells other formats apart."""
    marks = {
        server: "" if form is weblog.VHOST_COMBINED else f" as {_digest(form.reading)}"
        for server, form in formats.readings(settings).items()
    }
    return sorted(f"{server}{mark}" for server, mark in marks.items())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _narrowed(conditions: Conditions, counted: Collection[str]) -> Conditions:
    named = [each for each in conditions.get(VHOSTS, []) if each.split(" ")[0] in counted]
    return conditions | {VHOSTS: named}


def _check_checkpoint(url: str, query: str | None) -> None:
    """The views' query must be that of the checkpoint; without views no batch may be committed."""
    directory = local(url)
    if directory is None:
        return
    try:
        query_id = json.loads((directory / "metadata").read_text())["id"]
    except FileNotFoundError:
        query_id = None
    except (ValueError, KeyError, OSError) as error:
        raise ClickstreamError(f"the checkpoint {directory} cannot be read", RESET) from error
    refuse_other_checkpoint(query, query_id)
    if query is None and any((directory / "commits").glob("[0-9]*")):
        raise ClickstreamError("there is a checkpoint, but no real-time views", RESET)
