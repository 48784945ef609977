"""The services of a stack as victims: paused, killed, started again; always restored."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import psutil

from clickstream.config import Settings
from clickstream.runtime.process import wait_until
from clickstream.stack.hdfs import Hdfs
from clickstream.stack.kafka import Kafka
from clickstream.stack.service import Service

GONE_S = 20


class Services:
    """Kafka and HDFS of one stack, process by process."""

    def __init__(self, stack: Settings) -> None:
        self._stack = stack
        kinds: tuple[Service, ...] = (Kafka(stack), Hdfs(stack))
        self._services = {process: kind for kind in kinds for process in kind.processes}

    def pid(self, process: str) -> int:
        """The pid of a process that runs."""
        running = self._services[process].child(process).running()
        assert running, f"{process} does not run"
        return running.pid

    def paused(self, process: str) -> AbstractContextManager[None]:
        """Stopped in its tracks while the block lasts: it answers nothing and loses nothing."""
        return suspended(self.pid(process))

    @contextmanager
    def down(self, process: str, number: int = signal.SIGKILL) -> Iterator[None]:
        """Ended by a signal; launched again, but not yet ready, when the block is left."""
        end(self.pid(process), number)
        try:
            yield
        finally:
            service = self._services[process]
            service.child(process).start(
                service.commands()[process],
                env=service.env(),
                cwd=service.directory,
                ports={name: service.ports[name] for name in service.parts()[process]},
            )

    def await_ready(self, process: str) -> None:
        """Until the whole service of a process is ready."""
        service = self._services[process]
        limit = self._stack.stack.start_timeout_seconds
        for each in service.processes:
            wait_until(lambda name=each: service.ready(name), limit, f"{each} being ready again")


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal and wait until the process is no more."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    wait_until(lambda: not _lives(pid), GONE_S, f"the end of {pid}", interval_s=0.01)


def _lives(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """A process that is stopped in its tracks while the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def pause(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)


def kill_all(pids: list[int]) -> None:
    """kill -9 of several processes, as near to at once as it goes."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        end(pid)
