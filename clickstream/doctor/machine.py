"""This machine: Python, Java, disk, memory, file handles, and the ports that were chosen."""

import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from clickstream.clients.endpoints import can_listen
from clickstream.config import Settings
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.errors import ClickstreamError
from clickstream.runtime import java
from clickstream.stack import local
from clickstream.stack.ports import taken_by

PYTHONS = ((3, 11), (3, 14))
ENOUGH_DISK, ENOUGH_MEMORY, LITTLE_MEMORY = 3 * 2**30, 3.6 * 2**30, 2**30
ENOUGH_HANDLES, FEW_HANDLES = 16_384, 4096
"""A JVM takes as many as the hard limit allows; HDFS and Cassandra hold thousands open."""


def check(settings: Settings) -> Iterator[Finding]:
    """What is installed, and what is left of it."""
    yield python(sys.version_info[:2])
    yield _java()
    yield disk(settings, shutil.disk_usage(_there(settings.home)).free)
    memory = psutil.virtual_memory()
    yield memory_left(memory.total, memory.available)
    yield handles(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield from _ports(settings)


def python(version: tuple[int, ...]) -> Finding:
    """The Python that runs this."""
    oldest, newest = (".".join(map(str, each)) for each in PYTHONS)
    shown = platform.python_version()
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        return warning(f"Python {shown} was not tried", f"use {oldest} to {newest}")
    return ok(f"Python {shown}")


def disk(settings: Settings, free: int) -> Finding:
    """The room for the home: spools, channels, ledger, and the local stack's stores."""
    least = settings.flume.minimum_free_mb * 2**20
    text = f"{free / 1e9:,.1f} GB are free for {settings.home}"
    if free < least:
        why = f"{text}: channels take nothing below flume.minimum_free_mb"
        return problem(f"{why} ({settings.flume.minimum_free_mb:,})", "free disk space there")
    return ok(text) if free >= ENOUGH_DISK else warning(text, "free disk space there: 3 GB or more")


def memory_left(total: int, available: int) -> Finding:
    """Memory, for the local stack and for Spark's driver."""
    text = f"{available / 1e9:,.1f} of {total / 1e9:,.1f} GB of memory are available"
    if available < LITTLE_MEMORY or total < ENOUGH_MEMORY:
        return warning(text, "the local stack and a Spark job take 4 GB together")
    return ok(text)


def handles(most: int) -> Finding:
    """How many files a process may hold open (the hard limit)."""
    unlimited = most == resource.RLIM_INFINITY
    text = f"a process may open {'any number of' if unlimited else f'{most:,}'} files"
    if unlimited or most >= ENOUGH_HANDLES:
        return ok(text)
    made = problem if most < FEW_HANDLES else warning
    return made(text, "raise the hard limit: LimitNOFILE= of the service, or limits.conf")


def _java() -> Finding:
    try:
        return ok(f"Java {java.VERSION}: {java.java()}")
    except ClickstreamError as error:
        return problem(error.message, error.hint)


def _ports(settings: Settings) -> Iterator[Finding]:
    """A configured port must be our own service's, or free."""
    chosen = settings.stack.ports.model_dump()
    for service in local.chosen(settings):
        if service.external_address():
            continue
        for process, running in service.running().items():
            for name in service.parts()[process]:
                if chosen[name] and not running and not can_listen(chosen[name]):
                    text = f"port {chosen[name]} (stack.ports.{name}) is taken"
                    hint = f"choose another in stack.ports.{name}, or 0 for a free one"
                    yield problem(f"{text}{taken_by(chosen[name])}", hint)


def _there(path: Path) -> Path:
    """The nearest directory that is there: a home is made when it is needed."""
    return path if path.exists() else _there(path.parent)
