"""One Flume agent as a process: start, ask how its components do, stop."""

import hashlib
import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from clickstream.clients import endpoints, kafka_security, kerberos
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning, ServiceFailed
from clickstream.home import write_atomic
from clickstream.ingest.flume import agent_config, agent_log, file_channel, security
from clickstream.ingest.flume.agent_config import Component
from clickstream.ingest.spool import unexpected
from clickstream.ingest.spool.chunks import Spool
from clickstream.runtime import jars
from clickstream.runtime.java import java
from clickstream.runtime.process import Child, Running
from clickstream.runtime.render import File, write
from clickstream.weblog import formats

MAIN = "org.apache.flume.node.Application"
BEANS = "/jolokia/read/org.apache.flume.*:*"
STOP_SECONDS = 40
DRAIN_SECONDS = 30
REFUSED_SECONDS = 30
ROOM_HINT = (
    "free disk space for HDFS; it goes on by itself. See flume.max_open_files, flume.block_mb"
)
START_HINT = "start it: clickstream ingest start"
SPOOLING = Component("source", "spool")
_OPENS = ("java.lang", "java.nio", "sun.nio.ch", "jdk.internal.ref")

Notify = Callable[[str], None]


class Bean(NamedTuple):
    """One of an agent's components, as the agent reports it: Flume's counters by their names."""

    component: Component
    counters: dict[str, Any]

    def number(self, name: str) -> int:
        """A counter; 0 where the component has none of that name."""
        return int(self.counters.get(name) or 0)

    def up(self) -> bool:
        """Tell whether the component has started, and has neither stopped nor died."""
        closed = self.component.kind == "channel" and self.counters.get("Open") is False
        running = self.number("StartTime") > 0 and self.number("StopTime") == 0
        return running and not closed and not self.died()

    def held(self) -> int:
        """The number of events in a channel: not yet taken for good, those of earlier runs too."""
        left = self.number("EventPutSuccessCount") - self.number("EventTakeSuccessCount")
        return max(self.number("ChannelSize"), left)

    def died(self) -> bool:
        """Tell whether it is a spooling source whose thread has ended; nothing else is counted so.

        (A full channel counts as ChannelWriteFail, and is tried again.)
        """
        fatal = self.number("EventReadFail") + self.number("GenericProcessingFail")
        return self.component == SPOOLING and fatal > 0


class AgentState(NamedTuple):
    """An agent's state since its last start, stored beside its configuration.

    `log_start`: where its lines begin in the log. `digest`: of the files it was started with.
    `stopped`: somebody wanted it to end, so its absence is no failure.
    """

    log_start: int = 0
    digest: str = ""
    stopped: bool = False


class Agent:
    """One Flume agent of this home."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.directory = settings.files.agent(name)
        self.server = agent_config.server_of(settings, name)
        self.child = Child(settings.files, name)
        self._settings = settings
        self._files = settings.files

    def running(self) -> Running | None:
        """The agent's process, if it runs."""
        return self.child.running()

    def start(self, notify: Notify, cancelled: threading.Event | None = None) -> None:
        """Start it and wait until every declared component is up; else it is ended again.

        Raises ServiceFailed that names what is missing, and ClickstreamError where the start would
        lose events or judge lines in another way than the ledger, or a port is taken.
        """
        files = agent_config.files(self._settings, self.name)
        self._refuse_stranding(agent_config.channel_types(files[0].content, self.name))
        self._refuse_rejudging()
        write(files, self.directory)
        self._secure()
        self._clear_spool(notify)
        self._free_ports()
        self._save_state(AgentState(agent_log.size(self.child.log), _digest(files)))
        self.child.start(self._argv(), env=self._env(), cwd=self.directory, ports=self._ports())
        try:
            self._wait_up(cancelled or threading.Event())
        except BaseException:
            self.end()
            raise

    def stop(self) -> bool:
        """End it because somebody wants so; False when it did not run."""
        self.want(False)
        return self.end()

    def end(self) -> bool:
        """End it politely, so that the files it writes are closed; False when it did not run."""
        if self.running() and "memory" in self.channel_types().values():
            self._let_drain()
        return self.child.stop(STOP_SECONDS)

    def want(self, wanted: bool) -> None:
        """Record whether the agent is wanted: a supervisor does not restart one that is not."""
        if self.directory.is_dir():
            self._save_state(self.state()._replace(stopped=not wanted))

    def state(self) -> AgentState:
        """The state stored since the last start."""
        try:
            return AgentState(**json.loads(self._files.agent_state(self.name).read_text()))
        except (OSError, ValueError, TypeError):
            return AgentState()

    def beans(self) -> list[Bean]:
        """The components that the agent has registered; raises NotRunning."""
        running = self.running()
        if running is None:
            raise NotRunning(f"{self.name} is not running", START_HINT)
        url = f"http://{endpoints.LOOPBACK}:{running.ports['metrics']}{BEANS}"
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=10) as answer:
                value = json.load(answer).get("value", {})
        except (OSError, HTTPException, ValueError) as error:
            raise NotRunning(f"{self.name} does not answer") from error
        return [_bean(name, counters) for name, counters in value.items()]

    def channels(self) -> list[Bean]:
        """The registered channels that hold events themselves; raises NotRunning."""
        buffers = self.buffers()
        return [bean for bean in self.beans() if bean.component in buffers]

    def buffers(self) -> set[Component]:
        """The declared channels that hold events themselves: not the topic, which never drains."""
        types = self.channel_types().items()
        return {Component("channel", name) for name, kind in types if kind != "kafka"}

    def sinks_total(self, counter: str) -> int:
        """The sum of a counter of its sinks to HDFS, since its start; raises NotRunning."""
        sinks = [Component("sink", name) for name in agent_config.HDFS_SINKS]
        return sum(bean.number(counter) for bean in self.beans() if bean.component in sinks)

    def missing(self) -> list[Component]:
        """Declared components that are not up; raises NotRunning."""
        up = {bean.component for bean in self.beans() if bean.up()}
        return sorted(self.declared() - up)

    def declared(self) -> set[Component]:
        """The components that its configuration on disk names; none before the first start."""
        conf = self._conf()
        return agent_config.components(conf, self.name) if conf else set()

    def channel_types(self) -> dict[str, str]:
        """`file`, `memory` or `kafka` by channel, as its configuration on disk says."""
        return agent_config.channel_types(self._conf(), self.name)

    def blocked_by(self) -> list[Path]:
        """The files in its spooling directory that can neither be taken nor passed by."""
        return unexpected.blocking(self._files.spool(self.server)) if self.server else []

    def trouble(self) -> str:
        """The problem with it, in one sentence; empty when it runs and every part is up."""
        if self.running() is None:
            return f"{self.name} is not running{_because(self.last_error())}"
        if missing := self.missing():
            return f"{self._are_down(missing)}{_because(self.error_of(missing[0]))}"
        blocked = "".join(f"{path.name!r} " for path in self.blocked_by()[:1])
        return f"{self.name}: {blocked}blocks the spooling directory" if blocked else ""

    def last_error(self) -> str:
        """The last error in its log since its last start, short and safe; empty where none is."""
        return agent_log.last_error(self.child.log, self.state().log_start)

    def refused(self, since: float) -> str:
        """That HDFS lacked room for what it writes since a time (epoch seconds), in one sentence.

        Empty where it did not. Flume tries again every few seconds, and only its log tells.
        """
        found = agent_log.refusal(self.child.log, self.state().log_start)
        if found is None or found.when < since:
            return ""
        return f"HDFS refuses {self.name} another block for lack of room: {found.reason}"

    def error_of(self, component: Component) -> str:
        """The last error of a component if the log distinguishes it, else of the agent."""
        logger = agent_log.SPOOLING_SOURCE if component == SPOOLING else b""
        own = agent_log.last_error(self.child.log, self.state().log_start, logger)
        return own or self.last_error()

    def outdated(self) -> bool:
        """Tell whether it runs with another configuration than the present settings give.

        False where that is unknown: it does not run, or an endpoint is not known.
        """
        if self.running() is None:
            return False
        try:
            files = agent_config.files(self._settings, self.name)
        except NotRunning:
            return False
        same = all(_same(self.directory / file.name, file.content) for file in files)
        return not same or self.state().digest not in ("", _digest(files))

    def _wait_up(self, cancelled: threading.Event) -> None:
        def up() -> bool:
            if cancelled.is_set():
                raise ServiceFailed(f"the start of {self.name} was cancelled")
            with suppress(NotRunning):
                return not self.missing()
            return False

        try:
            self.child.wait_ready(up, self._settings.flume.start_timeout_seconds)
        except ServiceFailed as failure:
            what, *_ = failure.message.splitlines()
            with suppress(NotRunning):
                what = self._are_down(self.missing()) or what
            because = _because(self.last_error()) or self.child.tail()
            raise ServiceFailed(f"{what}{because}", f"log: {self.child.log}") from None

    def _are_down(self, missing: Sequence[Component]) -> str:
        names = ", ".join(f"{kind} {name}" for kind, name in missing)
        return (
            f"{self.name}: {names} {'is' if len(missing) == 1 else 'are'} not up" if names else ""
        )

    def _refuse_rejudging(self) -> None:
        """Not another format while chunks wait that the ledger has counted in the one before."""
        if self.server:
            spool = Spool(self._files.spool(self.server))
            formats.check_agent(
                self._settings, self.server, lambda chunk: spool.state(chunk) != "completed"
            )

    def _refuse_stranding(self, types: Mapping[str, str]) -> None:
        """File channels that are of another type from now on: not while these may hold events."""
        logs = self._channels.glob("*/data/log-*")
        left = sorted(
            {path.parents[1] for path in logs if types.get(path.parents[1].name) != "file"}
        )
        for channel in left:
            held = agent_log.size_at_stop(self.child.log, self.state().log_start, channel.name)
            if held != 0:
                amount = (
                    "may hold events, for it was killed" if held is None else f"holds {held} events"
                )
                raise ClickstreamError(
                    f"{self.name}'s file channel {channel.name} {amount}",
                    "start it with the version and settings it ran with (flume.channel=file), drain"
                    " it with clickstream ingest replay --wait, stop it; then start it anew",
                )
        for channel in left:
            shutil.rmtree(channel)

    def _secure(self) -> None:
        """Write the stores that its Java wants; refuse a collector that is not what we expect."""
        if self.server is None:
            return security.write_collector_stores(self._settings, self.name)
        security.refuse_other_tls(self._settings, agent_config.collector_port(self._settings))
        return security.write_edge_store(self._settings, self.name)

    def _clear_spool(self, notify: Notify) -> None:
        if not self.server:
            return
        spool = self._files.spool(self.server)
        Spool(spool).make()
        for path, target in unexpected.clear(spool, self.server):
            notify(
                f"{path.name!r} does not belong in the spool of {self.server}: moved to {target}"
            )
        # With the mark of how far a chunk was taken, one taken to its end gives an empty line more;
        # without it the chunk is taken again, which gives copies only.
        shutil.rmtree(self._files.tracker(self.name), ignore_errors=True)
        for channel in self._channels.glob("*"):
            file_channel.forget_checkpoint(channel)

    def _let_drain(self) -> None:
        """Let the sinks empty a memory channel first: its events are lost when the agent ends."""
        deadline = time.monotonic() + DRAIN_SECONDS
        with suppress(NotRunning):
            while any(bean.held() for bean in self.channels()) and time.monotonic() < deadline:
                time.sleep(0.2)

    @property
    def _channels(self) -> Path:
        return self._files.channels(self.name)

    def _save_state(self, state: AgentState) -> None:
        path = self._files.agent_state(self.name)
        write_atomic(path, json.dumps(state._asdict()), private=True)

    def _conf(self) -> str:
        with suppress(FileNotFoundError):
            return (self.directory / agent_config.CONF).read_text(encoding="utf-8")
        return ""

    def _ports(self) -> dict[str, int]:
        remembered = endpoints.remembered_ports(self._settings.home)
        ports = {"metrics": remembered[f"{self.name}_metrics"]}
        return (
            ports if self.server else ports | {"avro": agent_config.collector_port(self._settings)}
        )

    def _free_ports(self) -> None:
        for purpose, port in self._ports().items():
            if endpoints.port_open(port):
                raise ClickstreamError(
                    f"port {port} ({self.name}, {purpose}) is taken by another process",
                    "stop it, or set flume.collector_port",
                )

    def _argv(self) -> list[str]:
        heap = self._settings.stack.heap_mb
        megabytes = heap.edge_agent if self.server else heap.collector_agent
        where = f"host={endpoints.LOOPBACK},port={self._ports()['metrics']}"
        return [
            java(),
            f"-Xms{megabytes}m",
            f"-Xmx{megabytes}m",
            # Lines live for milliseconds: a large young generation saves 6 % of the agents' CPU.
            # It cannot be larger than the heap at the start.
            f"-Xmn{max(1, megabytes // 2)}m",
            "-XX:+UseSerialGC",
            "-XX:MaxDirectMemorySize=128m",
            *self._settings.flume.java_options,
            "-XX:+ExitOnOutOfMemoryError",  # half an agent is worse than none: it can be restarted
            "-Djava.net.preferIPv4Stack=true",
            *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS),
            *kerberos.java_options(self._settings),
            f"-javaagent:{jars.jolokia()}={where},discoveryEnabled=false",
            f"-Dlog4j2.configurationFile={self.directory}/log4j2.xml",
            "-cp",
            f"{self.directory}:{kerberos.class_path(self._settings, jars.classpath('flume'))}",
            MAIN,
            *("--name", self.name, "--conf-file", str(self.directory / agent_config.CONF)),
            "--no-reload-conf",
        ]

    def _env(self) -> dict[str, str]:
        env = self._settings.child_env()
        if not self.server:
            env |= kafka_security.flume_environment(self._settings)
        return env | kerberos.user_env(self._settings)


def _bean(object_name: str, counters: dict[str, Any]) -> Bean:
    """`org.apache.flume.channel:type=lines` -> its component and counters."""
    domain, _, rest = object_name.partition(":type=")
    return Bean(Component(domain.rpartition(".")[2], rest), counters)


def _digest(files: Sequence[File]) -> str:
    return hashlib.sha256("\0".join(file.content for file in files).encode()).hexdigest()


def _same(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content


def _because(error: str) -> str:
    return f"; its last error: {error}" if error else ""
