"""The driver of a job: this very Python, started by `spark-submit` in client mode.

A job is a module with `compute(session, settings, plan) -> result`, and `job_main(compute)` under
`if __name__ == "__main__"`. `plan` and `result` are JSON objects. Called from Python, `compute`
works in any session that is configured as the job needs it.
"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from clickstream import config
from clickstream.spark import events, kerberos

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from clickstream.config import Settings

Plan = dict[str, Any]
Compute = Callable[["SparkSession", "Settings", Plan], "dict[str, Any] | None"]

REPORT_SECONDS = 0.5


def job_main(compute: Compute) -> NoReturn:
    """Compute what the plan asks, the file that is the first argument, and report how it ended.

    The process ends here: threads of py4j that are no daemons would keep it for ever once the JVM
    has exited.
    """
    code = 1
    _prefer_installed_pyspark()
    try:
        end = events.outcome(lambda: _run(compute))
        events.report(**end)
        code = int("failed" in end)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(compute: Compute) -> dict[str, Any] | None:
    settings = config.load()
    plan = json.loads(Path(sys.argv[1]).read_text())
    events.report(stage="starting Spark")
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    kerberos.give_tokens(session, settings)
    return compute(session, settings, plan)


@contextmanager
def stage(session: "SparkSession", name: str) -> Iterator[None]:
    """Report the stage, and while the block runs how far Spark is with its tasks."""
    events.report(stage=name)
    over = threading.Event()
    reporter = threading.Thread(target=_report_tasks, args=(session, name, over), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()


def _report_tasks(session: "SparkSession", name: str, over: threading.Event) -> None:
    from py4j.protocol import Py4JError

    reported = ""
    with suppress(Py4JError, OSError):  # the JVM has exited: the block itself reports it
        tracker = session.sparkContext.statusTracker()
        while not over.wait(REPORT_SECONDS):
            running = tasks(tracker)
            if running not in ("", reported):
                reported = running
                events.report(stage=f"{name}: {running}")


def tasks(tracker: Any) -> str:
    """Spark's running stages and their tasks, as its status tracker lists them; "" for none."""
    infos = [tracker.getStageInfo(number) for number in sorted(tracker.getActiveStageIds())]
    active = [info for info in infos if info is not None]
    if not active:
        return ""
    numbers = ", ".join(str(info.stageId) for info in active)
    done = sum(info.numCompletedTasks for info in active)
    return f"Spark stage {numbers}, {done} of {sum(info.numTasks for info in active)} tasks"


def _prefer_installed_pyspark() -> None:
    """Spark puts a zip of pyspark in front, which has no compiled files: 1 s of the start."""
    sys.path[:] = [entry for entry in sys.path if not entry.endswith("/pyspark.zip")]
