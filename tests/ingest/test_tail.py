"""A tailed file: lines, silence, truncation, what was rotated away from a path, and missed."""

import gzip
import os

import pytest

from clickstream.errors import BadInput
from clickstream.home import Home
from clickstream.ingest.follow import tail
from clickstream.ingest.follow.tail import FileEntry, TailedFile


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


def read(tailed, start, stop):
    with tailed.stream(start, stop) as stream:
        return stream.read()


def looked_at(path):
    tailed = TailedFile(path)
    tailed.first_look()
    return tailed


def test_whole_lines_only(log):
    log.write_bytes(b"one\ntwo\nthr")
    tailed = looked_at(log)
    assert tailed.lines_end(0) == tailed.last_line_end() == 8
    assert read(tailed, 4, 8) == b"two\n"
    assert tailed.lines_end(8) == 8
    with log.open("ab") as file:
        file.write(b"ee\nf")
    assert tailed.lines_end(8) == 14


def test_a_blank_file_has_no_lines_until_it_was_looked_at(log):
    log.touch()
    tailed = looked_at(log)
    assert tailed.blank
    log.write_bytes(b"one\n")
    assert tailed.lines_end(0) == 0
    tailed.first_look()
    assert tailed.lines_end(0) == 4


def test_a_run_of_lines_is_bounded_and_a_long_line_is_searched_once(log, monkeypatch):
    monkeypatch.setattr(tail, "_BLOCK_BYTES", 10)
    monkeypatch.setattr(tail, "_BACK_BYTES", 10)
    log.write_bytes(b"one\ntwo\n" + b"x" * 100)
    tailed = looked_at(log)
    assert tailed.lines_end(0) == 8
    assert tailed.last_line_end() == 8
    assert tailed.lines_end(8) == 8
    read_at = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read_at.append(args[2]) or pread(*args))
    with log.open("ab") as file:
        file.write(b"yy\nnext\n")
    assert tailed.lines_end(8) == 8 + 100 + 8
    assert min(at for at in read_at if at) >= 100


def test_what_it_was_named_and_that_it_was_removed_is_no_matter(log):
    log.write_bytes(b"one\n")
    tailed = looked_at(log)
    log.rename(log.with_name("access.log.1"))
    with log.with_name("access.log.1").open("ab") as file:
        file.write(b"two\n")
    log.with_name("access.log.1").unlink()
    assert read(tailed, 0, tailed.lines_end(0)) == b"one\ntwo\n"
    with tailed.opener(4)() as first, tailed.opener(8)() as all_:
        assert (first.read(), all_.read()) == (b"one\n", b"one\ntwo\n")


@pytest.mark.parametrize(
    "after", [b"", b"new\n", b"newer, and longer than it was\n", b"one\nTWO\n"]
)
def test_a_truncation_is_noticed_by_what_was_read(log, after):
    log.write_bytes(b"one\ntwo\n")
    tailed = looked_at(log)
    assert tailed.reached(8)
    assert tailed.intact()
    log.write_bytes(after)
    assert not tailed.intact()
    assert not tailed.reached(8)


def test_a_truncation_is_noticed_though_the_file_has_outgrown_what_was_read(log):
    log.write_bytes(b"a" * 1000 + b"\n")
    tailed = looked_at(log)
    assert tailed.reached(1001)
    log.write_bytes(b"a" * 900 + b"b" * 1000)
    assert not tailed.intact()


def test_what_is_truncated_while_it_is_read_is_not_the_logs(log):
    log.write_bytes(b"one\n")
    tailed = looked_at(log)
    assert tailed.lines_end(0) == 4
    log.write_bytes(b"ONE\n")
    assert not tailed.reached(4)


def test_silence_counts_from_the_last_change(log, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(tail.time, "monotonic", lambda: now[0])
    log.write_bytes(b"one\n")
    tailed = TailedFile(log)
    now[0] += 7
    assert tailed.quiet_s() == 7
    with log.open("ab") as file:
        file.write(b"two\n")
    assert tailed.quiet_s() == 0
    now[0] += 5
    tailed.left()
    assert tailed.quiet_s() == 0


def test_only_a_file_can_grow(tmp_path, log):
    with pytest.raises(BadInput, match="is not a file"):
        TailedFile(tmp_path)
    os.mkfifo(log)
    with pytest.raises(BadInput, match="is not a file"):
        TailedFile(log)


def test_a_compressed_log_is_seen_by_its_content(log):
    log.write_bytes(gzip.compress(b"one\n"))
    assert TailedFile(log).packed


def names(path):
    return [found.path.name for found in tail.rotated(path)]


def test_rotated_logs_by_number_newest_first(log):
    wanted = ["access.log.1", "access.log.2.gz", "access.log.10.gz"]
    others = ["access.log", "access.log.1.gz.tmp", "access.log.bak", "error.log.1", "access.log2"]
    for name in [*wanted, *others, "xaccess.log.1"]:
        log.with_name(name).write_bytes(b"x\n")
    log.with_name("access.log.3").mkdir()
    assert names(log) == wanted


def test_rotated_logs_by_date_newest_first(log):
    wanted = ["access.log-20260102", "access.log-20260101.gz", "access.log-20251231"]
    for name in wanted:
        log.with_name(name).touch()
    assert names(log) == wanted


def test_rotated_logs_that_keep_their_extension(log):
    wanted = ["access.1.log", "access.2.log.gz"]
    for name in wanted:
        log.with_name(name).touch()
    assert names(log) == wanted


def test_rotated_logs_of_two_kinds_go_by_their_time(log):
    for age, name in enumerate(["access.log.1", "access.log-20260101", "access.log.2"]):
        log.with_name(name).touch()
        os.utime(log.with_name(name), (1000 - age, 1000 - age))
    assert names(log) == ["access.log.1", "access.log-20260101", "access.log.2"]


def test_a_log_that_is_being_compressed_counts_once(log):
    for name in ["access.log.1", "access.log.1.gz", "access.log.2.gz"]:
        log.with_name(name).touch()
    assert names(log) == ["access.log.1", "access.log.2.gz"]


def test_no_directory_no_logs(tmp_path):
    assert tail.rotated(tmp_path / "none" / "access.log") == []
    assert tail.look(tmp_path / "none" / "access.log") is None


class Rotated:
    """Rotated logs, newest first; `known` of them the ledger knows; each was modified at a time."""

    def __init__(self, log, count):
        self.entries = []
        for number in range(1, count + 1):
            path = log.with_name(f"{log.name}.{number}")
            path.write_bytes(b"%d\n" % number)
            os.utime(path, (100 - number, 100 - number))
            self.entries.append(tail.look(path))
        self.examined = []

    def missed(self, *, known=(), held=None, live=False, since=1000.0):
        def knows(tailed):
            tailed.first_look()
            self.examined.append(number := int(tailed.path.suffix[1:]))
            return number in known

        keys = {self.entries[number - 1].key: marked for number, marked in (held or {}).items()}
        logs = tail.missed(self.entries, knows, keys, live, since)
        return [int(tailed.path.suffix[1:]) for tailed in logs]


def test_logs_newer_than_the_newest_known_one_were_missed(log):
    rotated = Rotated(log, 5)
    assert rotated.missed(known={3}) == [3, 2, 1]
    assert rotated.examined == [1, 2, 3, 4]


def test_logs_behind_the_known_one_may_have_grown(log):
    assert Rotated(log, 5).missed(known={2, 3, 4}, since=97.5) == [3, 2, 1]
    assert Rotated(log, 5).missed(known={2, 3, 4}, since=95.5) == [4, 3, 2, 1]


def test_where_the_log_at_the_path_is_known_nothing_was_missed(log):
    rotated = Rotated(log, 5)
    assert rotated.missed(live=True) == []
    assert rotated.examined == [1]
    assert Rotated(log, 5).missed(live=True, known={1}) == [1]


def test_a_log_that_is_held_ends_the_search_unless_it_was_blank(log):
    rotated = Rotated(log, 4)
    assert rotated.missed(held={2: True}, known={3}) == [1]
    assert rotated.examined == [1]
    assert Rotated(log, 4).missed(held={2: False}, known={3}) == [3, 1]


def test_where_none_is_known_any_more_those_written_since_were_missed(log):
    assert Rotated(log, 4).missed(since=97.5) == [2, 1]
    assert Rotated(log, 4).missed(since=1000) == []


def test_a_blank_one_may_still_be_written_to(log):
    rotated = Rotated(log, 4)
    rotated.entries[1].path.write_bytes(b"")
    assert rotated.missed(known={1}) == [2, 1]


def test_what_is_not_wanted_is_closed(log, monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    assert Rotated(log, 9).missed() == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_vanishes_while_it_is_looked_at_is_looked_at_again(log):
    rotated = Rotated(log, 3)
    before = len(os.listdir("/proc/self/fd"))
    (log.parent / "another").touch()
    (log.parent / "another").rename(rotated.entries[1].path)
    with pytest.raises(tail.FileRemoved):
        rotated.missed()
    rotated.entries[1].path.unlink()
    with pytest.raises(tail.FileRemoved):
        rotated.missed()
    assert len(os.listdir("/proc/self/fd")) == before


def test_steady_sees_path_and_rotated_logs(log):
    log.touch()
    live, rotated = tail.steady(log)
    assert isinstance(live, FileEntry)
    assert rotated == []


def test_the_memory_of_when_all_was_read(tmp_path, log):
    home = Home(tmp_path)
    first = tail.Memory(home.followed("weblog1", log))
    assert not first.existed
    first.remember(5_000.0)
    again = tail.Memory(home.followed("weblog1", log))
    assert again.existed
    assert again.since == 4_999.0
    assert not tail.Memory(home.followed("weblog2", log)).existed
