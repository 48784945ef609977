"""One child process: start, ready, stop; and the one waiting loop.

A child lives in a session of its own, so Ctrl-C in a terminal never reaches it. What runs is
remembered in its state file with pid and creation time, and verified before a signal is sent: a pid
that another process has since taken is never touched.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clickstream.errors import ServiceFailed
from clickstream.home import Home, write_atomic

TAIL_LINES = 12
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command, beside Ctrl-C."""


def wait_until(
    condition: Callable[[], bool],
    timeout_s: float,
    what: str,
    *,
    interval_s: float = 0.1,
    check: Callable[[], None] | None = None,
) -> None:
    """Wait for the condition; `check` may raise early; ServiceFailed says what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if check:
            check()
        if time.monotonic() > deadline:
            raise ServiceFailed(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(interval_s)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and a hang-up raise KeyboardInterrupt, as Ctrl-C does, while the block runs."""
    with signals_handled(signal.default_int_handler, ENDING):
        yield


@contextmanager
def signals_handled(handler: Any, numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Handle signals while the block runs; ignored ones (nohup) stay so. In other threads than the
    main one, which alone may have handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = (number for number in numbers if signal.getsignal(number) != signal.SIG_IGN)
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@dataclass(frozen=True)
class Running:
    """A running child, as its state file has it. `created`: the kernel's start time, epoch s."""

    name: str
    pid: int
    created: float
    log: str
    ports: dict[str, int] = field(default_factory=dict)

    def alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def memory_mb(self) -> int:
        """Resident memory of the process and its children, in MB."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
            return sum(each.memory_info().rss for each in family) // 2**20
        except psutil.NoSuchProcess:
            return 0


class Child:
    """A named child process of a home.

    The log grows over restarts; `tail` quotes this start only.
    """

    def __init__(self, home: Home, name: str) -> None:
        self.name = name
        self.log = home.log(name)
        self.state = home.state(name)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def running(self) -> Running | None:
        """The process this name stands for, or None; a stale state file is removed."""
        try:
            known = Running(**json.loads(self.state.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            known = None
        if known and known.alive():
            return known
        self.state.unlink(missing_ok=True)
        return None

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> Running:
        """Start it in a session of its own, with its output in the log."""
        import psutil

        self.state.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        pid = self._process.pid
        created = psutil.Process(pid).create_time()
        running = Running(self.name, pid, created, str(self.log), dict(ports or {}))
        self._remember(running)
        return running

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `ready`; a child that dies first raises at once, with the log's tail."""
        try:
            wait_until(ready, timeout_s, f"{self.name} becoming ready", check=self._check_alive)
        except ServiceFailed as failure:
            raise ServiceFailed(f"{failure.message}{self.tail()}", f"log: {self.log}") from None

    def stop(self, timeout_s: float = 20) -> bool:
        """End the whole process group, politely first. False when nothing ran."""
        running = self.running()
        if running is None:
            return False
        for number, grace_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, 10)):
            _signal_group(running.pid, number)
            if self._gone(running, grace_s):
                break
        else:
            raise ServiceFailed(f"{self.name} (pid {running.pid}) does not end")
        _signal_group(running.pid, signal.SIGKILL)
        self.state.unlink(missing_ok=True)
        return True

    def tail(self) -> str:
        """The end of the log since the last start, indented on lines of its own."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "".join(f"\n  {line}" for line in lines[-TAIL_LINES:])

    def _remember(self, running: Running) -> None:
        write_atomic(self.state, json.dumps(asdict(running)))

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self.state.unlink(missing_ok=True)
            raise ServiceFailed(f"{self.name} ended with exit code {self._process.returncode}")

    def _gone(self, running: Running, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while running.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        with suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)  # ours, perhaps started through another Child
        return True


def running_children(home: Home) -> list[Running]:
    """Every child of a home that runs: services, agents, jobs."""
    children = [Child(home, name) for name in home.children()]
    return [known for child in children if (known := child.running())]


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return
