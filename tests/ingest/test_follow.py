"""Following a growing log, on real files and the real spooler, without agents."""

import errno
import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from clickstream import config
from clickstream.errors import BadInput, ClickstreamError, UsageError
from clickstream.ingest.follow import run, tail
from clickstream.ingest.follow.follower import Follower, Following
from clickstream.ingest.follow.tail import TailedFile
from clickstream.ingest.spool import spooler
from clickstream.ingest.spool.chunks import Spool
from clickstream.ledger import Ledger
from tests.examples import examples
from tests.rotated_log import Writer

SERVER = "weblog1"


class Home:
    """A home without agents, and a follow in it that can be ended hard and begun again."""

    def __init__(self, directory: Path, **flags: str) -> None:
        own = {"replay.max_spooled_chunks": "1000000", "follow.quiet_seconds": "1000"}
        self.settings = config.load(home=directory / "home", flags=own | flags)
        self.path = directory / "logs" / "access.log"
        self.path.parent.mkdir(parents=True)
        self.messages: list[str] = []
        self._open = ExitStack()

    def begin(self) -> Follower:
        self._open.close()
        spooled = self._open.enter_context(spooler.opened(self.settings, [SERVER]))
        made = Follower(
            self.settings, spooled, SERVER, self.path, self.messages.append, Following()
        )
        self.follower = self._open.enter_context(closing(made))
        return self.follower

    def settle(self) -> None:
        for _ in range(100):
            if self.follower.step():
                return
        raise AssertionError(f"never settled: {self.follower.done} {self.messages}")

    def finish(self) -> None:
        """As after a long silence."""
        self.follower._quiet_s = 0
        self.settle()

    def end(self) -> None:
        self._open.close()

    def spooled(self) -> list[tuple[bytes, bytes]]:
        """(id, raw line) of every line in the spool."""
        chunks = sorted(self.settings.files.spool(SERVER).glob("*.log"))
        stamped = [line for chunk in chunks for line in chunk.read_bytes().split(b"\n")[:-1]]
        return [(line.split(b"\t", 1)[0], line.split(b"\t", 3)[3]) for line in stamped]

    def check(self, written: list[bytes]) -> None:
        """Every line is spooled once, and counted once."""
        found = self.spooled()
        assert len({each for each, _ in found}) == len(found), self.messages
        assert Counter(raw for _, raw in found) == Counter(written), self.messages
        with Ledger.open(self.settings.files.ledger) as ledger:
            assert ledger.totals(SERVER).total() == len(written)


def raws(home: Home) -> list[bytes]:
    """The lines of the spool in the order in which an agent takes them."""
    chunks = home.settings.files.spool(SERVER).glob("*.log")
    bodies = [chunk.read_bytes() for chunk in sorted(chunks, key=lambda each: each.stat().st_mtime)]
    return [line.split(b"\t", 3)[3] for body in bodies for line in body.split(b"\n")[:-1]]


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    made.end()


OPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 4)),
    st.tuples(st.just("write_old"), st.integers(1, 2)),
    st.just(("cut",)),
    st.just(("rename",)),
    st.just(("rename_late",)),
    st.just(("reopen",)),
    st.just(("copytruncate",)),
    st.just(("truncate",)),
    st.tuples(st.just("compress"), st.integers(1, 4)),
    st.just(("step",)),
    st.just(("kill",)),
)


def act(home: Home, writer: Writer, op: tuple) -> None:
    match op:
        case ("write", n):
            writer.write(n)
        case ("write_old", n):
            writer.write(n, old=True)
        case ("cut",):
            writer.cut()
        case ("rename",):
            writer.rename()
        case ("rename_late",):
            writer.rename(reopen=False)
        case ("reopen",):
            writer.reopen()
        case ("copytruncate",):
            writer.copytruncate()
        case ("truncate",):
            for _ in range(5):
                home.follower.step()
            writer.truncate()
        case ("compress", n):
            writer.compress(n)
        case ("step",):
            home.follower.step()
        case ("kill",):
            home.begin()


@pytest.fixture
def writer(home):
    return Writer(home.path)


def lived(home, writer, *ops):
    """A follow that has read all there was, then what befell the log."""
    home.begin()
    home.settle()
    for op in ops:
        act(home, writer, op)


W, STEP, KILL, CUT, RENAME, COPY = (
    ("write", 1),
    ("step",),
    ("kill",),
    ("cut",),
    ("rename",),
    ("copytruncate",),
)


@example([W, COPY])
@example([W, COPY, W])
@example([CUT, COPY, RENAME])
@example([RENAME, W, ("rename_late",)])
@example([RENAME, CUT, STEP, KILL, ("write_old", 1)])
@example([RENAME, KILL, STEP, ("write_old", 1)])
@example([W, ("rename_late",), ("truncate",), W, STEP])
@example([CUT, RENAME, RENAME, ("compress", 2), STEP])
@given(st.lists(OPS, max_size=40))
@tried(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_history_is_spooled_once(history):
    directory = Path(tempfile.mkdtemp())
    try:
        home = Home(directory)
        writer = Writer(home.path)
        home.begin()
        home.follower.step()
        for op in history:
            act(home, writer, op)
        writer.end(writer.handle)
        writer.reopen()
        home.finish()
        home.check(writer.lines)
    finally:
        home.end()
        shutil.rmtree(directory)


def test_a_log_that_is_not_there_is_awaited(home):
    home.begin()
    assert home.follower.step()
    assert "access.log to appear" in home.follower.done.waiting_for
    writer = Writer(home.path)
    writer.write(3)
    home.settle()
    assert home.follower.done.waiting_for == ""
    home.check(writer.lines)


def test_logs_from_before_it_was_followed_are_left_alone(home, writer):
    writer.write(3)
    writer.rename()
    writer.compress(1)
    writer.write(2)
    writer.rename()
    writer.write(4)
    lived(home, writer, ("write", 1), ("kill",), ("rename",), ("write", 2))
    home.settle()
    home.check(writer.lines[5:])


def test_what_was_rotated_while_nobody_followed_is_read_oldest_first(home, writer):
    lived(home, writer, ("write", 2))
    home.settle()
    home.end()
    for number in range(4):
        writer.write(number + 1)
        writer.rename()
        writer.compress(2)
    writer.write(1)
    home.begin()
    home.settle()
    assert raws(home) == writer.lines
    home.check(writer.lines)


def test_logs_missed_are_read_though_the_known_one_was_removed(home, writer):
    lived(home, writer, ("write", 2))
    home.settle()
    home.end()
    for _ in range(3):
        writer.rename()
        writer.write(2)
    home.path.with_name("access.log.3").unlink()
    home.begin()
    home.settle()
    home.check(writer.lines)


def test_a_log_from_before_is_not_missed_where_the_known_one_was_removed(home, writer):
    writer.write(5)
    writer.rename()
    past = os.stat(home.path.with_name("access.log.1")).st_mtime - 100
    os.utime(home.path.with_name("access.log.1"), (past, past))
    lived(home, writer, ("write", 2))
    home.settle()
    home.end()
    home.path.unlink()
    writer.reopen()
    writer.write(3)
    home.begin()
    home.settle()
    home.check(writer.lines[5:])


@pytest.mark.parametrize("rotation", ["rename", "copytruncate"])
def test_a_compressed_copy_has_nothing_new(home, writer, rotation):
    lived(home, writer, ("write", 3), ("step",), (rotation,), ("write", 2), ("step",))
    writer.compress(1)
    home.settle()
    lived(home, writer, ("write", 1))
    home.settle()
    home.check(writer.lines)


def test_a_tail_is_held_back_until_its_end_comes(home, writer):
    lived(home, writer, ("cut",))
    home.settle()
    home.check(writer.lines[:1])
    writer.end(writer.handle)
    home.settle()
    home.check(writer.lines)


def test_the_tail_of_a_rotated_log_counts_when_nothing_more_comes(home, writer):
    lived(home, writer, ("cut",), ("rename",), ("write", 1))
    assert not home.follower.step(), "a partial line that will count soon is not settled"
    home.check([writer.lines[0], writer.lines[2]])
    home.finish()
    home.check(writer.lines)


def test_what_comes_late_to_a_rotated_log_is_read(home, writer):
    lived(home, writer, ("write", 1), ("rename",), ("write", 1), ("step",))
    for _ in range(3):
        act(home, writer, ("write_old", 1))
        home.settle()
    home.check(writer.lines)


def test_a_counted_tail_that_goes_on_is_told_and_left_alone(home, writer):
    lived(home, writer, ("cut",), ("rename",), ("write", 1), ("step",))
    old = writer.old
    home.finish()
    home.end()
    writer.end(old)
    home.begin()
    home.finish()
    assert any("goes on" in text for text in home.messages)
    assert len(home.spooled()) == 3


def test_a_counted_partial_line_that_goes_on_at_once_is_reported_too(home, writer, monkeypatch):
    lived(home, writer, ("cut",), ("rename",), ("write", 1), ("step",))
    spool = spooler.Spooler.spool

    def spool_and_write(self, log, chunk):
        spool(self, log, chunk)
        if chunk.open_tail:
            writer.end(writer.old)

    monkeypatch.setattr(spooler.Spooler, "spool", spool_and_write)
    home.finish()
    assert any("goes on" in text for text in home.messages)
    assert len(home.spooled()) == 3


def test_a_broken_compressed_log_is_reported_and_left_alone(home, writer):
    lived(home, writer, ("write", 300))
    home.settle()
    home.end()
    writer.write(1)
    writer.rename()
    writer.write(2)
    writer.rename()
    writer.compress(2)
    packed = home.path.with_name("access.log.2.gz")
    packed.write_bytes(packed.read_bytes()[:-20])
    home.begin()
    assert not home.follower.step(), "it may be compressed just now: what is newer waits"
    assert len(home.spooled()) == 300
    home.finish()
    assert any("is a gzip file that is cut off" in text for text in home.messages)
    home.check(writer.lines[:300] + writer.lines[301:])


def test_a_compressed_log_cannot_be_followed(home):
    home.path.write_bytes(gzip.compress(b"x\n"))
    home.begin()
    with pytest.raises(BadInput, match="is compressed"):
        home.follower.step()


def test_a_crowded_spool_is_waited_for(tmp_path):
    home = Home(tmp_path, **{"replay.max_spooled_chunks": "1", "replay.chunk_lines": "2"})
    writer = Writer(home.path)
    lived(home, writer, ("write", 5))
    assert not home.follower.step()
    assert "the agents to take" in home.follower.done.waiting_for
    taken = []
    while len(taken) < 3:
        (chunk,) = home.settings.files.spool(SERVER).glob("*.log")
        taken += [line.split(b"\t", 3)[3] for line in chunk.read_bytes().split(b"\n")[:-1]]
        chunk.rename(chunk.with_name(chunk.name + ".COMPLETED"))
        home.follower.step()
    (chunk,) = home.settings.files.spool(SERVER).glob("*.log")
    assert len(taken) == 4
    assert home.follower.done.lines == 5
    home.end()


def test_a_line_that_is_too_long_waits_for_hdfs_alone(home, writer, monkeypatch):
    lived(home, writer, ("write", 2))
    home.settle()
    writer.write(1, size=300_000)
    writer.write(1)
    assert not home.follower.step()
    assert "HDFS" in home.follower.done.waiting_for
    assert len(home.spooled()) == 2
    kept = {}
    monkeypatch.setattr(
        spooler, "quarantine_big", lambda hdfs, root, server, file, chunk: kept.update(chunk.big)
    )
    monkeypatch.setattr(spooler.Hdfs, "connect", lambda settings: None)
    home.settle()
    assert [big.read() for big in kept.values()] == [writer.lines[2]]
    assert raws(home) == [*writer.lines[:2], writer.lines[3]]


def test_a_line_without_an_end_is_not_held_in_memory(home, writer):
    lived(home, writer)
    tracemalloc.start()
    for _ in range(12):
        os.write(writer.handle, b"x" * (4 << 20))
        assert home.follower.step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20
    assert home.spooled() == []


def test_a_truncation_amid_a_run_of_lines_is_noticed(home, writer, monkeypatch):
    lived(home, writer, W)
    home.settle()
    writer.write(2)
    stream = TailedFile.stream
    turns = iter([writer.copytruncate])

    def truncated(self, start, stop):
        for turn in turns:
            turn()
            writer.write(3)
        return stream(self, start, stop)

    monkeypatch.setattr(TailedFile, "stream", truncated)
    home.settle()
    home.check(writer.lines)


def test_a_truncation_just_before_the_log_is_opened_is_noticed(home, writer, monkeypatch):
    lived(home, writer, W)
    home.settle()
    writer.rename()
    writer.write(1)
    opened = tail.opened
    turns = iter([writer.copytruncate])

    def truncated(found):
        for turn in turns:
            turn()
            writer.write(1)
        return opened(found)

    monkeypatch.setattr(tail, "opened", truncated)
    home.settle()
    home.check(writer.lines)


def test_two_copies_of_a_log_that_was_missed_count_once(home, writer):
    lived(home, writer, W)
    home.settle()
    home.end()
    writer.rename()
    writer.write(3)
    writer.rename()
    shutil.copy(home.path.with_name("access.log.1"), home.path.with_name("access.log-20260101"))
    home.begin()
    home.finish()
    home.check(writer.lines)


def test_silence_counts_from_the_rotation(home, writer, monkeypatch):
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    writer.write(1)
    lived(home, writer)
    now[0] += 5000
    for op in (RENAME, W, STEP):
        act(home, writer, op)
    now[0] += 10
    act(home, writer, ("write_old", 1))
    home.settle()
    home.check(writer.lines)


def test_the_ledger_knows_where_a_rotated_log_lies(home, writer):
    lived(home, writer, W, STEP, RENAME, W)
    home.settle()
    with Ledger.open(home.settings.files.ledger) as ledger:
        paths = [log.path for log in ledger.files(SERVER)]
    assert sorted(paths) == [f"file://{home.path}", f"file://{home.path}.1"]


def test_a_writer_at_work(tmp_path):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    home = Home(tmp_path)
    out = tmp_path / "written"
    argv = [sys.executable, "-m", "tests.rotated_log", str(home.path), str(seed), str(out)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, text=True) as process:
        home.begin()
        for lines in (1, 300):  # It begins after a word, and ends after another.
            while home.follower.done.lines < lines:
                home.follower.step()
            process.stdin.write("now\n")
            process.stdin.flush()
        while process.poll() is None:
            home.follower.step()
    home.finish()
    home.end()
    home.check(out.read_bytes().split(b"\n")[:-1])


def following(home, ending=None, idle=None, server=SERVER):
    """A whole follow; `ending` is a signal that comes once something was read."""

    def observe(done):
        if done.lines and ending:
            os.kill(os.getpid(), ending)

    return run.follow(home.settings, server, home.path, observe, home.messages.append, idle)


def test_a_silence_ends_it(home, writer):
    writer.write(3)
    done = following(home, idle=0.01)
    assert (done.lines, done.interrupted) == (3, False)
    home.check(writer.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(home, writer, number):
    before = signal.getsignal(number)
    signal.signal(number, lambda *_: None)
    try:
        writer.write(3)
        done = following(home, ending=number)
    finally:
        signal.signal(number, before)
    assert (done.lines, done.interrupted) == (3, number == signal.SIGINT)
    home.check(writer.lines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_ends_with_its_exit_code(home, writer, number, code):
    writer.write(3)
    argv = [sys.executable, "-m", "clickstream.cli", "ingest", "follow", "--server", SERVER]
    env = home.settings.child_env()
    with subprocess.Popen([*argv, home.path], env=env, stdout=subprocess.PIPE) as process:
        while not list(home.settings.files.spool(SERVER).glob("*.log")):
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
    assert (process.returncode, said) == (code, b"3 lines spooled, 0 invalid\n")
    home.check(writer.lines)


def test_a_log_that_is_a_beginning_of_a_known_one_hides_nothing(home, writer):
    lived(home, writer, ("write", 3))
    home.settle()
    home.end()
    writer.write(2)
    beginning = home.path.read_bytes().split(b"\n")[0] + b"\n"
    writer.rename()
    home.path.write_bytes(beginning)
    home.begin()
    home.settle()
    home.check(writer.lines)


@pytest.mark.parametrize("where", ["stage", "keep"])
def test_a_full_disk_is_waited_for(home, writer, monkeypatch, where):
    works = getattr(Spool, where)
    failures = iter(range(2))

    def full(*args):
        if next(failures, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        works(*args)

    monkeypatch.setattr(Spool, where, full)
    monkeypatch.setattr(run, "SPACE_AGAIN_S", 0.01)
    writer.write(3)
    assert following(home, idle=0.05).lines == (3 if where == "stage" else 0)
    assert any("No space left" in text for text in home.messages)
    home.check(writer.lines)


def test_one_follow_of_a_server_but_two_of_two(home, writer):
    writer.write(3)
    home.begin()
    with pytest.raises(ClickstreamError, match=f"pid {os.getpid()}"):
        following(home, idle=0)
    assert following(home, idle=0, server="weblog2").lines == 3


def test_a_new_format_is_refused_while_lines_of_the_earlier_one_wait(home, writer):
    writer.write(1)
    following(home, idle=0)
    assert any("agent1 is not running" in text for text in home.messages)
    home.settings.servers[SERVER].format = "common"
    with pytest.raises(BadInput, match="judged as combined wait for its agent"):
        following(home, idle=0)
    (chunk,) = home.settings.files.spool(SERVER).glob("*.log")
    chunk.rename(chunk.with_name(chunk.name + ".COMPLETED"))
    following(home, idle=0)


def test_an_unknown_server_is_named(home):
    with pytest.raises(UsageError, match="no server nope"):
        following(home, server="nope")


def test_a_master_copy_of_another_ledger_ends_it(home, writer, monkeypatch):
    writer.write(1)

    def other(*_):
        raise ClickstreamError("the master dataset belongs to another ledger")

    monkeypatch.setattr(run.Hdfs, "connect", lambda settings: None)
    monkeypatch.setattr(spooler, "check_owner", other)
    with pytest.raises(ClickstreamError, match="another ledger"):
        following(home, idle=5)
    assert home.spooled() == []
