"""One service of the local stack: four verbs, start, wait_ready, stop, clean."""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.errors import ServiceFailed
from clickstream.home import PRIVATE_DIRECTORY
from clickstream.runtime.java import java
from clickstream.runtime.process import TAIL_LINES, Child, Running
from clickstream.runtime.render import File, render, write

# The quick compiler alone takes two fifths off the work of a start (Cassandra: 12 s of CPU to 7).
QUICK_START = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto")
QUICK_COMPILER = "-XX:TieredStopAtLevel=1"

Processes = dict[str, tuple[str, ...]]
Commands = dict[str, list[str]]


class Service(ABC):
    """A service and the child processes it is made of.

    `processes` maps each child's name to the names of its ports (as in `stack.ports`), the one
    that clients use first. A service's files lie in `<home>/<name>`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    processes: ClassVar[Processes]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.directory = settings.files.service(self.name)

    @abstractmethod
    def external_address(self) -> str:
        """The configured address of the service, when it is not ours to run; else empty."""

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration; format its store if this is the first start."""

    @abstractmethod
    def commands(self) -> Commands:
        """The command line of each of its processes."""

    @abstractmethod
    def ready(self, process: str) -> bool:
        """Tell whether one of its processes does its work; asked until it does."""

    def after_start(self) -> None:  # noqa: B027 - most services need nothing
        """Do what remains once it is ready."""

    def parts(self) -> Processes:
        """Those of its processes that this home has."""
        return self.processes

    def jar_sets(self) -> tuple[str, ...]:
        """The names of the sets of jars that it is run from."""
        return (self.name,)

    @property
    def speaks_tls(self) -> bool:
        """True where the home's stack is secured."""
        return self.settings.files.is_secured

    @property
    def security(self) -> Path | None:
        """The directory of certificates and passwords; None where it speaks no TLS."""
        return self.settings.files.security("ca.pem").parent if self.speaks_tls else None

    @property
    def ports(self) -> dict[str, int]:
        """Port name -> number, as the home remembers them."""
        known = endpoints.remembered_ports(self.settings.home)
        return {name: known[name] for name in self.port_names() if name in known}

    def port_names(self) -> list[str]:
        """The names of every port of every process."""
        return [name for names in self.parts().values() for name in names]

    def child(self, process: str) -> Child:
        """The handle of one of its processes."""
        return Child(self.settings.files, process)

    def running(self) -> dict[str, Running | None]:
        """Each process and what runs of it."""
        return {process: self.child(process).running() for process in self.parts()}

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Start it and wait until it is ready; `check` may raise to cancel.

        A process of it that still runs alone is stopped first. Raises ServiceFailed with the end
        of the log.
        """
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
        self.prepare()
        check()
        children = {
            process: self._launch(process, argv) for process, argv in self.commands().items()
        }
        for process, child in children.items():
            child.wait_ready(partial(self._ready, process, check), self._timeout_s)
        self.after_start()

    def stop(self) -> bool:
        """End its processes, the last one first; False when none ran."""
        ended = [self.child(process).stop() for process in reversed(list(self.parts()))]
        return any(ended)

    def clean(self) -> None:
        """Remove its data and configuration."""
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _timeout_s(self) -> float:
        return float(self.settings.stack.start_timeout_seconds)

    def _launch(self, process: str, argv: list[str]) -> Child:
        child = self.child(process)
        ports = {name: self.ports[name] for name in self.parts()[process]}
        child.start(argv, env=self.env(), cwd=self.directory, ports=ports)
        return child

    def env(self) -> dict[str, str]:
        """The environment of its processes."""
        return dict(os.environ)

    def _ready(self, process: str, check: Callable[[], None]) -> bool:
        check()
        return self.ready(process)

    def _rendered(self, template: str, **values: object) -> File:
        return File(Path(template).name, render(template, **values))

    def _write(self, *files: File) -> None:
        write(files, self.directory / "conf")

    def _java(self, heap_mb: int, *rest: str) -> list[str]:
        heap = ("-Xms64m", f"-Xmx{heap_mb}m", "-Djava.net.preferIPv4Stack=true")
        # It has no AES: with TLS Kafka then moves 14 MB/s, where it moves 63 to 116 without.
        compiler = () if self.speaks_tls else (QUICK_COMPILER,)
        return [java(), *heap, *QUICK_START, *compiler, *rest]

    def _make_once(self, store: Path, make: Callable[[Path], None]) -> None:
        """Make a store under another name and rename it, so that half a store is never used."""
        if not store.exists():
            unfinished = store.with_name(f"{store.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(store)

    def _run(self, argv: Sequence[str]) -> None:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", env=self.env(), timeout=120
        )
        if done.returncode:
            lines = (done.stdout + done.stderr).splitlines()[-TAIL_LINES:]
            raise ServiceFailed(
                f"{self.title} cannot make its store:" + "".join(f"\n  {line}" for line in lines)
            )
