"""The running speed layer from outside its driver: start, follow, stop, reset."""

import shutil
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from clickstream import clocks, undelivered
from clickstream.clients import endpoints, kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.days import duration
from clickstream.errors import ClickstreamError, NoData, NotRunning
from clickstream.runtime import jars
from clickstream.runtime.process import Child, Running, signals_interrupt, wait_until
from clickstream.spark import events, kerberos, submit
from clickstream.speed import alert_dispatch, compatibility, display, driver_status
from clickstream.speed.driver_status import Status
from clickstream.views.realtime import RealTime
from clickstream.weblog import formats

NAME = "speed"
REBUILD = "speed-rebuild"
JARS = "spark-kafka"
MODULE = "clickstream.speed.job"
# With two cores nothing is left to collect garbage beside the work: a tenth less CPU than G1.
JAVA_OPTIONS = ("-XX:+UseSerialGC",)
POLL_S = 0.2
DRIVER = ("behind", "batch_ms", "rows_per_s", "alerts", "notice")
STOP_TIMEOUT_S = 20
READY_TIMEOUT_S = 300  # on two cores at a load of 12 it took more than two minutes


def launch(settings: Settings, available_now: bool = False, max_rows: int | None = None) -> Child:
    """Start the driver and leave it; raises where it is already running, has nothing to read or
    write, or would add to counts made under other settings (`compatibility.check`).

    The topic and the views are checked first: that takes less than Spark's start.
    """
    running = child(settings).running()
    if running:
        raise ClickstreamError(
            f"the speed layer is already running (pid {running.pid})",
            "clickstream speed stop ends it",
        )
    refuse_while_writing(settings)
    kerberos.refuse_stream(settings, driver_status.checkpoint(settings))
    formats.check_home(settings)
    kafka.offsets(settings)
    with RealTime.connect(settings) as views:
        compatibility.check(settings, views)
    driver_status.forget(settings)
    plan = {"available_now": available_now, "max_rows": max_rows}
    job = submit.Job(NAME, MODULE, plan, tuple(jars.files(JARS)), JAVA_OPTIONS)
    return submit.launch(settings, job)


def attend(settings: Settings, driver: Child, watch: display.Watcher) -> None:
    """Stay with the driver until its end; `watch` sees its status, and changes of alerts
    are printed. Raises as `check_end`.

    Whatever ends this ends the driver: Ctrl-C, SIGTERM and SIGHUP leave nothing running.
    """
    print_alerts = alert_dispatch.terminal_printer(settings)
    running = True
    with signals_interrupt():
        try:
            while running:
                running = driver.running() is not None
                status = driver_status.read(settings)
                watch(status)
                print_alerts(status.batch if status else None)
                time.sleep(POLL_S)
        except BaseException:
            stop(settings)
            watch(driver_status.read(settings))  # the batches that ended meanwhile
            raise
    check_end(settings, driver)


def wait_first(settings: Settings, driver: Child) -> None:
    """Wait until the stream has started; raises as `check_end` where the driver ends before.

    Whatever ends this early ends the driver, too.
    """
    try:
        wait_until(
            lambda: driver_status.read(settings) is not None,
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
    if not driver_status.stop_wanted(settings):
        events.result(driver, _events(settings))


def stop(settings: Settings) -> Running | None:
    """End the driver between two batches where it answers, else by signal; None: none ran."""
    driver = child(settings)
    running = driver.running()
    if running is None:
        return None
    driver_status.want_stop(settings)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while driver.running() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    driver.stop()
    return running


def reset(settings: Settings) -> None:
    """Forget what was counted: the checkpoint and the views. Refused while the driver runs."""
    refuse_while_writing(settings)
    with RealTime.connect(settings) as views:
        views.clear()
    _remove(settings, driver_status.checkpoint(settings))


def refuse_while_writing(settings: Settings) -> None:
    """Raise ClickstreamError while the stream or a rebuild writes the views."""
    running = child(settings).running()
    if running:
        raise ClickstreamError(
            f"the speed layer is running (pid {running.pid})", "clickstream speed stop first"
        )
    rebuild = Child(settings.files, REBUILD)
    if running := rebuild.running():
        raise ClickstreamError(
            f"speed rebuild is already running (pid {running.pid})", "wait until it ends"
        )


def report(settings: Settings) -> dict[str, Any]:
    """The state of the driver, and how far the stream came.

    `running`, `healthy`, `complaint` (why not; of a driver that failed, its reason), `pid`; of the
    driver `behind`, `batch_ms`, `rows_per_s`, `alerts` (open ones), `notice` (what to know of how
    it counts), all None until it has ended a batch, and `waiting_since` (ISO UTC); `batch` and
    `servers` of the views, or as the driver knows them while Cassandra is away. `clocks_behind`:
    how many seconds a server's clock is behind the latest event, where that is more than a window;
    `undelivered`: how many changes of alerts a sink has refused for good; `notes`: sentences on
    both, and on sinks that take nothing now.
    """
    running = child(settings).running()
    status = driver_status.read(settings) if running else None
    complaint = _complaint(settings, running, status)
    figures = asdict(status) if status and status.batch is not None else {}
    since = status.waiting_since if status else 0
    stored = _stored(settings, status)
    latest = {name: at for name, each in stored["servers"].items() if (at := each["latest"])}
    behind = clocks.behind(latest, settings.speed.window_seconds)
    return {
        "running": running is not None,
        "healthy": running is not None and not complaint,
        "complaint": complaint,
        "pid": running.pid if running else None,
        **{key: figures.get(key) for key in DRIVER},
        "waiting_since": driver_status.moment(int(since)) if since else None,
        **stored,
        "clocks_behind": behind,
        "undelivered": len(undelivered.kept(settings.files)),
        "notes": [
            *_clock_notes(behind),
            *_sink_notes(status),
            *filter(None, [undelivered.note(settings.files)]),
        ],
    }


def child(settings: Settings) -> Child:
    """The driver's process."""
    return Child(settings.files, NAME)


def _complaint(settings: Settings, running: Running | None, status: Status | None) -> str:
    if running is None:
        last = (_events(settings) or [{}])[-1]
        return "" if driver_status.stop_wanted(settings) else str(last.get("failed", ""))
    status = status or Status(updated_at=running.created, healthy_at=running.created)
    return status.complaint(time.time(), settings.speed.unhealthy_seconds)


def _clock_notes(behind: dict[str, int]) -> list[str]:
    texts = [f"{server} is {duration(lag_s)} behind" for server, lag_s in behind.items()]
    why = "a wrong clock, no traffic, or lines that are still to come"
    return [f"the servers' clocks differ: {', '.join(texts)} ({why})"] if texts else []


def _sink_notes(status: Status | None) -> list[str]:
    failing = status.failing if status else {}
    return [
        f"the {sink} takes no alerts now: {why}; it is tried again" for sink, why in failing.items()
    ]


def _events(settings: Settings) -> list[events.Event]:
    return events.read(settings.files.driver_events(NAME))


def _stored(settings: Settings, status: Status | None) -> dict[str, Any]:
    try:
        with RealTime.connect(settings, reader=True) as views:
            stored = views.status()
    except NoData:
        stored = {"batch": None, "servers": {}}
    except NotRunning:
        if status is None:
            raise
        stored = asdict(status)
    return {key: stored[key] for key in ("batch", "servers")}


def _remove(settings: Settings, url: str) -> None:
    """Remove a checkpoint of this machine, or of the HDFS that is ours; refuse any other."""
    parts = urlsplit(url)
    if directory := compatibility.local(url):
        shutil.rmtree(directory, ignore_errors=True)
    elif parts.scheme == "hdfs" and f"hdfs://{parts.netloc}" == endpoints.hdfs_url(settings):
        Hdfs.connect(settings).delete(parts.path, recursive=True)
    else:
        raise ClickstreamError(
            f"the views are cleared; the checkpoint {url} is neither here nor in our HDFS",
            "remove it before the next speed run",
        )
