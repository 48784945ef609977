"""A real standalone Spark cluster: a master and two workers on loopback."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from clickstream.clients.endpoints import LOOPBACK, free_ports
from clickstream.home import Home
from clickstream.runtime.java import java_home_env, spark_home
from clickstream.runtime.process import Child
from clickstream.spark import submit

WORKERS = ("worker1", "worker2")
START_TIMEOUT_S = 180  # a second alone on the machine; JVMs beside it share two cores
# What a worker finds: none of the environment that this package is installed in.
PATH = "/usr/local/bin:/usr/bin:/bin"


class Cluster(NamedTuple):
    """`url` for spark.master; `web` lists what was submitted."""

    url: str
    web: str

    def state(self) -> dict:
        """What the master reports; nothing where it does not answer."""
        return asked(f"{self.web}/json/")

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


def asked(url: str) -> dict:
    """What a page says in JSON; nothing where it does not answer, or not in time or in whole.

    A daemon's port is open before its pages are there, and under load an answer may take long.
    """
    try:
        with urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except (OSError, HTTPException, ValueError):
        return {}


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """A cluster in a directory, as long as the block lasts."""
    ports = free_ports(["master", "web"])
    url = f"spark://{LOOPBACK}:{ports['master']}"
    server = ["--host", LOOPBACK, "--port", ports["master"], "--webui-port", ports["web"]]
    daemons = [daemon(directory, "master", "master.Master", *server)]
    made = Cluster(url, f"http://{LOOPBACK}:{ports['web']}")
    try:
        daemons[0].wait_ready(made.ready, START_TIMEOUT_S)
        for name in WORKERS:
            address = ["--host", LOOPBACK, "--webui-port", 0, "--work-dir", directory / name]
            share = ["--cores", 1, "--memory", "1g"]
            daemons.append(daemon(directory, name, "worker.Worker", *address, *share, url))
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
