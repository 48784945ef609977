"""Kafka: one process that is broker and controller."""

import base64
import uuid
from pathlib import Path
from typing import ClassVar

from clickstream.clients import kafka
from clickstream.clients.endpoints import LOOPBACK, port_open
from clickstream.runtime import jars
from clickstream.runtime.render import File
from clickstream.stack.service import Commands, Processes, Service

READY_TIMEOUT_S = 2


class Kafka(Service):
    """The bus."""

    name = "kafka"
    title = "Kafka"
    processes: ClassVar[Processes] = {"kafka": ("kafka", "kafka_controller")}

    def external_address(self) -> str:
        """The brokers of `kafka.bootstrap`."""
        return self.settings.kafka.bootstrap

    def prepare(self) -> None:
        """server.properties; a formatted log directory."""
        self._write(self._rendered("log4j/log4j2.xml"))
        self._make_once(self.directory / "data", self._format)
        self._write(self._properties(self.directory / "data"))

    def commands(self) -> Commands:
        """`kafka.Kafka server.properties`."""
        return {"kafka": self._main("kafka.Kafka", str(self._conf("server.properties")))}

    def ready(self, process: str) -> bool:
        """Tell whether the broker names itself and its group coordinator answers.

        For a moment after the port opens there is neither.
        """
        port = self.ports[process]
        return port_open(port) and kafka.answers(f"{LOOPBACK}:{port}", READY_TIMEOUT_S)

    def _format(self, data: Path) -> None:
        self._write(self._properties(data))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        properties = str(self._conf("server.properties"))
        # "=": an id may begin with a dash.
        self._run(
            self._main(
                "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", properties
            )
        )

    def _properties(self, data: Path) -> File:
        return self._rendered("kafka/server.properties", ports=self.ports, data=data)

    def _main(self, *arguments: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self._conf('log4j2.xml')}"
        heap = self.settings.stack.heap_mb.kafka
        return self._java(heap, log4j, "-cp", jars.classpath("kafka"), *arguments)

    def _conf(self, name: str) -> Path:
        return self.directory / "conf" / name
