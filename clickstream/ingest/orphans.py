"""Files that a collector left open in HDFS: it was killed, or gave a file up.

It gives one up for good when a call for it took longer than `flume.call_timeout_seconds`. Where a
close fails (the NameNode was away) it tries again in vain, and gives the file its final name
though it is open: readers then see the length of before, and miss what was committed since.

Such files hold lines that stand nowhere else. Their lease is recovered, a torn last line is cut
(its whole copy comes again out of the channel: it was not committed), and they get the name that
the collector would have given them.
"""

import os
import posixpath
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from clickstream import master
from clickstream.clients import endpoints, kerberos
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.ingest.spool.logs import BLOCK_BYTES, blocks
from clickstream.runtime import jars
from clickstream.runtime.java import java

RETRIES = 10


def recover(settings: Settings, left: Sequence[Entry] | None = None) -> list[str]:
    """Close files left open, by default all there are; returns the paths they have now.

    All: only with the collector down. Where it still writes one of them, after all, that write
    fails and comes again in another file: copies, nothing lost.
    """
    hdfs = Hdfs.connect(settings)
    left = master.in_use(hdfs, settings) if left is None else left
    with ThreadPoolExecutor(2) as pool:
        ours = list(pool.map(lambda entry: _recover_lease(settings, hdfs, entry.path), left))
    owned = (entry for entry, is_ours in zip(left, ours, strict=True) if is_ours)
    return [path for entry in owned if (path := _finish(hdfs, entry))]


def given_up(settings: Settings) -> list[Entry]:
    """Files so old that a collector that runs would have closed them, had it not given them up.

    What is open bears the time at which it was made.
    """
    flume = settings.flume
    age_s = flume.roll_seconds + flume.idle_timeout_seconds + 2 * flume.call_timeout_seconds
    latest_ms = (time.time() - age_s) * 1000
    open_files = master.in_use(Hdfs.connect(settings), settings)
    return [
        entry for entry in open_files if master.is_stuck(entry) or entry.modified_ms < latest_ms
    ]


def _recover_lease(settings: Settings, hdfs: Hdfs, path: str) -> bool:
    """Close the file; False where its collector, slow but alive, has just done so by itself."""
    root = endpoints.hdfs_url(settings)
    argv = [
        *(java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", *kerberos.java_options(settings)),
        *("-cp", kerberos.class_path(settings, jars.classpath("hdfs"))),
        "org.apache.hadoop.hdfs.tools.DebugAdmin",
        *("recoverLease", "-path", f"{root}{path}", "-retries", str(RETRIES)),
    ]
    env = os.environ | kerberos.tools_env(settings)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        if hdfs.stat(path) is None:
            return False
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ClickstreamError(
            f"the file {path}, left open by a killed agent, cannot be closed: {''.join(last)}",
            "is HDFS healthy? clickstream stack status",
        )
    return True


def _finish(hdfs: Hdfs, entry: Entry) -> str | None:
    """Give the file its final name, without its torn last line; None where nothing was left."""
    final = posixpath.join(posixpath.dirname(entry.path), _final_name(entry))
    whole = _whole_bytes(hdfs, entry.path)
    current = hdfs.stat(entry.path)
    if current is None or whole == 0:
        hdfs.delete(entry.path)
        return None
    if whole == current.size and master.is_stuck(entry):
        return entry.path
    target = _free(hdfs, final)
    if whole == current.size:
        hdfs.rename(entry.path, target)
    else:
        hdfs.write(target, _head(hdfs, entry.path, whole))
        hdfs.delete(entry.path)
    return target


def _final_name(entry: Entry) -> str:
    return entry.name.removeprefix(master.PREFIX).removesuffix(master.SUFFIX)


def _free(hdfs: Hdfs, path: str) -> str:
    """This path, or one made from it where something stands already."""
    while hdfs.stat(path):
        path += ".recovered"
    return path


def _whole_bytes(hdfs: Hdfs, path: str) -> int:
    """The number of bytes up to the last line end."""
    whole = position = 0
    with hdfs.open(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            end = block.rfind(b"\n")
            whole = position + end + 1 if end >= 0 else whole
            position += len(block)
    return whole


def _head(hdfs: Hdfs, path: str, size: int) -> Iterator[bytes]:
    with hdfs.open(path) as stream:
        yield from blocks(stream, size)
