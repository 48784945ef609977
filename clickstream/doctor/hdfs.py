"""HDFS: room for the files that are open at once, copies, and who may write where."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from clickstream.clients import endpoints, kerberos, namenode, tls
from clickstream.clients.hdfs import HTTPS, Hdfs
from clickstream.clients.namenode import NOBODY, NameNode
from clickstream.config import Settings
from clickstream.doctor import clock, endpoint
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.errors import ClickstreamError
from clickstream.status.part import counted

MAJOR = "3"
ENOUGH = 3
"""How many times the room that open files reserve should be free."""


def check(settings: Settings) -> Iterator[Finding]:
    """Both addresses, TLS and Kerberos, then the NameNode's answers."""
    root = endpoints.hdfs_web(settings)
    web = endpoint.addresses(root.replace(";", ","), 0)
    yield from (found := endpoint.reached("WebHDFS", web, "hdfs.web"))
    url = endpoints.hdfs_url(settings)
    if urlsplit(url).port:  # without one it may name a service of several NameNodes
        yield from endpoint.reached("HDFS", endpoint.addresses(url, 0), "hdfs.url")
    if endpoint.nobody_answers(found):
        return
    ours = tls.material(settings) if HTTPS in root else None
    yield from (found := endpoint.transport("WebHDFS", web, ours, 'set hdfs.web = "https://…"'))
    if endpoint.nobody_answers(found):
        return
    yield from _ticket(settings)
    yield from of(settings, namenode.asked(settings), endpoints.is_loopback(web[0][0]))


def _ticket(settings: Settings) -> Iterator[Finding]:
    """With Kerberos: a ticket, and a NameNode that asks for it."""
    if not kerberos.on(settings):
        return
    kerberos.require(settings)
    yield ok(f"{settings.hdfs.principal} has a ticket, by {settings.hdfs.keytab}")
    if Hdfs.connect(settings).believes(NOBODY):
        raise ClickstreamError(
            "WebHDFS believes any user.name although HDFS has Kerberos: whoever reaches it may"
            " read and remove every line",
            "hadoop.http.authentication.type = kerberos, in core-site.xml of the NameNode",
        )


def of(settings: Settings, told: NameNode, loopback: bool) -> Iterator[Finding]:
    """What a NameNode has told; `loopback`: only this machine can ask it."""
    yield _version(told)
    yield clock.service("the NameNode", told.ahead_s)
    if told.safe_mode:
        yield problem("HDFS is in safe mode and takes no file", "hdfs dfsadmin -safemode get")
    if told.missing_blocks:
        text = f"HDFS misses {told.missing_blocks} blocks: lines are lost until they are back"
        yield problem(text, "is a DataNode down? hdfs fsck / -list-corruptfileblocks")
    yield from _copies(told)
    yield from _room(settings, told)
    yield from _rights(settings, told)
    yield _believed(told, loopback)


def _version(told: NameNode) -> Finding:
    if told.version is None:
        return ok("HDFS does not say which version it is")
    version = told.version.split(",")[0]
    if version.split(".")[0] != MAJOR:
        text = f"HDFS is version {version}, the clients of agent3 and Spark are of {MAJOR}"
        return warning(text, f"use a cluster of Hadoop {MAJOR}")
    return ok(f"HDFS {version}")


def _copies(told: NameNode) -> Iterator[Finding]:
    if told.live is None or told.replication is None:
        return
    nodes, replicas = counted(told.live, "DataNode"), counted(told.replication, "replica")
    if told.live == 0:
        yield problem("no DataNode is up: HDFS takes no file", "start one")
    elif told.replication > told.live:
        text = f"HDFS is to keep {replicas} of a block, and has {nodes}"
        yield warning(text, "add DataNodes, or lower dfs.replication")
    elif told.replication == 1 < told.live:
        text = f"HDFS keeps one replica of a block on {nodes}: a lost disk loses lines"
        yield warning(text, "set dfs.replication to 3, and hdfs dfs -setrep 3 on what is there")
    else:
        yield ok(f"HDFS keeps {replicas} of a block on {nodes}")


def _room(settings: Settings, told: NameNode) -> Iterator[Finding]:
    """Each file being written reserves a whole block on as many nodes as there are copies."""
    if told.remaining is None:
        return
    block = settings.flume.block_mb * 2**20
    if kerberos.conf_dir(settings):  # a cluster's own client configuration goes before ours
        block = max(block, told.block_bytes or 0)
    files = settings.flume.max_open_files
    need = files * block * (told.replication or 1)
    text = f"HDFS has {_gb(told.remaining)} free; {files} open files reserve {_gb(need)}"
    hint = "free disk space for HDFS, or lower flume.max_open_files or flume.block_mb"
    if told.remaining < need:
        yield problem(text, hint)
    elif told.remaining < ENOUGH * need:
        yield warning(text, hint)
    else:
        yield ok(text)


def _rights(settings: Settings, told: NameNode) -> Iterator[Finding]:
    for path, at in told.denied.items():
        wanted = f"hdfs dfs -mkdir -p {path}, and hdfs dfs -chown -R {told.user} {path}"
        yield problem(f"{told.user} may not write in {at} of HDFS", f"as its superuser: {wanted}")
    if not told.denied:
        paths = (settings.hdfs.source, settings.hdfs.master, settings.hdfs.quarantine)
        yield ok(f"{told.user} may write in {', '.join(paths)}")


def _believed(told: NameNode, loopback: bool) -> Finding:
    if not told.believes:
        return ok("WebHDFS does not take any name for a user's")
    if loopback:
        return ok("WebHDFS believes any user.name, and only this machine can ask it")
    return warning(
        "WebHDFS believes any user.name: whoever reaches it may read and remove every line",
        "let only these hosts reach it (a firewall), or have the cluster ask for logins (Kerberos)",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
