"""Spark jobs in the test's own process: one local session, which the whole run shares.

A job's `compute` is what figures; how a driver is started, ends and dies is tested by those tests
that are marked `submission`. What goes in and what comes out passes through JSON here, too.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from clickstream import config
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.home import write_atomic
from clickstream.runtime import jars
from clickstream.runtime.java import java_home_env, spark_home
from clickstream.runtime.process import Child
from clickstream.spark import events, submit
from clickstream.spark.submit import Job, Watch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JARS = "spark-kafka"

Submitted = Callable[[], AbstractContextManager[None]]
"""Makes a block in which jobs are submitted."""


@cache
def shared() -> "SparkSession":
    """The session; its JVM ends with this process."""
    from pyspark.sql import SparkSession

    scratch = Path(tempfile.mkdtemp(prefix="spark-"))
    job = Job("tests", submit.WARM_UP, {}, java_options=submit.SHORT_JOB)
    values = submit.conf(config.load(home=scratch), job, scratch)
    values["spark.jars"] = ",".join(map(str, jars.files(JARS)))
    os.environ |= java_home_env(os.environ) | {"SPARK_HOME": str(spark_home())}
    builder = SparkSession.builder.master("local[2]")
    for key, value in values.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def session() -> "SparkSession":
    """The same JVM with settings and views of its own."""
    return shared().newSession()


def compute(settings: Settings, job: Job, watch: Watch = lambda _: None) -> events.Event:
    """The last event of a job; `watch` gets each stage. Its traceback, if any, is for nobody."""
    work = import_module(job.module).compute
    plan = json.loads(json.dumps(job.plan))

    def report(**event: Any) -> None:
        if "stage" in event:
            watch(event["stage"])

    with mock.patch.object(events, "report", report), redirect_stderr(StringIO()):
        end = events.outcome(lambda: work(session(), settings, plan))
    return json.loads(json.dumps(end))


def submitted(settings: Settings, job: Job, watch: Watch = lambda _: None) -> dict[str, Any]:
    """Takes the place of `submit.submit`."""
    return events.result(_child(settings, job), [compute(settings, job, watch)])


def launched(settings: Settings, job: Job) -> Child:
    """Takes the place of `submit.launch` for a job that ends by itself: it has ended already."""
    file = settings.files.driver_events(job.name)
    write_atomic(file, json.dumps(compute(settings, job)) + "\n")
    return _child(settings, job)


def _child(settings: Settings, job: Job) -> Child:
    child = Child(settings.files, job.name)
    if running := child.running():
        raise ClickstreamError(f"{job.name} is already running (pid {running.pid})")
    return child


@contextmanager
def jobs_run_here() -> Iterator[Submitted]:
    """In the block jobs run in this process; the stream does where it is to end by itself.

    The value makes a block in which they are submitted all the same.
    """
    real = submit.submit, submit.launch

    def launch(settings: Settings, job: Job) -> Child:
        here = job.plan.get("available_now")
        return launched(settings, job) if here else real[1](settings, job)

    with _replaced(submitted, launch):
        yield lambda: _replaced(*real)


@contextmanager
def _replaced(submit_: Any, launch: Any) -> Iterator[None]:
    before = submit.submit, submit.launch
    submit.submit, submit.launch = submit_, launch
    try:
        yield
    finally:
        submit.submit, submit.launch = before
