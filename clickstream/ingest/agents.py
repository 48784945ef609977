"""Flume agents as processes: start, ask whether every component is up, stop."""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from clickstream import endpoints, jars, kafka
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.ingest import flume, orphans
from clickstream.ingest.flume import Component
from clickstream.ingest.spool import Spool
from clickstream.java import java
from clickstream.process import Child, Running
from clickstream.render import write

MAIN = "org.apache.flume.node.Application"
BEANS = "/jolokia/read/org.apache.flume.*:*"
STOP_SECONDS = 40
_COUNTERS = {
    "source": ("EventReceivedCount", "EventAcceptedCount"),
    "channel": ("EventPutSuccessCount", "EventTakeSuccessCount"),
    "sink": ("EventDrainAttemptCount", "EventDrainSuccessCount"),
}
_OPENS = ("java.lang", "java.nio", "sun.nio.ch", "jdk.internal.ref")


class Bean(NamedTuple):
    """What an agent says of one of its components: Flume's counters by their names."""

    component: Component
    counters: dict[str, Any]

    def number(self, name: str) -> int:
        """A counter; 0 where the component has none of that name."""
        return int(self.counters.get(name) or 0)

    def up(self) -> bool:
        """Whether the component has started and has not stopped."""
        closed = self.component.kind == "channel" and self.counters.get("Open") is False
        return self.number("StartTime") > 0 and self.number("StopTime") == 0 and not closed


class Agent:
    """One Flume agent of this home."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.home = settings.path("agents", name)
        self.server = flume.server_of(settings, name)
        self.child = Child(settings.path("run"), name, settings.path("logs", f"{name}.log"))
        self._settings = settings

    def running(self) -> Running | None:
        """The agent's process, if it runs."""
        return self.child.running()

    def start(self) -> None:
        """Start it and wait until every declared component is up; else it is stopped again."""
        write(flume.files(self._settings, self.name), self.home)
        if self.server:
            Spool(self._settings.path("spool", self.server)).make()
        self._free_ports()
        self.child.start(self._argv(), env=self._env(), cwd=self.home, ports=self._ports())
        try:
            self.child.wait_ready(self._all_up, self._settings.flume.start_timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """End it politely, so that the files it writes are closed; False when it did not run."""
        return self.child.stop(STOP_SECONDS)

    def beans(self) -> list[Bean]:
        """The components that the agent has registered; raises NotRunning."""
        running = self.running()
        if running is None:
            raise NotRunning(f"{self.name} is not running", "start it: clickstream ingest start")
        url = f"http://{endpoints.LOOPBACK}:{running.ports['metrics']}{BEANS}"
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=10) as answer:
                value = json.load(answer).get("value", {})
        except (OSError, ValueError) as error:
            raise NotRunning(f"{self.name} does not answer") from error
        return [_bean(name, counters) for name, counters in value.items()]

    def missing(self) -> list[Component]:
        """Declared components that are not up."""
        up = {bean.component for bean in self.beans() if bean.up()}
        return sorted(self.declared() - up)

    def declared(self) -> set[Component]:
        """The components that the rendered configuration names."""
        conf = (self.home / flume.CONF).read_text(encoding="utf-8")
        return flume.components(conf, self.name)

    def _all_up(self) -> bool:
        try:
            return not self.missing()
        except NotRunning:
            return False

    def _ports(self) -> dict[str, int]:
        known = endpoints.remembered_ports(self._settings.home)
        ports = {"metrics": known[f"{self.name}_metrics"]}
        return ports if self.server else ports | {"avro": flume.collector_port(self._settings)}

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
            "-Xms64m",
            f"-Xmx{megabytes}m",
            "-XX:+UseSerialGC",
            "-XX:MaxDirectMemorySize=128m",
            "-Djava.net.preferIPv4Stack=true",
            *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS),
            f"-javaagent:{jars.jolokia()}={where},discoveryEnabled=false",
            f"-Dlog4j2.configurationFile={self.home}/log4j2.xml",
            "-cp",
            f"{self.home}:{_hadoop_conf()}{jars.classpath('flume')}",
            MAIN,
            *("--name", self.name, "--conf-file", str(self.home / flume.CONF)),
            "--no-reload-conf",
        ]

    def _env(self) -> dict[str, str]:
        env = self._settings.child_env()
        user = self._settings.hdfs.user
        return env | {"HADOOP_USER_NAME": user} if user else env


class Status(NamedTuple):
    """One component of an agent, as `ingest status` shows it; `fill` in per cent."""

    agent: str
    pid: int | None
    component: str
    state: str
    events_in: int | None
    events_out: int | None
    fill: float | None


def render(settings: Settings, names: list[str], out: Path | None) -> list[str]:
    """Write the configuration of the agents named (or all), below `out` or each in its place."""
    paths = []
    for name in flume.chosen(settings, names):
        reserve_ports(settings, name)
        place = out / name if out else Agent(settings, name).home
        paths += write(flume.files(settings, name), place)
    return [str(path) for path in paths]


def status(settings: Settings, names: list[str]) -> list[Status]:
    """What each agent says of each component that its configuration declares."""
    agents = (Agent(settings, name) for name in flume.chosen(settings, names))
    return [row for agent in agents for row in _status(agent)]


def start(settings: Settings, names: list[str], tell: Callable[[str], None]) -> list[str]:
    """Start the agents named (or all) that do not run, the collector first; returns those started.

    With the collector down, the files that an earlier one left open in HDFS are recovered first.
    """
    wanted = (Agent(settings, name) for name in flume.chosen(settings, names))
    idle = [agent for agent in wanted if not agent.running()]
    for agent in idle:
        reserve_ports(settings, agent.name)
    for collector in (agent for agent in idle if agent.server is None):
        kafka.ensure_topic(settings)
        for path in orphans.recover(settings):
            tell(f"recovered {path}, left open by a killed {collector.name}")
        collector.start()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Agent.start, (agent for agent in idle if agent.server)))
    return [agent.name for agent in idle]


def stop(settings: Settings, names: list[str]) -> list[str]:
    """Stop the agents named (or all), the collector last; returns those that ran."""
    wanted = [Agent(settings, name) for name in flume.chosen(settings, names)]
    with ThreadPoolExecutor() as pool:
        stopped = list(pool.map(Agent.stop, (agent for agent in wanted if agent.server)))
    stopped += [agent.stop() for agent in wanted if agent.server is None]
    ordered = sorted(wanted, key=lambda agent: agent.server is None)
    return [agent.name for agent, ran in zip(ordered, stopped, strict=True) if ran]


def reserve_ports(settings: Settings, agent: str) -> None:
    """Let the home remember a port for the agent's metrics and for the collector."""
    known = endpoints.remembered_ports(settings.home)
    wanted = [name for name in (f"{agent}_metrics", "collector") if name not in known]
    if settings.flume.collector_port and "collector" in wanted:
        wanted.remove("collector")
    endpoints.remember_ports(settings.home, endpoints.free_ports(wanted))


def _status(agent: Agent) -> Iterator[Status]:
    running = agent.running()
    if running is None:
        yield Status(agent.name, None, "", "not running", None, None, None)
        return
    beans = {bean.component: bean for bean in agent.beans()}
    for component in sorted(agent.declared()):
        yield _component_status(agent.name, running.pid, component, beans.get(component))


def _component_status(agent: str, pid: int, component: Component, bean: Bean | None) -> Status:
    came, went = _COUNTERS[component.kind]
    state = "up" if bean and bean.up() else "down"
    fill = bean.counters.get("ChannelFillPercentage") if bean else None
    return Status(
        agent,
        pid,
        f"{component.kind} {component.name}",
        state,
        bean.number(came) if bean else None,
        bean.number(went) if bean else None,
        None if fill is None else round(float(fill), 2),
    )


def _hadoop_conf() -> str:
    """A cluster's own client configuration, where the environment names one."""
    place = os.environ.get("HADOOP_CONF_DIR", "")
    return f"{place}:" if place else ""


def _bean(object_name: str, counters: dict[str, Any]) -> Bean:
    """`org.apache.flume.channel:type=lines` -> its component and counters."""
    domain, _, rest = object_name.partition(":type=")
    return Bean(Component(domain.rpartition(".")[2], rest), counters)
