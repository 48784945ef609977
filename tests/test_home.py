"""The home: its locks, and files that are written whole or not at all."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from clickstream.errors import ClickstreamError
from clickstream.home import exclusive, write_atomic

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
