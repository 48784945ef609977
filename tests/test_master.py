"""Which files of the master dataset are read."""

from clickstream import master
from clickstream.spark import stored_lines
from tests.hdfs_in_memory import HdfsInMemory


def test_lines_are_read_of_closed_files_alone_of_the_days_and_the_server_asked_for():
    files = dict.fromkeys(
        (
            "/m/dt=2015-05-18/server=a/part.1",
            "/m/dt=2015-05-18/server=a/part.2",
            "/m/dt=2015-05-18/server=a/_part.3.tmp",
            "/m/dt=2015-05-18/server=b/part.1",
            "/m/dt=2015-05-19/server=a/part.1",
            "/m/dt=2015-05-20/server=a/part.1",
        ),
        b"line\n",
    )
    hdfs = HdfsInMemory(files | {"/m/dt=2015-05-18/server=a/empty": b""})
    hdfs.opened = ("/m/dt=2015-05-18/server=a/part.2", "/m/dt=2015-05-18/server=a/_part.3.tmp")
    days = ["2015-05-18", "2015-05-19"]
    found = master.found(hdfs, "/m", days)
    of_a = {"/m/dt=2015-05-18/server=a/part.1", "/m/dt=2015-05-19/server=a/part.1"}
    assert {entry.path for entry in found.closed} == {*of_a, "/m/dt=2015-05-18/server=b/part.1"}
    assert {entry.path for entry in master.found(hdfs, "/m", days, "a").closed} == of_a
    assert stored_lines.source("hdfs://h:1", "/m", *found) == {
        "root": "hdfs://h:1/m",
        "paths": [
            "hdfs://h:1/m/dt=2015-05-18/server=a/part.1",  # beside one that is stuck
            "hdfs://h:1/m/dt=2015-05-18/server=b",
            "hdfs://h:1/m/dt=2015-05-19/server=a",
        ],
    }
