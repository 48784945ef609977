"""Homes on the shared stack, and command lines run in them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import count
from pathlib import Path
from unittest import mock

import psutil

from clickstream import cli, config
from clickstream.clients import endpoints
from clickstream.config import Settings, layers
from clickstream.config.sections import Ports
from clickstream.console import options
from clickstream.runtime.process import Child
from clickstream.spark.submit import SHORT_JOB

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
# No driver or agent here lives long: without the slow compiler a stream's costs 19 s of CPU instead
# of 45, an agent's start 2.8 s instead of 4.9.
QUICK_DRIVER = {"spark.driver.extraJavaOptions": " ".join(SHORT_JOB)}
QUICK_AGENT = ["-XX:TieredStopAtLevel=1"]
_numbers = count(1)

LIMIT_S = 400
# What a command may take over for itself, and what it leaves taken over at its end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def forget_environment() -> None:
    """Whatever the environment says of this project's settings shall not reach a test."""
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        if layers.NESTED in name or name in ("CLICKSTREAM_HOME", "CLICKSTREAM_CONFIG"):
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
        "flume.java_options": json.dumps(QUICK_AGENT),
        "spark.conf": json.dumps(QUICK_DRIVER),
    }
    made = config.load(home=home, flags=own | flags)
    _empty_database(made)
    try:
        yield made
    finally:
        stop_children(made)


class TookTooLong(BaseException):
    """A command line that does not end; no `except Exception` of the program takes it."""


class Command:
    """Runs command lines in a home; `code` is the exit code that is expected.

    In this process, which saves a Python and its imports each time. `apart` runs one in a process
    of its own: where a fault point of the environment, read at import, is to kill it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, *arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        words = [*map(str, arguments)]
        out, err = _pipe("strict"), _pipe("backslashreplace")
        with _as_a_process(self._settings), redirect_stdout(out), redirect_stderr(err):
            found = cli.main(words)
        texts = (each.buffer.getvalue().decode() for each in (out, err))
        return _checked(subprocess.CompletedProcess(words, found, *texts), code)

    def apart(self, *arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """The same by a Python of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "clickstream.cli", *map(str, arguments)],
            env=self._settings.child_env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return _checked(done, code)


def runner(settings: Settings) -> Command:
    """Runs command lines in a home."""
    return Command(settings)


def _checked(
    done: "subprocess.CompletedProcess[str]", code: int
) -> "subprocess.CompletedProcess[str]":
    assert done.returncode == code, f"{done.args}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def _pipe(errors: str) -> io.TextIOWrapper:
    """Standard output as where it is no terminal: bytes behind it, nothing held back."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)


@contextmanager
def _as_a_process(settings: Settings) -> Iterator[None]:
    """What a process has of its own: environment, an empty input, signals, global options.

    Ctrl-C, which a command answers with its exit code, ends the tests all the same.
    """
    ended: list[int] = []

    def interrupt(number: int, _: object) -> None:
        ended.append(number)
        raise KeyboardInterrupt

    def give_up(*_: object) -> None:
        raise TookTooLong

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    given = options.given
    with (
        mock.patch.dict(os.environ, settings.child_env(), clear=True),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO())),
    ):
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, interrupt)
            signal.signal(signal.SIGALRM, give_up)
            signal.alarm(LIMIT_S)
            yield
        finally:
            signal.alarm(0)
            options.given = given
            for number, handler in handlers.items():
                signal.signal(number, handler)
    if ended:
        raise KeyboardInterrupt


def stop_children(settings: Settings) -> None:
    """Stop every child of a home; the shared services are not among a fresh home's."""
    services = {"kafka", "kdc", "namenode", "datanode", "cassandra", "mariadb"}
    names = [name for name in settings.files.children() if name not in services]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: Child(settings.files, name).stop(5), names))


def killed(pid: int) -> None:
    """End a process by SIGKILL, and wait until it is gone."""
    process = psutil.Process(pid)
    process.kill()
    process.wait(30)


def left_running(directory: Path) -> list[str]:
    """The command lines of processes, other than this one, that name a directory."""
    lines = (
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid()
    )
    return [line for line in lines if str(directory) in line]


def _stack_ports(settings: Settings) -> dict[str, int]:
    ports = endpoints.remembered_ports(settings.home)
    return {name: port for name, port in ports.items() if name in Ports.model_fields}


def _empty_database(settings: Settings) -> None:
    from sqlalchemy import MetaData, create_engine

    engine = create_engine(endpoints.database_url(settings))
    tables = MetaData()
    tables.reflect(engine)
    tables.drop_all(engine)
    engine.dispose()
