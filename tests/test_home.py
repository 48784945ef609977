"""The home: what it may hold, its locks, and files that are written whole or not at all."""

import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clickstream import config
from clickstream.errors import ClickstreamError, UsageError
from clickstream.home import Home, exclusive, set_aside, staged, write_atomic

HOLD = """
import sys
from pathlib import Path
from clickstream.home import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / "some.lock"


@pytest.fixture
def holder(lock):
    """Another process that holds the lock."""
    argv = [sys.executable, "-c", HOLD, lock]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_is_refused_and_names_its_holder(lock, holder):
    with pytest.raises(ClickstreamError) as refused, exclusive(lock, "it is busy", "wait for it"):
        pass
    assert refused.value.message == f"it is busy (pid {holder.pid})"
    assert refused.value.hint == "wait for it"


def test_the_lock_of_a_killed_process_is_free(lock, holder):
    holder.kill()
    holder.wait()
    with exclusive(lock, "it is busy"):
        assert lock.read_text() == str(os.getpid())


def test_a_released_lock_names_nobody(lock):
    with pytest.raises(ZeroDivisionError), exclusive(lock, "it is busy"):
        raise ZeroDivisionError
    assert lock.read_text() == ""
    with exclusive(lock, "it is busy"):
        pass


def test_without_a_refusal_a_lock_is_waited_for(lock, holder):
    taken = threading.Event()

    def take():
        with exclusive(lock):
            taken.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not taken.wait(0.2)
    holder.stdin.close()
    assert taken.wait(10)
    waiting.join()


@pytest.mark.parametrize("content", ["new\n", b"new\n"])
def test_a_file_is_replaced_as_a_whole(tmp_path, content):
    path = tmp_path / "deep" / "file"
    write_atomic(path, "old and long\n")
    write_atomic(path, content)
    assert path.read_text() == "new\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\udcff")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "made" / "password"
    write_atomic(path, "first", private=True)
    write_atomic(path, "second", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


# Claiming and emptying

BEFORE = [
    *("clickstream.toml", "ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal"),
    *("ledger.db.new", "ledger.db.old-20260101T000000", "ports.json", "ports.json.0a1b2c3d.tmp"),
    *("run", "logs", "tmp", "spool", "agents", "follow", "speed"),
    *("spooler.lock", "spooler-weblog1.lock"),
]


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def names(home):
    return {path.name for path in home.root.iterdir()}


def test_a_home_is_made_private_and_marked(home):
    assert not home.is_ours
    home.claim()
    assert home.is_ours
    assert names(home) == {home.marker.name}
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_what_commands_leave_before_the_first_start_is_no_hindrance(home):
    home.root.mkdir()
    for name in BEFORE:
        (home.root / name).touch()
    home.claim()
    assert home.is_ours


@pytest.mark.parametrize(
    "name",
    [
        *("thesis.tex", ".git", "data", "my-ledger.db", "spooler.locks", "runs", "LOGS"),
        *("kafka", "hdfs", "cassandra", "mariadb", "logs-made"),  # only a claimed home has these
    ],
)
def test_a_folder_with_foreign_files_is_never_claimed(home, name):
    home.root.mkdir()
    (home.root / "logs").mkdir()
    (home.root / name).write_text("years of work")
    with pytest.raises(UsageError, match=f"it holds {re.escape(name)}$") as refused:
        home.claim()
    assert "name an empty folder" in refused.value.hint
    assert not home.is_ours
    with pytest.raises(ClickstreamError, match="nothing was removed"):
        home.empty()
    assert names(home) == {"logs", name}


def test_a_claimed_home_may_hold_anything(home):
    home.claim()
    (home.root / "notes.txt").touch()
    home.claim()


def test_a_file_that_the_configuration_names_may_lie_in_the_home(home, tmp_path):
    for name in ("alerts.jsonl", "out/alerts.jsonl"):
        file = home.configured(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(UsageError, match=r"alerts\.jsonl, out$"):
        home.claim(home.configured(""), home.configured("/var/log/alerts.jsonl"))
    home.claim(home.configured("out/alerts.jsonl"), home.root / "alerts.jsonl")
    assert home.is_ours


def test_emptying_a_home_keeps_its_configuration(home):
    home.claim()
    home.configuration.touch()
    home.ledger.touch()
    home.spool("weblog1").mkdir(parents=True)
    home.empty()
    assert names(home) == {home.configuration.name, home.marker.name}


def test_a_home_that_never_was_is_empty(home):
    home.empty()
    assert not home.root.exists()


def test_emptying_never_follows_a_link_out_of_the_home(home, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    home.claim()
    home.spool("weblog1").parent.symlink_to(outside)
    home.empty()
    assert (outside / "kept").exists()
    assert not home.root.exists()


# Names


CLAIMED_ONLY = ("service", "password", "security", "demo_logs", "demo_live_log")
LOGS = [("weblog1", Path("/a")), ("weblog1", Path("/b")), ("weblog2", Path("/a"))]
ARGUMENTS = {"followed": LOGS, "follow_record": LOGS}


def places(home):
    """Each file of a home by what it is: the properties, and the methods for two names each."""
    found = {}
    for name, kind in vars(Home).items():
        if isinstance(kind, property):
            found[name] = getattr(home, name)
        elif callable(kind) and kind.__annotations__.get("return") is Path:
            for arguments in ARGUMENTS.get(name, [("one",), ("two",)]):
                found[name, *arguments] = kind(home, *arguments)
    paths = {name: path for name, path in found.items() if isinstance(path, Path)}
    spools = [path for name, path in paths.items() if "spool" in name]
    return paths | {(of, path): of(path) for of in (staged, set_aside) for path in spools}


def test_no_two_things_have_one_place(home):
    found = places(home)
    del found["service", "one"], found["service", "two"]  # any name would do
    assert len(found) > 40
    assert len(set(found.values())) == len(found)
    assert all(path.is_relative_to(home.root) and path != home.root for path in found.values())
    assert not home.root.exists()


def test_a_home_with_every_file_but_those_of_the_stack_is_claimed(home):
    for name, path in places(home).items():
        if name != "marker" and not {name, name[0]} & {*CLAIMED_ONLY, "configured"}:
            path.mkdir(parents=True, exist_ok=True)
    home.claim()
    assert home.is_ours


def test_children_are_known_by_their_state_files(home):
    for name in ("speed-rebuild", "agent1"):
        write_atomic(home.state(name), "{}")
    home.plan("batch").touch()
    assert home.children() == ["agent1", "speed-rebuild"]


def test_the_settings_name_the_files_of_their_home(tmp_path):
    settings = config.load(home=tmp_path / "home")
    assert settings.files == Home(tmp_path / "home")
