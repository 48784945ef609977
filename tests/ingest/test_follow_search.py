"""A link that moves on while nobody follows: nothing is lost, or reported, whatever the naming."""

import gzip
import json
import os

import pytest

from clickstream.cli import main
from clickstream.ingest.follow import record, search
from tests.cases import log, needs_cases
from tests.ingest.test_follow import SERVER, Home

NAMINGS = [
    ("access-2024-05-03.log", "access-2024-05-04.log"),
    ("access.log-20240503", "access.log-20240504"),
    ("access.log.2024-05-03", "access.log.2024-05-04"),
    ("access_2024-05-03.log", "access_2024-05-04.log"),
    ("20240503-access.log", "20240504-access.log"),
    ("access.2024.05.03.log", "access.2024.05.04.log"),
    ("access-03May2024.log", "access-04May2024.log"),
    ("access.log.Fri", "access.log.Sat"),
    ("access.3f9a0c1b.log", "access.77aa01fe.log"),
    ("c0ffee11.log", "c0ffee12.log"),
    ("old/access-2024-05-03.log", "old/access-2024-05-04.log"),
    ("2024/05/03.log", "2024/05/04.log"),
    ("2024-05-03/access.log", "2024-05-04/access.log"),
    ("access.log.a", "other name"),
]


pytestmark = needs_cases


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    made.end()


@pytest.fixture
def lines():
    return log("symlink-rotation").read_bytes().splitlines()


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def link(home, target):
    home.path.unlink(missing_ok=True)
    home.path.symlink_to(target)


def begun(home, lines, old):
    """A follow has read ten lines of a log behind a link, and ended; five more came."""
    write(home.path.parent / old, lines[:10])
    link(home, old)
    home.begin()
    home.settle()
    home.end()
    write(home.path.parent / old, lines[10:15])


def again(home):
    home.messages.clear()
    home.begin()
    home.finish()


@pytest.mark.parametrize(("old", "new"), NAMINGS)
@pytest.mark.parametrize("packed", [False, True])
def test_nothing_is_lost_for_any_naming(home, lines, old, new, packed):
    begun(home, lines, old)
    write(home.path.parent / new, lines[15:])
    link(home, new)
    if packed:
        path = home.path.parent / old
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    again(home)
    home.check(lines)
    assert record.problems(home.settings) == []


def test_a_log_renamed_to_whatever_is_found(home, lines):
    write(home.path, lines[:10])
    home.begin()
    home.settle()
    home.end()
    write(home.path, lines[10:15])
    home.path.rename(home.path.with_name("kept by somebody"))
    write(home.path, lines[15:])
    again(home)
    home.check(lines)
    with_ledger = [log.path for log in home.follower._spooler.ledger.files(SERVER)]
    assert f"file://{home.path.with_name('kept by somebody')}" in with_ledger


def test_logs_to_which_the_link_pointed_meanwhile_are_read(home, lines):
    begun(home, lines, "site1-2024-05-30.log")
    for day, line in (("05-31", 15), ("06-01", 16)):
        write(home.path.parent / f"site1-2024-{day}.log", [lines[line]])
    write(home.path.parent / "site2-2024-05-31.log", [b"of another site"])
    write(home.path.parent / "site1-2024-06-02.log", [lines[17]])
    link(home, "site1-2024-06-02.log")
    again(home)
    home.check(lines)


def test_a_log_that_is_gone_is_reported_until_it_comes_back(home, lines, tmp_path, capfd):
    begun(home, lines, "access-2024-05-03.log")
    old = home.path.parent / "access-2024-05-03.log"
    offset = len(b"\n".join(lines[:10])) + 1
    write(home.path.parent / "access-2024-05-04.log", lines[15:])
    link(home, "access-2024-05-04.log")
    elsewhere = tmp_path / "elsewhere"
    old.rename(elsewhere)
    again(home)
    home.check(lines[:10] + lines[15:])
    reported = f"{old} was read up to byte {offset:,} and is gone"
    assert any(reported in each for each in home.messages)
    home.end()
    words = ["--home", str(home.settings.home), "ingest", "status"]
    assert main(words) == 0
    assert reported in capfd.readouterr().out
    again(home)
    assert reported in record.problems(home.settings)[0]
    home.end()
    elsewhere.rename(old)
    again(home)
    home.check(lines)
    assert record.problems(home.settings) == []


def test_a_log_that_was_put_and_replayed_is_missing_no_more(home, lines, tmp_path):
    write(home.path, lines[:10])
    home.begin()
    home.settle()
    home.end()
    elsewhere = tmp_path / "elsewhere"
    home.path.rename(elsewhere)
    write(home.path, lines[15:])
    again(home)
    assert "is gone" in record.problems(home.settings)[0]
    home.follower._spooler.recognise(SERVER, lambda: elsewhere.open("rb"), "/source/access.log")
    assert record.problems(home.settings) == []


def test_how_much_of_it_was_not_seen(home, lines):
    write(home.path, lines[:10])
    with home.path.open("ab") as file:
        file.write(b"a line without its end")
    home.begin()
    home.settle()
    home.end()
    home.path.unlink()
    again(home)
    assert "at least 22 bytes were not seen" in record.problems(home.settings)[0]


def test_the_last_bytes_of_a_file_are_no_reason_to_take_another_one(home, lines):
    """What begins with the same line is compared whole."""
    begun(home, lines, "one.log")
    write(home.path.parent / "alike.log", [lines[0], b"and then something else"])
    write(home.path.parent / "two.log", lines[15:])
    link(home, "two.log")
    again(home)
    home.check(lines)


def test_a_reading_that_was_killed_goes_on(home, lines):
    write(home.path.parent / "one", lines[:10])
    link(home, "one")
    home.begin()
    home.settle()
    stored = json.loads(home.settings.files.follow_record(SERVER, home.path).read_text())
    write(home.path.parent / "one", lines[10:15])
    write(home.path.parent / "two", lines[15:])
    link(home, "two")
    home.end()
    home.settings.files.follow_record(SERVER, home.path).write_text(json.dumps(stored))
    again(home)
    home.check(lines)


def test_names_between_two_targets_differ_only_where_those_do(tmp_path):
    names = ("a1-05-30", "a1-05-31", "a1-06-01", "a2-05-31", "a1-05-31.gz", "a1-06-02", "a1-x-31")
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (100, 100))
    found = search.between(tmp_path / "a1-05-30", tmp_path / "a1-06-02", 50)
    assert {each.path.name for each in found} == {"a1-05-31", "a1-06-01", "a1-05-31.gz"}
    assert search.between(tmp_path / "a1-05-30", tmp_path / "a1-06-02", 150) == []
    assert search.between(tmp_path / "a1-05-30", tmp_path / "b1-05-30", 50) == []
    assert search.between(tmp_path / "a1", tmp_path / "other" / "a2", 50) == []
