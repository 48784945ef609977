"""The display of a replay: a live line on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clickstream.ingest.replay import Observer, Progress

PLAIN_INTERVAL_S = 5.0


@contextmanager
def shown() -> Iterator[Observer]:
    """An observer that shows the progress on stderr."""
    if sys.stderr.isatty():
        with _live() as observe:
            yield observe
    else:
        yield _Plain().observe


def summary(progress: Progress) -> str:
    """One sentence for the end."""
    if progress.lines == 0:
        return "nothing new: no line that was not spooled before"
    return f"{progress.lines} lines of {progress.logs} logs spooled, {progress.invalid} invalid"


@contextmanager
def _live() -> Iterator[Observer]:
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[lines]} lines"),
        bars.TextColumn("{task.fields[rate]:.0f}/s"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[waiting]}"),
    )
    began = time.monotonic()
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replay", lines=0, rate=0.0, waiting="")

        def observe(progress: Progress) -> None:
            bar.update(
                task,
                total=progress.bytes_total,
                completed=progress.bytes_done,
                lines=progress.lines,
                rate=progress.lines / max(time.monotonic() - began, 0.001),
                waiting=_waiting(progress),
            )

        yield observe


class _Plain:
    def __init__(self) -> None:
        self._next = time.monotonic() + PLAIN_INTERVAL_S

    def observe(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next += PLAIN_INTERVAL_S
            print(f"{progress.lines} lines spooled {_waiting(progress)}".rstrip(), file=sys.stderr)


def _waiting(progress: Progress) -> str:
    return f"waiting for {progress.waiting_for}" if progress.waiting_for else ""
