"""What the NameNode's fsck says of open files, and what to do about one that does not answer."""

import pytest

from clickstream.clients.hdfs import Hdfs, open_in
from clickstream.errors import NotRunning
from tests.hdfs_in_memory import HdfsInMemory

REPORT = """FSCK started by me (auth:SIMPLE) from /127.0.0.1 for path /master at Wed Nov 25 15:40:45

/master/dt=2015-05-18/server=a/part.1 33796 bytes, replicated: replication=1, 1 block(s), \
OPENFORWRITE: /master/dt=2015-05-18/server=b/_part.2.tmp 0 bytes, replicated: replication=1, \
0 block(s), OPENFORWRITE: 
/master/dt=2015-05-19/server=a/part.3 10 bytes, replicated: replication=1, 1 block(s):  Under \
replicated BP-1/2. Target Replicas is 3 but found 1.
Status: HEALTHY
 Total size:	10990326 B
"""  # noqa: W291


def test_files_that_are_open_whatever_their_names_are():
    assert open_in(REPORT) == (
        "/master/dt=2015-05-18/server=a/part.1",
        "/master/dt=2015-05-18/server=b/_part.2.tmp",
    )


def test_an_open_file_behind_the_dots_of_progress():
    """As a NameNode of Hadoop 3.5 wrote it for 478 files."""
    report = (
        "....../master/dt=2015-05-18/server=a/part.1 2820 bytes, replicated: replication=1,"
        " 1 block(s), OPENFORWRITE: ../q./b/part.2 1 bytes, replicated: replication=1,"
        " 1 block(s), OPENFORWRITE: "
    )
    assert open_in(f"\n{report}\nStatus: HEALTHY") == (
        "/master/dt=2015-05-18/server=a/part.1",
        "/q./b/part.2",
    )


def test_a_directory_without_open_files():
    assert open_in("Path '/nowhere' does not exist.") == ()


def test_a_hidden_directory_is_not_walked_through():
    hdfs, listed = HdfsInMemory({"/m/dt=1/server=a/_part.1.tmp": b"x", "/m/_ledger.a": b"u"}), []
    hdfs.make_directory("/m/_pruned/2015-05-17")
    whole = hdfs.list
    hdfs.list = lambda path: listed.append(path) or whole(path)
    assert [entry.name for entry in hdfs.walk("/m")] == ["_ledger.a", "_part.1.tmp"]
    assert listed == ["/m", "/m/dt=1", "/m/dt=1/server=a"]


@pytest.mark.parametrize(
    ("web", "hint"),
    [
        ("http://127.0.0.1:1", "is it up? clickstream stack status"),
        ("http://nn.invalid:9870", "is it up, and is hdfs.web right?"),
    ],
)
def test_a_namenode_elsewhere_is_not_looked_for_in_the_local_stack(web, hint):
    with pytest.raises(NotRunning, match=f"does not answer at {web}") as told:
        Hdfs(web, "me").stat("/")
    assert told.value.hint == hint
