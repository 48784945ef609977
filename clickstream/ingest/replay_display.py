"""The display of a replay: how far it is, how fast, and what it waits for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from clickstream.console import live
from clickstream.ingest.replay import Observer, Progress


@contextmanager
def shown() -> Iterator[Observer]:
    """An observer that shows the progress on stderr."""
    with live.display() as display:
        yield observer(display)


def observer(display: live.Display) -> Observer:
    """An observer that shows the progress: on a terminal by a bar."""
    from rich import progress as bars

    bar = bars.Progress(
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[lines]} lines"),
        bars.TextColumn("{task.fields[rate]:.0f}/s"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[waiting]}", markup=False),
    )
    began = time.monotonic()
    task = bar.add_task("replay", lines=0, rate=0.0, waiting="")

    def observe(progress: Progress) -> None:
        waiting = f"waiting for {progress.waiting_for}" if progress.waiting_for else ""
        bar.update(
            task,
            total=progress.bytes_total,
            completed=progress.bytes_done,
            lines=progress.lines,
            rate=progress.lines / max(time.monotonic() - began, 0.001),
            waiting=waiting,
        )
        display.show(f"{progress.lines} lines spooled {waiting}".rstrip(), bar)

    return observe


def summary(progress: Progress) -> str:
    """One sentence for the end."""
    if progress.lines == 0:
        return "nothing new: no line that was not spooled before"
    return f"{progress.lines} lines of {progress.logs} logs spooled, {progress.invalid} invalid"
