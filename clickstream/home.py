"""The home: every file, lock and marker of one deployment, and how its files are written.

A home is claimed, which marks it, before the stack puts anything there; only one that carries the
marker is ever emptied.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from clickstream.errors import ClickstreamError, UsageError

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
_MARKER = ".clickstream-home"
_CONFIGURATION = "clickstream.toml"
_LEDGER = "ledger.db"
_PORTS = "ports.json"
_RUN = "run"
_LOGS = "logs"
_SCRATCH = "tmp"
_SPOOL = "spool"
_AGENTS = "agents"
_FOLLOW = "follow"
_SPEED = "speed"
_DASHBOARD = "dashboard"
_SECURITY = "security"
_STATE = ".json"
# What commands may put into a folder before the first `stack up` claims it: the ledger with
# SQLite's files and its predecessors, drafts; the locks of earlier versions lay at the top.
_BEFORE_CLAIM = (
    *(_CONFIGURATION, f"{_LEDGER}*", f"{_PORTS}*", "spooler.lock", "spooler-*.lock"),
    *(_RUN, _LOGS, _SCRATCH, _SPOOL, _AGENTS, _FOLLOW, _SPEED, _DASHBOARD),
)


@dataclass(frozen=True)
class Home:
    """The files of a home by name; asking for one touches no disk."""

    root: Path

    @property
    def marker(self) -> Path:
        """The file that makes the folder ours."""
        return self.root / _MARKER

    @property
    def configuration(self) -> Path:
        """The configuration file that is read where no other is named."""
        return self.root / _CONFIGURATION

    @property
    def ports(self) -> Path:
        """The ports that the home remembers."""
        return self.root / _PORTS

    @property
    def ledger(self) -> Path:
        """The ledger, a SQLite database."""
        return self.root / _LEDGER

    @property
    def ledger_successor(self) -> Path:
        """A new ledger while it is made."""
        return self.root / f"{_LEDGER}.new"

    def ledger_predecessor(self, time: str) -> Path:
        """The ledger that was replaced at a time."""
        return self.root / f"{_LEDGER}.old-{time}"

    # Processes

    @property
    def logs(self) -> Path:
        """The directory of all logs."""
        return self.root / _LOGS

    def log(self, child: str) -> Path:
        """The output of a child process."""
        return self.logs / f"{child}.log"

    def state(self, child: str) -> Path:
        """The pid, start time and ports of a child process that runs."""
        return self._run / f"{child}{_STATE}"

    def children(self) -> list[str]:
        """The names of the child processes that have a state file, whether they run or not."""
        return sorted(path.stem for path in self._run.glob(f"*{_STATE}"))

    def plan(self, job: str) -> Path:
        """The input of a Spark job."""
        return self._run / f"{job}.plan"

    def driver_events(self, job: str) -> Path:
        """The progress and the outcome that a Spark driver reports."""
        return self._run / f"{job}.events"

    def scratch(self, job: str) -> Path:
        """The temporary files of a Spark job."""
        return self.root / _SCRATCH / job

    @property
    def counted_batch(self) -> Path:
        """The counts of one batch of the stream, on their way from the JVM to Python."""
        return self.scratch("speed") / "counted"

    @property
    def _run(self) -> Path:
        return self.root / _RUN

    def tickets(self, principal: str) -> Path:
        """The Kerberos tickets of a principal (mode 0600)."""
        return self._run / f"{principal.replace('/', '~')}.tickets"

    # Locks

    @property
    def stack_lock(self) -> Path:
        """Held while services are started or stopped."""
        return self._run / "stack.lock"

    @property
    def agents_lock(self) -> Path:
        """Held while agents are started."""
        return self._run / "agents.lock"

    @property
    def batch_lock(self) -> Path:
        """Held by a batch run."""
        return self._run / "batch.lock"

    @property
    def undelivered_lock(self) -> Path:
        """Held while the file of refused messages is written."""
        return self._run / "undelivered.lock"

    def spooler_lock(self, server: str) -> Path:
        """Held by whoever spools lines of a server."""
        return self._run / f"spooler-{server}.lock"

    # Ingest

    def spool(self, server: str) -> Path:
        """The spooling directory of a server's agent."""
        return self.root / _SPOOL / server

    def agent(self, name: str) -> Path:
        """The directory of an agent: its configuration, and what it keeps."""
        return self.root / _AGENTS / name

    def agent_state(self, name: str) -> Path:
        """The facts about an agent's last start."""
        return self.agent(name) / "start.json"

    def kafka_key(self, agent: str) -> Path:
        """Our key and certificate as an agent's Kafka client takes them (mode 0600)."""
        return self.agent(agent) / "kafka-key.pem"

    def trust_store(self, agent: str) -> Path:
        """Whom an edge agent trusts to be the collector, as Flume takes it."""
        return self.agent(agent) / "collector-trust.jks"

    def key_store(self, agent: str) -> Path:
        """The collector's key and certificate as Flume takes them (mode 0600)."""
        return self.agent(agent) / "collector-keys.jks"

    def channels(self, agent: str) -> Path:
        """The directory of an agent's file channels."""
        return self.agent(agent) / "channels"

    def tracker(self, agent: str) -> Path:
        """The directory where an agent's spooling source marks how far it read."""
        return self.agent(agent) / "tracker"

    def followed(self, server: str, log: Path) -> Path:
        """The file whose time says up to when a followed log was read."""
        name = hashlib.sha256(os.fsencode(log)).hexdigest()[:8]
        return self.root / _FOLLOW / f"{server}-{name}"

    def follow_record(self, server: str, log: Path) -> Path:
        """What is kept of a followed log over restarts, and reported about it."""
        followed = self.followed(server, log)
        return followed.with_name(f"{followed.name}{_STATE}")

    def follow_records(self) -> list[Path]:
        """The records of all followed logs."""
        return sorted((self.root / _FOLLOW).glob(f"*{_STATE}"))

    # Speed layer

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the stream."""
        return self.root / _SPEED / "checkpoint"

    @property
    def speed_status(self) -> Path:
        """The status that the stream's driver reports."""
        return self.root / _SPEED / "status.json"

    @property
    def speed_stop(self) -> Path:
        """The file that asks the stream's driver to end."""
        return self.root / _SPEED / "stop"

    @property
    def undelivered(self) -> Path:
        """The changes of alerts that a sink has refused for good, a line of JSON each."""
        return self.root / _SPEED / "undelivered.jsonl"

    @property
    def dashboard_token(self) -> Path:
        """The token that opens the dashboard (mode 0600)."""
        return self.root / _DASHBOARD / "token"

    def configured(self, file: str) -> Path:
        """A file that the configuration names: a relative path lies in the home."""
        return self.root / file

    # Once it is claimed

    def service(self, name: str) -> Path:
        """The directory of a service of the local stack, laid out by the service itself."""
        return self.root / name

    def password(self, user: str = "") -> Path:
        """The password of the local MariaDB's owner, or of another user (mode 0600)."""
        return self.service("mariadb") / (f"password.{user}" if user else "password")

    def security(self, name: str) -> Path:
        """A certificate, key or password of a secured local stack (mode 0600)."""
        return self.root / _SECURITY / name

    @property
    def is_secured(self) -> bool:
        """True where the local stack of the home was made with TLS and logins."""
        return self.security("ca.pem").is_file()

    @property
    def demo(self) -> "Home":
        """The demo's own home, beside this one."""
        return Home(self.root.with_name(f"{self.root.name}-demo"))

    @property
    def demo_logs(self) -> Path:
        """The logs of the demo, and the truth about them."""
        return self.root / "logs-made"

    def demo_live_log(self, server: str) -> Path:
        """The log that the demo goes on writing for a server."""
        return self.demo_logs / f"live-{server}.txt"

    @property
    def is_ours(self) -> bool:
        """True where the home carries our marker."""
        return self.marker.is_file()

    def claim(self, *configured: Path) -> None:
        """Make the home, or mark a folder that holds nothing foreign; refuses any other.

        `configured`: files that the configuration names, which may lie there.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
        if self.is_ours:
            return
        foreign = sorted({entry.name for entry in self._foreign()} - self._names(configured))
        if foreign:
            raise UsageError(
                f"{self.root} is not a home of clickstream: it holds {', '.join(foreign[:5])}",
                "name an empty folder: clickstream --home DIR …",
            )
        text = "State of `clickstream`; `clickstream stack clean` removes it.\n"
        self.marker.write_text(text)

    def empty(self) -> None:
        """Remove all that is in the home but its configuration; refuses a folder that is not ours.

        A home that does not exist is empty already.
        """
        if not self.root.exists():
            return
        if not self.is_ours:
            raise ClickstreamError(f"{self.root} is not a home of clickstream: nothing was removed")
        for entry in self.root.iterdir():
            if entry in (self.configuration, self.marker):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if not self.configuration.exists():
            self.marker.unlink()
            self.root.rmdir()

    def _foreign(self) -> list[Path]:
        """The entries that no command makes before the home is claimed."""
        entries = self.root.iterdir()
        return [
            entry
            for entry in entries
            if not any(fnmatchcase(entry.name, name) for name in _BEFORE_CLAIM)
        ]

    def _names(self, files: tuple[Path, ...]) -> set[str]:
        """The names right below the home under which these files lie, if they lie there."""
        inside = (file.relative_to(self.root) for file in files if file.is_relative_to(self.root))
        return {file.parts[0] for file in inside if file.parts}


def staged(spool: Path) -> Path:
    """The directory beside a spooling directory where chunks are written."""
    return spool.with_name(f".{spool.name}.staging")


def set_aside(spool: Path) -> Path:
    """The directory beside a spooling directory for unexpected files that were found in it."""
    return spool.with_name(f".{spool.name}.strange")


@contextmanager
def exclusive(path: Path, busy: str = "", hint: str = "") -> Iterator[None]:
    """Hold a lock file alone; it holds the pid of its holder.

    While another process holds it: raises ClickstreamError, `busy` and that pid, or waits where
    `busy` is empty. The kernel releases the lock of a process that was killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise ClickstreamError(f"{busy}{_held_by(file)}", hint) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def write_atomic(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a draft beside the path and rename it: readers see the old or the new.

    `private`: only its owner may read the file, and look into a directory made for it.
    """
    modes = (PRIVATE_FILE, PRIVATE_DIRECTORY) if private else (0o666, 0o777)
    path.parent.mkdir(parents=True, exist_ok=True, mode=modes[1])
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, modes[0]), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str, *, private: bool = False) -> None:
    """Append a line, and sync it; a line torn by a crash is cut off first.

    `private`: only its owner may read a file that is made for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = PRIVATE_FILE if private else 0o666
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode), "r+b") as file:
        _cut_torn_line(file)
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _cut_torn_line(file: IO[bytes]) -> None:
    end = file.seek(0, os.SEEK_END)
    back = 0
    while back < end:
        file.seek(end - back - 1)
        if file.read(1) == b"\n":
            break
        back += 1
    if back:
        file.truncate(end - back)


def _held_by(lock: IO[str]) -> str:
    """The pid in a lock file, in brackets; empty while its holder has not written it yet."""
    lock.seek(0)
    pid = lock.read().strip()
    return f" (pid {pid})" if pid else ""
