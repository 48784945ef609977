"""The local stack as a whole: up, down, status, clean."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import NamedTuple

from clickstream import config
from clickstream.config import Settings
from clickstream.config import secured as secured_stack
from clickstream.errors import ClickstreamError, UsageError
from clickstream.home import exclusive
from clickstream.runtime.process import Running, running_children
from clickstream.stack import ports, security
from clickstream.stack.board import Board, board
from clickstream.stack.cassandra import Cassandra
from clickstream.stack.fetch import fetch
from clickstream.stack.fetch import needed as needed_jars
from clickstream.stack.hdfs import Hdfs
from clickstream.stack.kafka import Kafka
from clickstream.stack.mariadb import MariaDB
from clickstream.stack.service import Service

# In the order in which the slow ones come first; down goes backwards.
SERVICES: tuple[type[Service], ...] = (Cassandra, Hdfs, Kafka, MariaDB)


class Row(NamedTuple):
    """One process of the stack; pid, port and memory are None while it does not run."""

    service: str
    process: str
    state: str
    pid: int | None
    port: int | None
    memory_mb: int | None


class _Cancelled(Exception):
    """Another service failed, or the user cancelled."""


def chosen(settings: Settings, names: Sequence[str] = ()) -> list[Service]:
    """The services of these names, or all; raises UsageError for a name that is none."""
    unknown = sorted(set(names) - {kind.name for kind in SERVICES})
    if unknown:
        known = ", ".join(kind.name for kind in SERVICES)
        raise UsageError(f"there is no service {', '.join(unknown)}", f"there are {known}")
    return [kind(settings) for kind in SERVICES if not names or kind.name in names]


def up(settings: Settings, names: Sequence[str] = ()) -> list[str]:
    """Start what does not run, side by side; returns the names of the services it started.

    External services, whose address the configuration names, are left alone. When one fails, those
    that this call started are stopped again, and ServiceFailed names the first failure.
    """
    local = [service for service in chosen(settings, names) if not service.external_address()]
    settings.files.claim(settings.files.configured(settings.alerts.file))
    with _alone(settings):
        wanted = [service for service in local if not all(service.running().values())]
        sets = [name for service in wanted for name in service.jar_sets()]
        fetch([name for name in sets if name in needed_jars()])
        # A half that still runs would hold the ports of the whole.
        for service in wanted:
            service.stop()
        ports.assign(settings, [name for service in wanted for name in service.port_names()])
        _start(wanted)
    return [service.name for service in wanted]


def secured(settings: Settings) -> Settings:
    """The settings of a home whose stack has TLS and logins; the home is made that way once.

    With `stack.kerberos` HDFS has Kerberos, too. Raises UsageError where the stack of the home was
    made without, or another authority is configured.
    """
    files = settings.files
    if files.is_secured:
        _refuse_late_kerberos(settings)
        return settings
    made = [kind.title for kind in SERVICES if files.service(kind.name).exists()]
    if made:
        raise UsageError(
            f"the stack of {settings.home} was made without TLS ({', '.join(made)})",
            "a home stays what it was made as: clickstream stack clean, or another --home",
        )
    if settings.tls.ca:
        raise UsageError("tls.ca is set, and a secured stack has an authority of its own")
    files.claim(files.configured(settings.alerts.file))
    with _alone(settings):
        if not files.is_secured:
            security.make(files, settings.stack.kerberos)
    return config.load(settings.origin.file, settings.home, settings.origin.flags)


def _refuse_late_kerberos(settings: Settings) -> None:
    if settings.stack.kerberos and not secured_stack.has_kerberos(settings.files):
        raise UsageError(
            f"stack.kerberos is on, and the stack of {settings.home} was made without Kerberos",
            "a home stays what it was made as: clickstream stack clean, or another --home",
        )


def down(settings: Settings) -> list[str]:
    """Stop every service, last started first; returns the names of those that ran.

    One that cannot be stopped does not save the others; it is reported at the end.
    """
    if not settings.files.is_ours:
        return []
    with _alone(settings):
        return _stop(chosen(settings))


def status(settings: Settings) -> list[Row]:
    """A row for each process, in the order of SERVICES."""
    return [
        _row(service, process, running)
        for service in chosen(settings)
        for process, running in service.running().items()
    ]


def others(settings: Settings) -> list[Running]:
    """The running processes of the home that are not services: agents, jobs."""
    own = {process for kind in SERVICES for process in kind.processes}
    return [child for child in running_children(settings.files) if child.name not in own]


def clean(settings: Settings) -> None:
    """Remove stores, ledger, spool and all other state; refuses while anything runs."""
    alive = [child.name for child in running_children(settings.files)]
    if alive:
        raise ClickstreamError(f"still running: {', '.join(alive)}", "clickstream stack down")
    settings.files.empty()


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `stack` command at a time in a home; a second one is refused."""
    busy = f"another `clickstream stack` command is already running in {settings.home}"
    with exclusive(settings.files.stack_lock, busy, "wait for it"):
        yield


def _start(services: list[Service]) -> None:
    broken = threading.Event()
    # Inside out: the others are asked to cancel, awaited, and only then stopped.
    with (
        board([service.title for service in services]) as shown,
        _stopped_on_failure(services),
        ThreadPoolExecutor(max(len(services), 1)) as pool,
        _set_on_failure(broken),
    ):
        futures = [pool.submit(_start_one, service, shown, broken) for service in services]
        _await(futures)


def _start_one(service: Service, shown: Board, broken: threading.Event) -> None:
    def check() -> None:
        if broken.is_set():
            raise _Cancelled

    shown.say(service.title, "starting")
    began = time.monotonic()
    try:
        service.start(check)
    except _Cancelled:
        shown.say(service.title, "cancelled", done=True)
        raise
    except ClickstreamError:
        shown.say(service.title, "failed", done=True)
        raise
    shown.say(service.title, f"ready in {time.monotonic() - began:.1f} s", done=True)


def _await(futures: list[Future[None]]) -> None:
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()


@contextmanager
def _set_on_failure(event: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        event.set()
        raise


@contextmanager
def _stopped_on_failure(services: list[Service]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _stop(services)
        raise


def _stop(services: Sequence[Service]) -> list[str]:
    stopped, failures = [], []
    for service in reversed(services):
        try:
            if service.stop():
                stopped.append(service.name)
        except ClickstreamError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return stopped


def _row(service: Service, process: str, running: Running | None) -> Row:
    if running is None:
        address = service.external_address()
        state = f"elsewhere: {address}" if address else "stopped"
        return Row(service.name, process, state, None, None, None)
    port = next(iter(running.ports.values()), None)
    return Row(service.name, process, "running", running.pid, port, running.memory_mb())
