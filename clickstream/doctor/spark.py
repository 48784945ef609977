"""Spark: its master, that one's version, and a checkpoint that every executor reaches."""

import re
from collections.abc import Iterator
from importlib.metadata import version

import requests

from clickstream.clients import kerberos
from clickstream.config import Settings
from clickstream.doctor import endpoint
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.spark import submit
from clickstream.speed import compatibility, driver_status

UI_PORT = 8080
TIMEOUT_S = 1.0
_SHOWN = re.compile(r'class="version"[^>]*>\s*([0-9][0-9A-Za-z.\-]*)')


def check(settings: Settings) -> Iterator[Finding]:
    """The master, and where the stream keeps how far it is."""
    master, ours = settings.spark.master, version("pyspark")
    if submit.is_local(master):
        yield ok(f"Spark {ours} in the driver ({master})")
    elif master.startswith("spark://"):
        named = endpoint.addresses(master.removeprefix("spark://"), submit.MASTER_PORT)
        yield from (found := endpoint.reached("Spark's master", named, "spark.master"))
        if not endpoint.nobody_answers(found):
            yield of_master(master, ours, _version(named[0][0]))
    elif not kerberos.conf_dir(settings):
        yield problem(
            f"spark.master is {master}, and neither hdfs.conf_dir nor HADOOP_CONF_DIR is set",
            "set one of them to the directory of the cluster's core-site.xml and yarn-site.xml",
        )
    else:
        yield ok(f"Spark {ours} on {master}, which brings its own version along")
    yield from _checkpoint(settings)


def of_master(master: str, ours: str, theirs: str) -> Finding:
    """A standalone master's version against ours; empty where it does not say."""
    if not theirs:
        text = f"{master} does not say its version (its page on port {UI_PORT} does not answer)"
        return warning(text, f"it must be {ours}, with Java 17 on each worker")
    if theirs != ours:
        text = f"{master} is Spark {theirs}, ours is {ours}: jobs may fail for classes that differ"
        return problem(text, f"run Spark {ours} there, with Java 17 on each worker")
    return ok(f"{master} is Spark {theirs}, as ours")


def _version(host: str) -> str:
    try:
        page = requests.get(f"http://{host}:{UI_PORT}/", timeout=TIMEOUT_S)
    except requests.RequestException:
        return ""
    found = _SHOWN.search(page.text)
    return found[1] if found else ""


def _checkpoint(settings: Settings) -> Iterator[Finding]:
    where = driver_status.checkpoint(settings)
    if submit.on_loopback(settings.spark.master) or compatibility.local(where) is None:
        yield ok(f"the stream's checkpoint is {where}")
        return
    yield problem(
        f"the stream's checkpoint is on this machine ({where}), its executors are elsewhere",
        "speed.checkpoint = hdfs://…: storage that every executor reaches",
    )
