"""Processes that begin with this package imported, which a fresh Python needs a second for."""

import multiprocessing
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from clickstream import config, faultpoints
from clickstream.ingest.spool import spooler
from clickstream.ingest.spool.chunks import Limits
from clickstream.views.batch import BatchViews

# Forked from a server that has no thread, connection or lock: nothing of the tests gets in.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def child(work: Callable[..., None], *arguments: object, fault: str = "") -> BaseProcess:
    """A process that does the work, a function of this module; `fault` as CLICKSTREAM_FAULT."""
    process = _CONTEXT.Process(target=_run, args=(fault, work, arguments))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """Wait for its end; the exit code, negative where a signal ended it."""
    process.join(60)
    return process.exitcode


def _run(fault: str, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    faultpoints._NAME, _, faultpoints._NTH = fault.partition(":")
    work(*arguments)


def replace_day(
    home: Path, flags: Mapping[str, str], day: str, rows: dict[str, Any], times: int = 1
) -> None:
    """Write a day of the batch views, several times."""
    with BatchViews.connect(config.load(home=home, flags=flags)) as views:
        for _ in range(times):
            views.replace_day(day, rows)


def spool(home: Path, log: Path) -> None:
    """Spool a log in chunks of seven lines, each of which an agent takes at once."""
    opener = partial(spooler.opened_file, log)
    with spooler.opened(config.load(home=home), ["weblog1"]) as opened:
        known = opened.recognise("weblog1", opener, f"file://{log}")
        with log.open("rb") as stream:
            stream.seek(known.offset)
            for chunk in known.chunks(stream, Limits(7, 10**6)):
                opened.spool(known, chunk)
                for file in (home / "spool" / "weblog1").glob("*.log"):
                    file.rename(f"{file}.COMPLETED")
                opened.tidy()
