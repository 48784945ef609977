"""HDFS: a NameNode and one DataNode."""

import getpass
import json
import urllib.request
from pathlib import Path
from typing import ClassVar

from clickstream.clients.endpoints import LOOPBACK
from clickstream.runtime import jars
from clickstream.runtime.render import File, render
from clickstream.stack.service import Commands, Processes, Service

PACKAGE = "org.apache.hadoop.hdfs.server"
MAINS = {
    "namenode": f"{PACKAGE}.namenode.NameNode",
    "datanode": f"{PACKAGE}.datanode.DataNode",
}
OPENED = (
    *("java.io", "java.lang", "java.lang.reflect", "java.math", "java.net", "java.text"),
    *("java.util", "java.util.concurrent", "java.util.zip"),
    *("sun.security.util", "sun.security.x509"),
)
STATE = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"


class Hdfs(Service):
    """The source logs, the master dataset and the quarantine."""

    name = "hdfs"
    title = "HDFS"
    processes: ClassVar[Processes] = {
        "namenode": ("namenode", "namenode_http"),
        "datanode": ("datanode", "datanode_http", "datanode_ipc"),
    }
    can_speak_tls = False  # it comes with Kerberos

    def external_address(self) -> str:
        """The file system of `hdfs.url`."""
        return self.settings.hdfs.url

    def prepare(self) -> None:
        """The two site files; a formatted NameNode."""
        self._write(
            self._rendered("log4j/log4j2.xml"),
            File("core-site.xml", render("hadoop/site.xml", properties=self._core())),
            File("hdfs-site.xml", render("hadoop/site.xml", properties=self._hdfs())),
        )
        self._make_once(self.directory / "name", self._format)

    def commands(self) -> Commands:
        """The two daemons."""
        return {process: self._main(process, MAINS[process]) for process in self.processes}

    def env(self) -> dict[str, str]:
        """The superuser is whoever runs this, also where the machine has no name for that user."""
        return super().env() | {"HADOOP_USER_NAME": getpass.getuser()}

    def ready(self, process: str) -> bool:
        """Tell whether the NameNode answers, or, for the DataNode, whether HDFS takes files."""
        state = self._state()
        if process == "namenode":
            return bool(state)
        return state.get("NumLiveDataNodes") == 1 and state.get("FSState") == "Operational"

    def _state(self) -> dict[str, object]:
        """The NameNode's bean; empty while there is none."""
        url = f"http://{LOOPBACK}:{self.ports['namenode_http']}{STATE}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=2) as answer:
                beans: list[dict[str, object]] = json.load(answer)["beans"]
        except (OSError, ValueError):  # not listening yet, or not yet JSON
            return {}
        return beans[0] if beans else {}

    def _format(self, name: Path) -> None:
        option = f"-Ddfs.namenode.name.dir=file://{name}"
        self._run(self._main("namenode", MAINS["namenode"], option, "-format", "-nonInteractive"))

    def _main(self, process: str, *arguments: str) -> list[str]:
        heap_mb: int = getattr(self.settings.stack.heap_mb, process)
        conf = self.directory / "conf"
        return self._java(
            heap_mb,
            *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
            f"-Dhadoop.log.dir={self.settings.files.logs}",
            f"-Dlog4j2.configurationFile={conf / 'log4j2.xml'}",
            *("-cp", f"{conf}:{jars.classpath('hdfs')}", *arguments),
        )

    def _core(self) -> dict[str, object]:
        return {
            "fs.defaultFS": f"hdfs://{self._at('namenode')}",
            "hadoop.tmp.dir": self.directory / "tmp",
        }

    def _hdfs(self) -> dict[str, object]:
        return {
            "dfs.replication": 1,
            # Each file being written reserves a block: 128 MB by default.
            "dfs.blocksize": self.settings.flume.block_mb * 2**20,
            "dfs.namenode.name.dir": f"file://{self.directory / 'name'}",
            "dfs.datanode.data.dir": f"file://{self.directory / 'data'}",
            "dfs.namenode.rpc-address": self._at("namenode"),
            "dfs.namenode.http-address": self._at("namenode_http"),
            "dfs.datanode.address": self._at("datanode"),
            "dfs.datanode.http.address": self._at("datanode_http"),
            "dfs.datanode.ipc.address": self._at("datanode_ipc"),
            "dfs.datanode.hostname": LOOPBACK,
            "dfs.client.use.datanode.hostname": "true",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.safemode.extension": 0,
            "dfs.namenode.resource.du.reserved": 1_048_576,
            "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
        }

    def _at(self, port: str) -> str:
        return f"{LOOPBACK}:{self.ports[port]}"
