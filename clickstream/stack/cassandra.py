"""Cassandra: one node."""

from typing import ClassVar

from clickstream.clients.endpoints import port_open
from clickstream.runtime import jars
from clickstream.stack import cassandra_roles
from clickstream.stack.service import Commands, Processes, Service

MAIN = "org.apache.cassandra.service.CassandraDaemon"
EXPORTED = (
    *("java.base/jdk.internal.misc", "java.base/java.lang.ref", "java.sql/java.sql"),
    *("java.management.rmi/com.sun.jmx.remote.internal.rmi", "jdk.unsupported/sun.misc"),
    *("java.management/com.sun.jmx.remote.security", "jdk.attach/sun.tools.attach"),
    *("java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server"),
)
OPENED = (
    *("java.io", "java.lang", "java.lang.module", "java.lang.reflect", "java.nio", "java.util"),
    *("sun.nio.ch", "jdk.internal.loader", "jdk.internal.ref", "jdk.internal.reflect"),
    *("jdk.internal.math", "jdk.internal.module", "jdk.internal.util.jar"),
)
MODULES = (
    *(f"--add-exports={module}=ALL-UNNAMED" for module in EXPORTED),
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)
PROPERTIES = {
    "jdk.attach.allowAttachSelf": "true",
    "io.netty.tryReflectionSetAccessible": "true",
    "cassandra-foreground": "yes",
    # A ring of one has nobody to wait for.
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.ring_delay_ms": "1",
    "cassandra.superuser_setup_delay_ms": "0",
    "cassandra.disable_tcactive_openssl": "true",
    "cassandra.available_processors": "2",
}


class Cassandra(Service):
    """The real-time views."""

    name = "cassandra"
    title = "Cassandra"
    processes: ClassVar[Processes] = {"cassandra": ("cassandra", "cassandra_storage")}

    def external_address(self) -> str:
        """The ring of `cassandra.hosts`."""
        return ",".join(self.settings.cassandra.hosts)

    def prepare(self) -> None:
        """cassandra.yaml and its log's format."""
        self._write(
            self._rendered("cassandra/cassandra.yaml", ports=self.ports, security=self.security),
            self._rendered("cassandra/logback.xml"),
        )

    def commands(self) -> Commands:
        """The daemon; jamm measures memtables."""
        (jamm,) = (path for path in jars.files("cassandra") if "_jamm-" in path.name)
        conf = self.directory / "conf"
        directories = {
            "cassandra.config": f"file://{conf}/cassandra.yaml",
            "cassandra.storagedir": str(self.directory / "data"),
            "cassandra.logdir": str(self.settings.files.logs),
            "logback.configurationFile": str(conf / "logback.xml"),
        }
        daemon = self._java(
            self.settings.stack.heap_mb.cassandra,
            f"-javaagent:{jamm}",
            *MODULES,
            *(f"-D{name}={value}" for name, value in {**PROPERTIES, **directories}.items()),
            *("-Xss512k", "-XX:MaxDirectMemorySize=128m"),
            *("-cp", jars.classpath("cassandra"), MAIN),
        )
        return {"cassandra": daemon}

    def ready(self, process: str) -> bool:
        """Tell whether it answers a query."""
        # Before the port is open the driver would only fill the log with its attempts.
        if not port_open(self.ports[process]):
            return False
        if not self.speaks_tls:
            return cassandra_roles.answers(self.ports["cassandra"])
        return cassandra_roles.ensure(self.settings, self.ports["cassandra"])
