"""Days that are pruned: what goes, what stays, and what a prune leaves that is cut off."""

import datetime
import json

import pytest

from clickstream import config, days, pruned
from clickstream.audit.reconcile import Stores, compare
from clickstream.batch import run as batch
from clickstream.batch import view_rows
from clickstream.cli import main
from clickstream.clients.hdfs import Hdfs
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.home import exclusive
from clickstream.ledger import Ledger, LogFile
from clickstream.master import closed_files
from clickstream.prune import run
from clickstream.rows import ALL
from clickstream.views.batch import BatchViews, LineCount
from tests.audit.test_audit import DAY, FILE, ledger_state, row
from tests.hdfs_in_memory import HdfsInMemory
from tests.views.test_batch_views import day_rows

OLD, KEPT = ["2015-05-16", "2015-05-17"], ["2015-05-18", "2015-05-19"]
BEFORE = KEPT[0]
LONG_AGO = 1_431_600_000_000  # 2015-05-14
OTHER = "fedcba9876543210"
VALID_NOW = b'1.2.3.4 - - [17/May/2015:09:05:59 +0000] "GET /a HTTP/1.1" 200 1'


def reject(offset, day, raw=b"\x1b]0;junk\xff", file=FILE):
    ms = b"-" if day == "-" else b"1431939959000"
    return b"v1:weblog1:%s:%d\t%s\t%s\t%s\n" % (file.encode(), offset, ms, day.encode(), raw)


MIXED = [
    reject(0, "2015-05-17"),
    reject(20, "2015-05-18"),
    reject(40, "-"),
    reject(60, "-", VALID_NOW),
    reject(90, "2015-05-16", b"x" * 400_000),
    reject(500_000, "2015-05-19", b"y" * 400_000),
]
STAY = [MIXED[n] for n in (1, 2, 5)]
QUARANTINE = {
    "part.1": b"".join(MIXED),
    "part.2": reject(900_000, "2015-05-16"),
    "part.3": reject(0, "-", file=OTHER) + b"no stamp\n",
    "part.4": reject(900_100, "2015-05-19"),
    "_part.5.tmp": reject(900_200, "2015-05-16"),
}
REMOVED_SERVER = "/quarantine/server=gone/part.1"


@pytest.fixture
def settings(tmp_path):
    flags = {"database.url": f"sqlite:///{tmp_path}/v.db", "cassandra.hosts": '["127.0.0.1"]'}
    return config.load(home=tmp_path / "home", flags=flags | {"cassandra.port": "1"})


@pytest.fixture
def hdfs(settings, monkeypatch):
    """A master dataset of four days, and a quarantine with lines of all of them."""
    files = {f"/master/dt={day}/server=weblog1/part.1": b"line\n" for day in OLD + KEPT}
    files["/master/_ledger.weblog1"] = b"uuid"
    files |= {f"/quarantine/server=weblog1/{name}": each for name, each in QUARANTINE.items()}
    files[REMOVED_SERVER] = reject(0, "2015-05-16")
    now = 1_431_939_959_000  # 2015-05-18
    modified = dict.fromkeys(files, now) | {"/quarantine/server=weblog1/part.3": LONG_AGO}
    fake = HdfsInMemory(files, modified)
    monkeypatch.setattr(Hdfs, "connect", lambda _: fake)
    return fake


@pytest.fixture
def views(settings, hdfs):
    """The batch views of those days."""
    made_with = view_rows.made_with(settings)
    with BatchViews.connect(settings) as views:
        for day, manifest in closed_files(hdfs, "/master", OLD + KEPT).items():
            views.replace_day(day, day_rows(day, ["/x"], manifest=manifest, made_with=made_with))
        views.publish_line_counts([LineCount("weblog1", FILE, day, 1) for day in OLD + KEPT])
        yield views


def states(settings):
    return {row["date"]: row["state"] for row in batch.status(settings)}


def test_what_is_before_the_day_goes_and_the_rest_stays(settings, hdfs, views):
    assert run.prune(settings, BEFORE) == OLD
    left = {path: content for path, content in hdfs.files.items() if "/quarantine/" in path}
    assert left == {
        f"/quarantine/server=weblog1/part.1.from-{BEFORE}": b"".join(STAY),
        "/quarantine/server=weblog1/part.4": QUARANTINE["part.4"],
        "/quarantine/server=weblog1/_part.5.tmp": QUARANTINE["_part.5.tmp"],
    }
    assert {path for path in hdfs.files if path.startswith("/master/")} == {
        *(f"/master/dt={day}/server=weblog1/part.1" for day in KEPT),
        "/master/_ledger.weblog1",
    }
    assert views.days() == KEPT
    assert [row["date"] for row in views.visitors(server=ALL)] == KEPT
    assert {*views.valid_lines()} == {*OLD, *KEPT}


def test_a_file_that_is_written_again_keeps_its_time(settings, hdfs, views):
    path = f"/quarantine/server=weblog1/part.1.from-{BEFORE}"
    run.prune(settings, BEFORE)
    assert hdfs.modified[path] == hdfs.modified["/quarantine/server=weblog1/part.1"]
    assert run.prune(settings, "2015-05-19") == ["2015-05-18"]
    again = "/quarantine/server=weblog1/part.1.from-2015-05-19"
    assert [path for path in hdfs.files if "part.1.from" in path] == [again]
    assert hdfs.files[again] == MIXED[5]  # its undated lines came on the 18th


def test_the_days_are_known_as_pruned(settings, hdfs, views):
    run.prune(settings, BEFORE)
    assert states(settings) == dict.fromkeys(OLD, "pruned") | dict.fromkeys(KEPT, "fresh")
    assert pruned.read(hdfs, settings) == pruned.Pruned(
        frozenset(OLD), frozenset({("weblog1", OTHER)})
    )
    with pytest.raises(NoData, match="2015-05-17 was pruned"):
        batch.run(settings, batch.DaySelection(only="2015-05-17"))


def test_lines_that_come_later_are_not_counted_and_go_with_the_next_prune(settings, hdfs, views):
    run.prune(settings, BEFORE)
    hdfs.files["/master/dt=2015-05-17/server=weblog1/part.9"] = b"late\n"
    (late,) = [row for row in batch.status(settings) if row["date"] == "2015-05-17"]
    assert (late["state"], late["why"]) == ("pruned", batch.CAME_SINCE)
    assert batch.run(settings) == []
    assert {*batch._selected(settings, batch.DaySelection(every=True))} == {*KEPT}
    assert {*batch._volumes(settings)} == {*KEPT}
    assert run.prune(settings, BEFORE) == ["2015-05-17"]
    assert [row["why"] for row in batch.status(settings)] == [""] * 4


def test_a_second_run_changes_nothing(settings, hdfs, views):
    run.prune(settings, BEFORE)
    before = dict(hdfs.files), set(hdfs.directories)
    assert run.plan(settings, BEFORE).is_empty
    assert run.prune(settings, BEFORE) == []
    assert (hdfs.files, hdfs.directories) == before


class Interrupting(HdfsInMemory):
    """Changes nothing any more once so many changes were made."""

    def __init__(self, before, changes):
        super().__init__(dict(before.files), dict(before.modified))
        self.left = changes

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def write(self, path, *rest):
        self._count()
        super().write(f"{path.rpartition('/')[0]}/_{path.rpartition('/')[2]}.put", *rest)
        self._count()
        draft = f"{path.rpartition('/')[0]}/_{path.rpartition('/')[2]}.put"
        self.files[path] = self.files.pop(draft)
        self.modified[path] = self.modified.pop(draft)

    def make_directory(self, path):
        self._count()
        super().make_directory(path)

    def delete(self, path, recursive=False):
        self._count()
        return super().delete(path, recursive)


def kept_lines(hdfs):
    """Every line of the closed files of the quarantine, once."""
    closed = [
        each for path, each in hdfs.files.items() if "/quarantine/" in path and "/_" not in path
    ]
    return {line for content in closed for line in content.splitlines(keepends=True)}


@pytest.mark.parametrize("changes", range(11))
def test_cut_off_anywhere_it_loses_nothing_that_stays_and_the_next_run_does_the_rest(
    settings, hdfs, views, monkeypatch, changes
):
    cut_off = Interrupting(hdfs, changes)
    monkeypatch.setattr(Hdfs, "connect", lambda _: cut_off)
    with pytest.raises(KeyboardInterrupt):
        run.prune(settings, BEFORE)
    assert kept_lines(cut_off) >= {*STAY, QUARANTINE["part.4"]}
    known = {day for day, state in states(settings).items() if state in ("fresh", "pruned")}
    assert known == {*OLD, *KEPT}  # nothing half removed is missing, dirty or gone
    cut_off.left = 10_000
    run.prune(settings, BEFORE)
    assert kept_lines(cut_off) == {*STAY, QUARANTINE["part.4"]}
    assert states(settings) == dict.fromkeys(OLD, "pruned") | dict.fromkeys(KEPT, "fresh")
    assert not any(path.endswith(".put") for path in cut_off.files)
    assert run.plan(settings, BEFORE).is_empty


def test_the_ledger_still_knows_the_log_but_not_that_a_gone_reject_was_reprocessed(
    settings, hdfs, views
):
    log = LogFile("weblog1", FILE, "/source/weblog1/a.log", 100, "digest", False)
    counts = {("2015-05-17", ""): 2, ("2015-05-18", ""): 1}
    with Ledger.open(settings.files.ledger) as ledger:
        ledger.restore(log, counts, [(100, b"checksum")], [60, 20])
    run.prune(settings, BEFORE)
    with Ledger.open(settings.files.ledger) as ledger:
        assert ledger.files() == [log]
        assert ledger.has_checksum(log, 100, b"checksum")
        assert ledger.totals() == {"": 3}
        assert [*ledger.reprocessed()] == [("weblog1", FILE, 20)]


def test_while_a_batch_run_is_running_it_is_refused(settings, hdfs, views):
    files = dict(hdfs.files)
    with (
        exclusive(settings.files.batch_lock),
        pytest.raises(ClickstreamError, match="already running"),
    ):
        run.prune(settings, BEFORE)
    assert (hdfs.files, hdfs.directories) == (files, set())


def test_a_day_that_is_being_written_is_refused(settings, hdfs, views):
    hdfs.files["/master/dt=2015-05-17/server=weblog1/_part.7.tmp"] = b"more\n"
    with pytest.raises(ClickstreamError, match=r"1 files .* are being written .*_part\.7\.tmp"):
        run.prune(settings, BEFORE)
    assert hdfs.directories == set()
    assert run.prune(settings, "2015-05-17") == ["2015-05-16"]


def test_days_that_may_go_on_are_refused(settings, hdfs, monkeypatch):
    monkeypatch.setattr(run, "utc_today", lambda: datetime.date(2015, 5, 19))
    with pytest.raises(UsageError, match="days from 2015-05-18 on may still go on"):
        run.plan(settings, "2015-05-19")
    assert run.plan(settings, "2015-05-18").days == OLD


# The command


@pytest.fixture
def command(settings, hdfs, views, monkeypatch, capfd):
    """Run `clickstream prune` with an answer to its question."""

    def of(*words, answer="", code=0):
        for name, value in settings.child_env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("typer.confirm", confirmed(answer))
        assert main(["prune", "--before", BEFORE, *words]) == code
        return capfd.readouterr()

    def confirmed(answer):
        def confirm(question, **_):
            of.asked.append(question)
            if answer != "y":
                raise KeyboardInterrupt

        return confirm

    of.asked = []
    return of


def test_it_says_what_it_will_remove_and_asks(command, hdfs, settings):
    files = dict(hdfs.files)
    shown = command(answer="n", code=130)
    assert command.asked == ["Remove 2 days, 2015-05-16 to 2015-05-17 for good?"]
    assert (hdfs.files, hdfs.directories) == (files, set())
    master, quarantine, batch_views = shown.out.splitlines()[-3:]
    assert master.split() == ["master", "dataset", "2", "2", "–", "10"]
    assert quarantine.split()[:4] == ["quarantine", "2", "4", "7"]
    assert batch_views.split() == ["batch", "views", "2", "–", "2", "–"]
    assert "Not removed: the real-time views were not asked" in shown.err
    assert "Not removed: the topic clickstream keeps lines by its own retention" in shown.err
    shown = command(answer="y")
    assert "removed 2 days, 2015-05-16 to 2015-05-17" in shown.err
    assert "nothing to do" in command().err
    assert len(command.asked) == 2


def test_without_a_question_as_json(command):
    rows = json.loads(command("--yes", "--format", "json").out)
    assert command.asked == []
    assert {row["store"]: row["days"] for row in rows} == {
        "master dataset": 2,
        "quarantine": 2,
        "batch views": 2,
    }


# The audit


def test_what_was_pruned_is_not_missed():
    removed = pruned.Pruned(days=frozenset({DAY}))
    done = compare(ledger_state(binary=1), Stores([], pruned=removed), whole=True)
    texts = {row["day"]: row["problem"] for row in done.rows if row["file"] == FILE}
    assert texts[DAY] == ""
    assert texts["-"] == "invalid 1, in the quarantine 0"
    undated = removed._replace(undated=frozenset({("weblog1", FILE)}))
    done = compare(ledger_state(binary=1), Stores([], pruned=undated), whole=True)
    assert done.problems == []
    assert [(row["ledger"], row["pruned"]) for row in done.rows if row["day"] == ALL] == [(4, 4)]


def test_of_a_log_that_is_pruned_in_part_the_other_days_are_still_compared():
    removed = pruned.Pruned(days=frozenset({"2015-05-17"}))
    ledger = ledger_state()
    ledger.counts.append(ledger.counts[0]._replace(day="2015-05-17", lines=5))
    in_topic = row(day="2015-05-17", ids=5, master=0, m=0, kafka=5, k=5)
    whole = row(first=100, stop=129)
    assert compare(ledger, Stores([in_topic, whole], pruned=removed), whole=True).problems == []
    short = row(first=100, stop=129, master=2, m=2)
    (first, second) = compare(ledger, Stores([in_topic, short], pruned=removed), True).problems
    assert first == f"weblog1 {FILE} all: valid 3, in the master dataset 2"
    assert second == f"weblog1 {FILE} {DAY}: valid 3, in the master dataset 2"


def test_a_day_before_which_everything_goes_is_one():
    with pytest.raises(UsageError, match="--before tomorrow is not a valid date"):
        days.one_day("--before", "tomorrow")
