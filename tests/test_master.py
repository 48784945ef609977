"""Which files of the master dataset are read."""

from clickstream import config, master
from tests.hdfs_in_memory import HdfsInMemory

DAY = "/m/dt=2015-05-18"


def test_closed_files_stand_in_the_partitions_of_a_day_and_a_server():
    sizes = {
        f"{DAY}/server=b/part.2": 5,
        f"{DAY}/server=b/part.10": 6,
        f"{DAY}/server=b/_part.3.tmp": 9,
        f"{DAY}/server=b/.part.4.crc": 1,
        f"{DAY}/server=b/part.5": 0,
        f"{DAY}/server=a/part.1": 1,
        f"{DAY}/server=a/deeper/part.1": 1,
        f"{DAY}/stray/part.1": 1,
        f"{DAY}/part.1": 3,
        "/m/dt=x": 1,
    }
    hdfs = HdfsInMemory(
        {path: b"x" * size for path, size in sizes.items()}, dict.fromkeys(sizes, 7)
    )
    hdfs.directories |= {"/m/dt=-", "/m/_tmp"}
    assert master.days(hdfs, "/m") == ["2015-05-18"]
    partition = "dt=2015-05-18/server"
    assert master.closed_files(hdfs, "/m", ["2015-05-18", "2015-05-19"]) == {
        "2015-05-18": [
            master.File(f"{partition}=a/part.1", 1, 7),
            master.File(f"{partition}=b/part.10", 6, 7),
            master.File(f"{partition}=b/part.2", 5, 7),
        ]
    }


def test_a_file_that_is_open_under_its_final_name_is_not_closed():
    """A collector leaves it so where HDFS went away during its close; it may be unreadable."""
    hdfs = HdfsInMemory({f"{DAY}/server=a/part.{n}": b"line" for n in (1, 2)})
    hdfs.opened = (f"{DAY}/server=a/part.2",)
    listed = master.closed_files(hdfs, "/m", ["2015-05-18"])
    assert [file.path for file in listed["2015-05-18"]] == ["dt=2015-05-18/server=a/part.1"]
    hdfs.opened += (f"{DAY}/server=a/part.1",)
    assert master.closed_files(hdfs, "/m", ["2015-05-18"]) == {}


def test_a_file_that_gets_its_final_name_open_while_files_are_listed_is_not_closed():
    class Renaming(HdfsInMemory):
        def open_files(self, path):
            opened = super().open_files(path)
            self.files = {path.replace("_part.1.tmp", "part.1"): b"line" for path in self.files}
            self.opened = (*self.files,)
            return opened

    def renaming():
        hdfs = Renaming({f"{DAY}/server=a/_part.1.tmp": b"line"})
        hdfs.opened = (*hdfs.files,)
        return hdfs

    assert master.closed_files(renaming(), "/m", ["2015-05-18"]) == {}
    assert master.listing(renaming(), "/m", ["2015-05-18"]).closed == []


def test_lines_are_read_of_closed_files_alone_of_the_days_and_the_server_asked_for(tmp_path):
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
    found = master.listing(hdfs, "/m", days)
    of_a = {"/m/dt=2015-05-18/server=a/part.1", "/m/dt=2015-05-19/server=a/part.1"}
    assert {entry.path for entry in found.closed} == {*of_a, "/m/dt=2015-05-18/server=b/part.1"}
    assert {entry.path for entry in master.listing(hdfs, "/m", days, "a").closed} == of_a
    settings = config.load(home=tmp_path, flags={"hdfs.url": "hdfs://h:1"})
    assert master.source(settings, "/m", *found) == {
        "root": "hdfs://h:1/m",
        "paths": [
            "hdfs://h:1/m/dt=2015-05-18/server=a/part.1",  # beside one that is stuck
            "hdfs://h:1/m/dt=2015-05-18/server=b",
            "hdfs://h:1/m/dt=2015-05-19/server=a",
        ],
    }
