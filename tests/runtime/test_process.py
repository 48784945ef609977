"""A child of ours: small real processes."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from clickstream.errors import ServiceFailed
from clickstream.home import Home
from clickstream.runtime.process import Child, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def child(tmp_path: Path):
    child = Child(Home(tmp_path), "small")
    yield child
    child.stop(timeout_s=1)


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def test_a_started_child_is_remembered_with_its_ports(child: Child, tmp_path: Path) -> None:
    started = child.start(SLEEP, ports={"web": 4711})
    again = Child(Home(tmp_path), "small")
    assert again.running() == started
    assert started.ports == {"web": 4711}
    assert started.memory_mb() > 0


def test_stop_ends_it_and_forgets_it(child: Child) -> None:
    running = child.start(SLEEP)
    assert child.stop() is True
    assert not running.alive()
    assert not child.state.exists()
    assert child.stop() is False


def test_stop_ends_a_grandchild_too(child: Child, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(p.pid))\n"
        "time.sleep(600)"
    )
    child.start(python(code))
    wait_until(lambda: note.exists() and note.read_text() != "", 20, "the grandchild starting")
    grandchild = psutil.Process(int(note.read_text()))
    child.stop()
    wait_until(lambda: gone(grandchild), 10, "the grandchild ending")


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_one_that_ignores_the_polite_signal_is_killed(child: Child) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    running = child.start(python(code))
    child.wait_ready(lambda: "deaf" in child.tail(), 20)
    assert child.stop(timeout_s=0.2) is True
    assert not running.alive()


def test_one_that_dies_while_starting_raises_with_its_last_words(child: Child) -> None:
    child.start(python("import sys; print('no disk left'); sys.exit(3)"))
    with pytest.raises(ServiceFailed, match=r"exit code 3\n  no disk left"):
        child.wait_ready(lambda: False, 60)
    assert child.running() is None


def test_one_that_is_never_ready_raises_and_says_what_was_awaited(child: Child) -> None:
    child.start(SLEEP)
    with pytest.raises(ServiceFailed, match="small becoming ready"):
        child.wait_ready(lambda: False, 0.2)


def test_the_tail_quotes_this_start_only(child: Child) -> None:
    child.start(python("print('first life')"))
    wait_until(lambda: "first life" in child.tail(), 20, "the first life")
    child.stop()
    child.start(python("print('second life')"))
    wait_until(lambda: "second life" in child.tail(), 20, "the second life")
    assert "first life" not in child.tail()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_broken_state_file_is_no_child(child: Child, content: str) -> None:
    child.state.parent.mkdir(parents=True)
    child.state.write_text(content)
    assert child.running() is None
    assert not child.state.exists()


def test_a_pid_that_another_process_has_taken_is_never_signalled(child: Child) -> None:
    stranger = psutil.Popen(SLEEP)
    try:
        running = child.start(SLEEP)
        text = child.state.read_text().replace(str(running.pid), str(stranger.pid))
        text = text.replace(str(running.created), str(running.created - 1000))
        os.kill(running.pid, signal.SIGKILL)
        child.state.write_text(text)
        assert child.stop() is False
        assert stranger.is_running()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_child_lives_in_a_session_of_its_own(child: Child) -> None:
    running = child.start(SLEEP)
    assert os.getsid(running.pid) == running.pid


def test_wait_until_lets_the_check_break_off() -> None:
    def check() -> None:
        raise ServiceFailed("it is over")

    with pytest.raises(ServiceFailed, match="it is over"):
        wait_until(lambda: False, 60, "nothing", check=check)
