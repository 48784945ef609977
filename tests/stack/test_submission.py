"""Both jobs on a real standalone Spark cluster: a master and two workers on loopback."""

import json
import os
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from clickstream import config
from clickstream.clients import kafka
from clickstream.clients.endpoints import LOOPBACK, free_ports
from clickstream.config import Settings
from clickstream.home import Home
from clickstream.runtime.java import java_home_env, spark_home
from clickstream.runtime.process import Child, wait_until
from clickstream.spark import submit
from clickstream.views.batch import BatchViews
from tests.stack.test_batch_layer import LINES, expected, figures, master_files, put
from tests.stack.test_speed_layer import (
    answers,
    attacks,
    filler,
    log_of,
    produce,
    stamped,
)
from tests.stack.test_speed_layer import expected as expected_of_speed

WORKERS = ("worker1", "worker2")
START_TIMEOUT_S = 180  # a second alone on the machine; JVMs beside it share two cores
# What a worker finds: none of the environment that this package is installed in.
PATH = "/usr/local/bin:/usr/bin:/bin"


class Cluster(NamedTuple):
    """`url` for spark.master; `web` lists what was submitted."""

    url: str
    web: str

    def state(self) -> dict:
        """What the master reports; nothing where it does not answer, or not in time or in whole.

        Its port is open before its pages are there, and under load an answer may take long.
        """
        try:
            with urlopen(f"{self.web}/json/", timeout=10) as answer:
                return json.load(answer)
        except (OSError, HTTPException, ValueError):
            return {}

    def ready(self, workers: int = 0) -> bool:
        """Whether the master takes applications and has so many workers."""
        state = self.state()
        return state.get("status") == "ALIVE" and state["aliveworkers"] == workers

    def finished(self) -> list[tuple[str, int, int, str]]:
        """Of each application that has ended: name, cores, MB of an executor, state."""
        return [
            (app["name"], app["cores"], app["memoryperexecutor"], app["state"])
            for app in self.state().get("completedapps", ())
        ]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    ports = free_ports(["master", "web"])
    url = f"spark://{LOOPBACK}:{ports['master']}"
    server = ["--host", LOOPBACK, "--port", ports["master"], "--webui-port", ports["web"]]
    daemons = [daemon(tmp_path, "master", "master.Master", *server)]
    made = Cluster(url, f"http://{LOOPBACK}:{ports['web']}")
    try:
        daemons[0].wait_ready(made.ready, START_TIMEOUT_S)
        for name in WORKERS:
            address = ["--host", LOOPBACK, "--webui-port", 0, "--work-dir", tmp_path / name]
            share = ["--cores", 1, "--memory", "1g"]
            daemons.append(daemon(tmp_path, name, "worker.Worker", *address, *share, url))
            daemons[-1].wait_ready(partial(made.ready, len(daemons) - 1), START_TIMEOUT_S)
        yield made
    finally:
        for each in reversed(daemons):
            each.stop(10)


def daemon(directory: Path, name: str, main: str, *arguments: object) -> Child:
    """Start a daemon of Spark's own, from the jars that submit the jobs."""
    child = Child(Home(directory), name)
    argv = [spark_home() / "bin" / "spark-class", f"org.apache.spark.deploy.{main}", *arguments]
    env = java_home_env({"PATH": PATH, "HOME": str(directory), "SPARK_LOCAL_IP": LOOPBACK})
    env |= {"SPARK_HOME": str(spark_home()), "SPARK_DAEMON_MEMORY": "256m"}
    env |= {"SPARK_DAEMON_JAVA_OPTS": " ".join(submit.SHORT_JOB)}
    child.start([*map(str, argv)], env=env | {"USER": os.environ.get("USER", "nobody")})
    return child


@pytest.mark.campaign("a standalone cluster")
@pytest.mark.submission
def test_both_jobs_run_on_a_cluster(fresh, run, cluster, tmp_path, monkeypatch):
    for path, content in master_files(LINES).items():
        put(fresh, path, content)
    kafka.ensure_topic(fresh)
    logs = {server: filler(500, 1) + lines for server, lines in attacks().items()}
    for server, lines in logs.items():
        produce(fresh, server, stamped(server, lines))
    on_cluster = ("--set", f"spark.master={cluster.url}")
    small = ("--conf", "spark.executor.memory=513m")
    for options in ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"):
        small += ("--conf", f"{options}={' '.join(submit.SHORT_JOB)}")
    batch = run(*on_cluster, "batch", "run", *small)
    run(*on_cluster, "speed", "run", "--available-now", *small)
    assert "listing the master dataset" in batch.stderr
    wait_until(lambda: len(cluster.finished()) == 2, 60, "the end of both applications")
    assert sorted(cluster.finished()) == [
        ("clickstream batch", 2, 513, "FINISHED"),
        ("clickstream speed", 2, 513, "FINISHED"),
    ]
    for worker in WORKERS:
        for file in ("stderr", "clickstream.zip"):
            assert len(list((tmp_path / worker).glob(f"app-*/*/{file}"))) == 2, f"not on {worker}"
    with BatchViews.connect(fresh) as views:
        assert figures(views) == expected(LINES)
    found = expected_of_speed({server: log_of(lines) for server, lines in logs.items()})
    assert answers(fresh, list(logs)) == found
    monkeypatch.syspath_prepend(tmp_path)
    sent = fresh.files.scratch("asked") / "clickstream.zip"
    assert imported(fresh, cluster, tmp_path) == str(sent)


def imported(settings: Settings, cluster: Cluster, directory: Path) -> str:
    """From where a job's driver takes this package."""
    (directory / "asked.py").write_text(
        "import clickstream\nfrom clickstream.spark import driver\n"
        "driver.job_main(lambda *_: {'from': clickstream.__path__[0].rpartition('/')[0]})"
    )
    flags = settings.origin.flags | {"spark.master": cluster.url}
    there = config.load(settings.origin.file, settings.home, flags)
    return submit.submit(there, submit.Job("asked", "asked", {}))["from"]
