"""Homes on the shared stack, and command lines run in them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import psutil

from clickstream import config, endpoints
from clickstream.config import Settings
from clickstream.process import Child
from clickstream.spark import SHORT_JOB

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# No driver here lives long: without the slow compiler a stream's costs 19 s of CPU instead of 45.
QUICK_DRIVER = {"spark.driver.extraJavaOptions": " ".join(SHORT_JOB)}
_numbers = count(1)

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def forget_environment() -> None:
    """Whatever the environment says of this project's settings shall not reach a test."""
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        if config.NESTED in name or name in ("CLICKSTREAM_HOME", "CLICKSTREAM_CONFIG"):
            del os.environ[name]


def fresh_home(settings: Settings, home: Path, **flags: str) -> Iterator[Settings]:
    """Settings for a new home on the shared stack; its children are stopped in the end."""
    endpoints.remember_ports(home, _stack_ports(settings))
    for user in (endpoints.DATABASE_USER, endpoints.DATABASE_READER):
        if endpoints.password_file(settings.home, user).exists():
            file = endpoints.password_file(home, user)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(endpoints.password_file(settings.home, user), file)
    name = f"t{next(_numbers)}"
    own = {
        "kafka.topic": name,
        "cassandra.keyspace": name,
        "hdfs.source": f"/{name}/source",
        "hdfs.master": f"/{name}/master",
        "hdfs.quarantine": f"/{name}/quarantine",
        "flume.idle_timeout_seconds": "1",
        "spark.conf": json.dumps(QUICK_DRIVER),
    }
    made = config.load(home=home, flags=own | flags)
    _empty_database(made)
    try:
        yield made
    finally:
        stop_children(made)


def runner(settings: Settings) -> Command:
    """Runs command lines in a home; `code` is the exit code that is expected."""

    def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "clickstream.cli", *map(str, arguments)],
            env=settings.child_env(),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


def stop_children(settings: Settings) -> None:
    """Stop every child of a home; the shared services are not among a fresh home's."""
    services = {"kafka", "namenode", "datanode", "cassandra", "mariadb"}
    names = [name for name in settings.files.children() if name not in services]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: Child(settings.files, name).stop(5), names))


def left_running(place: Path) -> list[str]:
    """The command lines of processes, other than this one, that name a place."""
    lines = (
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid()
    )
    return [line for line in lines if str(place) in line]


def _stack_ports(settings: Settings) -> dict[str, int]:
    ports = endpoints.remembered_ports(settings.home)
    return {name: port for name, port in ports.items() if name in config.Ports.model_fields}


def _empty_database(settings: Settings) -> None:
    from sqlalchemy import MetaData, create_engine

    engine = create_engine(endpoints.database_url(settings))
    tables = MetaData()
    tables.reflect(engine)
    tables.drop_all(engine)
    engine.dispose()
