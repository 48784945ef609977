"""A real YARN: a ResourceManager and a NodeManager on the HDFS of a local stack with Kerberos."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream.clients.endpoints import KERBEROS_HOST, free_ports
from clickstream.config import Settings
from clickstream.config.secured import hadoop_conf
from clickstream.home import Home
from clickstream.runtime import jars
from clickstream.runtime.ivy import Coordinate, retrieve
from clickstream.runtime.java import java, java_home_env
from clickstream.runtime.process import Child
from clickstream.runtime.render import render
from clickstream.stack import kdc
from clickstream.stack.hdfs import OPENED
from tests.stack.standalone import PATH, START_TIMEOUT_S, asked

PACKAGE = "org.apache.hadoop.yarn.server"
FIFO = f"{PACKAGE}.resourcemanager.scheduler.fifo"
# A ResourceManager wants a certificate authority, which the jar of the daemons has not.
LACKING = [
    Coordinate("org.bouncycastle", name, "1.82")
    for name in ("bcprov-jdk18on", "bcpkix-jdk18on", "bcutil-jdk18on")
]
# Each daemon logs in with a key that the stack has already.
DAEMONS = {
    "resourcemanager": ("resourcemanager.ResourceManager", kdc.NAMENODE),
    "nodemanager": ("nodemanager.NodeManager", kdc.DATANODE),
}
RESOURCE_MANAGER = {
    "address": "rm",
    "scheduler.address": "scheduler",
    "resource-tracker.address": "tracker",
    "admin.address": "admin",
    "webapp.address": "web",
}
NODE_MANAGER = {
    "address": "nm",
    "localizer.address": "localizer",
    "webapp.address": "nm_web",
    "collector-service.address": "collector",
}


class Yarn(NamedTuple):
    """`conf` for hdfs.conf_dir; `web` lists what was submitted."""

    conf: Path
    web: str

    def nodes(self) -> int:
        """How many nodes there are to run on; 0 as long as nothing answers."""
        return int(self._asked("metrics").get("clusterMetrics", {}).get("activeNodes", 0))

    def finished(self) -> list[tuple[str, str]]:
        """Of each application: its user, and how it ended."""
        apps = (self._asked("apps").get("apps") or {}).get("app", ())
        return [(app["user"], app["finalStatus"]) for app in apps]

    def _asked(self, about: str) -> dict:
        return asked(f"{self.web}/ws/v1/cluster/{about}")


@contextmanager
def cluster(settings: Settings, directory: Path) -> Iterator[Yarn]:
    """A cluster in a directory, as long as the block lasts."""
    ports = free_ports([*RESOURCE_MANAGER.values(), *NODE_MANAGER.values()])
    conf = Path(shutil.copytree(hadoop_conf(settings.files), directory / "conf"))
    (conf / "yarn-site.xml").write_text(
        render("hadoop/site.xml", properties=site(settings, directory, ports))
    )
    (lacking := directory / "jars").mkdir()
    retrieve(LACKING, lacking)
    made = Yarn(conf, f"http://{KERBEROS_HOST}:{ports['web']}")
    daemons: list[Child] = []
    try:
        for name, (main, _) in DAEMONS.items():
            daemons.append(daemon(settings, directory, name, conf, main))
        daemons[-1].wait_ready(lambda: made.nodes() == 1, START_TIMEOUT_S)
        yield made
    finally:
        for each in reversed(daemons):
            each.stop(10)


def site(settings: Settings, directory: Path, ports: dict[str, int]) -> dict[str, object]:
    """Of yarn-site.xml."""
    told: dict[str, object] = {
        f"yarn.{daemon}.{key}": f"{KERBEROS_HOST}:{ports[port]}"
        for daemon, addresses in (
            ("resourcemanager", RESOURCE_MANAGER),
            ("nodemanager", NODE_MANAGER),
        )
        for key, port in addresses.items()
    }
    keytab = settings.files.security(kdc.SERVICES_KEYTAB)
    for name, (_, principal) in DAEMONS.items():
        told |= {f"yarn.{name}.principal": principal, f"yarn.{name}.keytab": keytab}
    return told | {
        # Its pages ask for nobody's ticket: tests read them.
        "yarn.resourcemanager.webapp.delegation-token-auth-filter.enabled": "false",
        "yarn.resourcemanager.am.max-attempts": 1,
        # Without queues, of which the jar of the daemons has no configuration.
        "yarn.resourcemanager.scheduler.class": f"{FIFO}.FifoScheduler",
        "yarn.nodemanager.local-dirs": directory / "local",
        "yarn.nodemanager.log-dirs": directory / "containers",
        "yarn.nodemanager.resource.memory-mb": 4096,
        "yarn.nodemanager.resource.cpu-vcores": 4,
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
        "yarn.scheduler.minimum-allocation-mb": 256,
    }


def daemon(settings: Settings, directory: Path, name: str, conf: Path, main: str) -> Child:
    """Start a daemon of YARN from the jars of the local stack."""
    child = Child(Home(directory), name)
    lacking = map(str, (directory / "jars").glob("out/**/*.jar"))
    classpath = [str(conf), jars.classpath("hdfs"), *lacking]
    argv = [
        *(java(), "-Xmx256m", "-Djava.net.preferIPv4Stack=true"),
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
        f"-Djava.security.krb5.conf={settings.files.security('krb5.conf')}",
        f"-Dlog4j2.configurationFile={settings.files.service('hdfs') / 'conf' / 'log4j2.xml'}",
        *("-cp", ":".join(classpath), f"{PACKAGE}.{main}"),
    ]
    child.start(argv, env=java_home_env({"PATH": PATH}))
    return child
