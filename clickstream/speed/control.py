"""The running speed layer, seen from outside its driver: start, follow, stop, reset."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clickstream import formats, jars, kafka, spark
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, ServiceFailed
from clickstream.process import Child, Running, wait_until
from clickstream.speed import basis, progress, show
from clickstream.views.realtime import RealTime

NAME = "speed"
JARS = "spark-kafka"
JOB = Path(__file__).parent / "job.py"
POLL_S = 0.2
STOP_TIMEOUT_S = 20
READY_TIMEOUT_S = 120


def launch(settings: Settings, available_now: bool = False, max_rows: int | None = None) -> Child:
    """Start the driver and leave it; raises where it runs already, has nothing to read or write, or
    would add to counts that rest on something else (`basis.check`).

    The topic and the views are asked first: that takes less than Spark's start.
    """
    running = child(settings).running()
    if running:
        raise ClickstreamError(
            f"the speed layer runs already (pid {running.pid})", "clickstream speed stop ends it"
        )
    formats.check_home(settings)
    kafka.offsets(settings)
    with RealTime.connect(settings) as views:
        basis.check(settings, views)
    spark.prepare(settings)
    progress.forget(settings)
    args = [progress.AVAILABLE_NOW] if available_now else []
    args += [progress.MAX_ROWS, str(max_rows)] if max_rows else []
    return spark.launch(settings, spark.Job(NAME, JOB, tuple(args), tuple(jars.files(JARS))))


def attend(settings: Settings, driver: Child, say: Callable[[str], None]) -> None:
    """Stay with the driver until its end, a line for each batch; raises as `check_end`.

    Whatever ends this ends the driver: Ctrl-C, SIGTERM and SIGHUP leave nothing running.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    told, running = "", True
    try:
        while running:
            running = driver.running() is not None
            status = progress.read(settings)
            line = show.live_line(status) if status else told
            if line != told:
                say(line)
                told = line
            time.sleep(POLL_S)
    except BaseException:
        stop(settings)
        raise
    check_end(settings, driver)


def wait_first(settings: Settings, driver: Child) -> None:
    """Wait until the stream has started; raises as `check_end` where the driver ends before.

    Whatever ends this early ends the driver, too.
    """
    try:
        wait_until(
            lambda: progress.read(settings) is not None,
            READY_TIMEOUT_S,
            "the speed layer's start",
            check=lambda: check_alive(settings, driver),
        )
    except BaseException:
        stop(settings)
        raise


def check_alive(settings: Settings, driver: Child) -> None:
    """For whoever waits on the driver: raises as `check_end` where it does not run any more."""
    if driver.running() is None:
        check_end(settings, driver)


def check_end(settings: Settings, driver: Child) -> None:
    """Raise ServiceFailed, with the driver's reason, unless it ended as it should."""
    notes = spark.read_notes(spark.notes_file(settings, NAME))
    last = notes[-1] if notes else {}
    if "done" in last or progress.stop_wanted(settings):
        return
    sentence = last.get("failed") or f"the speed layer ended early{driver.tail()}"
    failure = ServiceFailed(
        sentence, "; ".join(filter(None, [last.get("hint"), f"log: {driver.log}"]))
    )
    if last.get("cause"):
        raise failure from ServiceFailed(last["cause"])
    raise failure


def stop(settings: Settings) -> Running | None:
    """End the driver between two batches where it answers, else by signal; None: none ran."""
    driver = child(settings)
    running = driver.running()
    if running is None:
        return None
    progress.want_stop(settings)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while driver.running() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    driver.stop()
    return running


def reset(settings: Settings) -> None:
    """Forget what was counted: the checkpoint and the views. Refused while the driver runs."""
    running = child(settings).running()
    if running:
        raise ClickstreamError(
            f"the speed layer runs (pid {running.pid})", "clickstream speed stop first"
        )
    with RealTime.connect(settings) as views:
        views.clear()
    _remove(progress.checkpoint(settings))


def report(settings: Settings) -> dict[str, Any]:
    """`running`, `pid`, `behind`, `batch_ms` of the driver; `batch` and `servers` of the views."""
    running = child(settings).running()
    told = progress.read(settings) if running else None
    with RealTime.connect(settings) as views:
        stored = views.status()
    return {
        "running": running is not None,
        "pid": running.pid if running else None,
        "behind": told.behind if told else None,
        "batch_ms": told.batch_ms if told else None,
        "batch": stored["batch"],
        "servers": stored["servers"],
    }


def child(settings: Settings) -> Child:
    """The driver's process."""
    return Child(settings.path("run"), NAME, settings.path("logs", f"{NAME}.log"))


def _remove(url: str) -> None:
    directory = basis.local(url)
    if directory is None:
        raise ClickstreamError(
            f"the views are cleared; the checkpoint {url} is not on this machine",
            "remove it before the next speed run",
        )
    shutil.rmtree(directory, ignore_errors=True)
