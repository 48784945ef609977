"""`speed rebuild` before its Spark job: what it reads, and what it refuses."""

import sys
from types import SimpleNamespace

import pytest

from clickstream import config
from clickstream.clients.hdfs import Hdfs
from clickstream.errors import ClickstreamError
from clickstream.ledger import Ledger, LogFile
from clickstream.runtime.process import Child
from clickstream.speed import control, rebuild, rebuild_job
from tests.hdfs_in_memory import HdfsInMemory


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


@pytest.mark.parametrize(
    ("day", "around"),
    [
        ("2016-03-01", ["2016-02-29", "2016-03-01", "2016-03-02"]),
        ("0001-01-01", ["0001-01-01", "0001-01-02"]),
        ("9999-12-31", ["9999-12-30", "9999-12-31"]),
    ],
)
def test_lines_of_a_utc_day_lie_in_the_printed_days_around_it(day, around):
    assert rebuild.days_around(day) == around


@pytest.mark.parametrize("name", [control.NAME, control.REBUILD])
def test_one_writer_at_a_time(settings, name):
    child = Child(settings.files, name)
    child.start([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        pid = str(child.running().pid)
        for refused in (
            lambda: rebuild.rebuild(settings, "2015-05-18"),
            lambda: control.reset(settings),
            lambda: control.launch(settings),
        ):
            with pytest.raises(ClickstreamError, match=pid):
                refused()
    finally:
        child.stop(2)


@pytest.mark.parametrize(("stored", "missing"), [(8, 0), (9, 0), (5, 3)])
def test_a_line_of_the_ledger_that_the_master_copy_lacks_is_refused(settings, stored, missing):
    path = settings.files.ledger
    path.parent.mkdir(parents=True)
    log = LogFile("weblog1", "0" * 16, "hdfs:/x", 900, "00", False)
    with Ledger.open(path) as ledger:
        days = {("2015-05-18", ""): 8, ("2015-05-18", "blank"): 4, ("2015-05-20", ""): 7}
        ledger.restore(log, days, [], [])
    row = SimpleNamespace(server="weblog1", file="0" * 16, day="2015-05-18", n=stored)
    session = SimpleNamespace(sql=lambda _: SimpleNamespace(collect=lambda: [row]))
    if not missing:
        rebuild_job.check_line_counts(session, settings)
        return
    with pytest.raises(ClickstreamError, match=f"^{missing} lines of 2015-05-18"):
        rebuild_job.check_line_counts(session, settings)


def test_a_day_beside_a_pruned_one_is_refused(settings, monkeypatch):
    hdfs = HdfsInMemory({})
    hdfs.make_directory("/master/_pruned/2015-05-17")
    monkeypatch.setattr(Hdfs, "connect", lambda _: hdfs)
    rebuild._refuse_pruned(settings, rebuild.days_around("2015-05-19"))
    with pytest.raises(ClickstreamError, match="2015-05-17 was pruned"):
        rebuild._refuse_pruned(settings, rebuild.days_around("2015-05-18"))
