"""HDFS: a NameNode and one DataNode; with Kerberos a KDC before them."""

import getpass
import json
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from clickstream.clients import hdfs
from clickstream.clients.endpoints import KERBEROS_HOST, LOOPBACK, port_open
from clickstream.config import secured
from clickstream.errors import NotRunning
from clickstream.home import write_atomic
from clickstream.runtime import jars
from clickstream.runtime.render import File, render
from clickstream.stack import hdfs_security, kdc
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
        kdc.NAME: (kdc.NAME,),
        "namenode": ("namenode", "namenode_http"),
        "datanode": ("datanode", "datanode_http", "datanode_ipc"),
    }

    @property
    def speaks_tls(self) -> bool:
        """True where the home's stack has Kerberos: without it HDFS stays as it is."""
        return secured.has_kerberos(self.settings.files)

    def parts(self) -> Processes:
        """Without a KDC where there is no Kerberos."""
        left_out = () if self.speaks_tls else (kdc.NAME,)
        return {name: each for name, each in self.processes.items() if name not in left_out}

    def jar_sets(self) -> tuple[str, ...]:
        """The daemons', and the KDC's."""
        return (self.name, kdc.NAME) if self.speaks_tls else (self.name,)

    def external_address(self) -> str:
        """The file system of `hdfs.url`."""
        return self.settings.hdfs.url

    def prepare(self) -> None:
        """The two site files; the KDC, since even a format logs in; a formatted NameNode."""
        self._write(
            self._rendered("log4j/log4j2.xml"),
            File("core-site.xml", render("hadoop/site.xml", properties=self._core())),
            File("hdfs-site.xml", render("hadoop/site.xml", properties=self._hdfs())),
        )
        if self.speaks_tls:
            self._start_kdc()
        self._make_once(self.directory / "name", self._format)

    def commands(self) -> Commands:
        """The two daemons."""
        return {process: self._main(process, main) for process, main in MAINS.items()}

    def env(self) -> dict[str, str]:
        """The superuser is whoever runs this, also where the machine has no name for that user."""
        return super().env() | {"HADOOP_USER_NAME": getpass.getuser()}

    def ready(self, process: str) -> bool:
        """Tell whether the NameNode answers, or, for the DataNode, whether HDFS takes files."""
        state = self._state()
        if process == "namenode":
            return bool(state)
        # A DataNode lives before it has told its size, and no block goes to it until then.
        takes_blocks = state.get("NumLiveDataNodes") == 1 and state.get("CapacityTotal") != 0
        return takes_blocks and state.get("FSState") == "Operational"

    def after_start(self) -> None:
        """Directories for the user of a secured stack, who may make none at the top."""
        if self.speaks_tls:
            ours = hdfs.Hdfs.connect(hdfs_security.as_superuser(self.settings))
            for path in hdfs_security.directories(self.settings):
                ours.make_directory(path)
                ours.give(path, secured.USER)

    def _start_kdc(self) -> None:
        files, port = self.settings.files, self.ports[kdc.NAME]
        write_atomic(files.security("krb5.conf"), kdc.krb5_conf(port), private=True)
        hdfs_security.write_client(files, f"hdfs://{self._at('namenode')}")
        hdfs_security.write_web_server(files, self.directory / "conf")
        argv = self._java(kdc.HEAP_MB, *kdc.arguments(files, port, str(self.directory)))
        self._launch(kdc.NAME, argv).wait_ready(lambda: port_open(port), self._timeout_s)

    def _state(self) -> dict[str, object]:
        """The NameNode's bean; empty while there is none."""
        if self.speaks_tls:
            with suppress(NotRunning):
                answer = hdfs.Hdfs.connect(self.settings).ask(STATE)
                return _first_bean(answer.json()) if answer else {}
            return {}
        url = f"http://{LOOPBACK}:{self.ports['namenode_http']}{STATE}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=2) as answer:
                return _first_bean(json.load(answer))
        except (OSError, ValueError):  # not listening yet, or not yet JSON
            return {}

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
            *self._realm(),
            *("-cp", f"{conf}:{jars.classpath('hdfs')}", *arguments),
        )

    def _realm(self) -> list[str]:
        krb5_conf = self.settings.files.security("krb5.conf")
        return [f"-Djava.security.krb5.conf={krb5_conf}"] if self.speaks_tls else []

    def _core(self) -> dict[str, object]:
        return {
            "fs.defaultFS": f"hdfs://{self._at('namenode')}",
            "hadoop.tmp.dir": self.directory / "tmp",
            **(hdfs_security.core(self.settings.files) if self.speaks_tls else {}),
        }

    def _hdfs(self) -> dict[str, object]:
        web = self._at("namenode_http"), self._at("datanode_http")
        secured_web = hdfs_security.hdfs(self.settings.files, *web) if self.speaks_tls else {}
        return secured_web | {
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
            "dfs.datanode.hostname": self._host,
            "dfs.client.use.datanode.hostname": "true",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.safemode.extension": 0,
            "dfs.namenode.resource.du.reserved": 1_048_576,
            "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
        }

    @property
    def _host(self) -> str:
        return KERBEROS_HOST if self.speaks_tls else LOOPBACK

    def _at(self, port: str) -> str:
        return f"{self._host}:{self.ports[port]}"


def _first_bean(answer: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    beans = answer["beans"]
    return beans[0] if beans else {}
