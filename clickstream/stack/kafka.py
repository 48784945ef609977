"""Kafka: one process that is broker and controller."""

import base64
import json
import uuid
from pathlib import Path
from typing import ClassVar

from clickstream.clients import kafka, kafka_users
from clickstream.clients.endpoints import LOOPBACK, port_open
from clickstream.runtime import jars
from clickstream.runtime.render import File
from clickstream.stack import security
from clickstream.stack.security import ADMINISTRATOR
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
        return port_open(self.ports[process]) and kafka.answers(self._client(), READY_TIMEOUT_S)

    def after_start(self) -> None:
        """The user of a secured stack, with its rights on the topic."""
        if self.speaks_tls:
            topic, user = self.settings.kafka.topic, self.settings.kafka.username
            secret = self.settings.secret("kafka.password")
            kafka_users.ensure(self._client(), user, secret, topic)

    def _client(self) -> dict[str, str]:
        """The broker as its administrator asks it, in librdkafka's keys."""
        where = {"bootstrap.servers": f"{LOOPBACK}:{self.ports['kafka']}"}
        if not self.speaks_tls:
            return where
        files = self.settings.files
        return where | {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(files.security("ca.pem")),
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": ADMINISTRATOR,
            "sasl.password": security.password(files, ADMINISTRATOR),
        }

    def _format(self, data: Path) -> None:
        self._write(self._properties(data))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        properties = str(self._conf("server.properties"))
        # "=": an id may begin with a dash.
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", properties)
        java, *arguments = self._main(*tool, *self._first_user())
        # A file of arguments: every user may read a command line, and a password is among them.
        self._write(File("format", "\n".join(map(json.dumps, arguments))))
        try:
            self._run([java, f"@{self._conf('format')}"])
        finally:
            self._conf("format").unlink()

    def _first_user(self) -> list[str]:
        if not self.speaks_tls:
            return []
        secret = security.password(self.settings.files, ADMINISTRATOR)
        return ["--add-scram", f"SCRAM-SHA-512=[name={ADMINISTRATOR},password={secret}]"]

    def _properties(self, data: Path) -> File:
        return self._rendered(
            "kafka/server.properties",
            ports=self.ports,
            data=data,
            security=self.security,
            administrator=ADMINISTRATOR,
        )

    def _main(self, *arguments: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self._conf('log4j2.xml')}"
        heap = self.settings.stack.heap_mb.kafka
        return self._java(heap, log4j, "-cp", jars.classpath("kafka"), *arguments)

    def _conf(self, name: str) -> Path:
        return self.directory / "conf" / name
