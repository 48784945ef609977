"""The batch job killed, or out of disk: one clear line, and the old rows stand."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from clickstream import config
from clickstream.batch import run as batch
from clickstream.batch.run import Choice
from tests.stack.test_batch_layer import (  # noqa: F401 (fixtures)
    DAYS,
    LINES,
    expected,
    figures,
    master,
    master_files,
    put,
    views,
)

RUN = [sys.executable, "-m", "clickstream.cli", "batch", "run", "--all"]
LATE = b'9.9.9.9 - - [19/May/2015:02:00:00 +0000] "GET /late HTTP/1.1" 200 1\n'
LATE_PATH = "dt=2015-05-19/server=weblog1/part.2"


def late_line() -> bytes:
    (content,) = master_files({"weblog1": LATE}, "f" * 16).values()
    return content


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Error:")]


def test_a_driver_killed_between_two_days_leaves_whole_days(master, views):  # noqa: F811
    killed = subprocess.run(
        RUN,
        env=master.child_env() | {"CLICKSTREAM_FAULT": "batch-committed:2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (killed.returncode, len(errors(killed.stderr))) == (1, 1), killed.stderr
    assert str(master.path("logs", "batch.log")) in killed.stderr
    assert views.days() == DAYS[:2]
    assert [row["date"] for row in batch.run(master)] == DAYS[2:]
    assert figures(views) == expected(LINES)


def test_a_jvm_killed_while_it_counts_is_told_and_the_rows_stand(master, views):  # noqa: F811
    batch.run(master)
    before = figures(views)
    put(master, LATE_PATH, late_line())
    command = subprocess.Popen(RUN, env=master.child_env(), stderr=subprocess.PIPE, text=True)
    told = iter(command.stderr)
    next(line for line in told if line.startswith("counting"))
    state = json.loads(master.path("run", "batch.json").read_text())
    os.killpg(state["pid"], signal.SIGKILL)
    rest = "".join(told)
    assert (command.wait(60), len(errors(rest))) == (1, 1), rest
    assert str(master.path("logs", "batch.log")) in rest
    assert figures(views) == before
    assert [row["date"] for row in batch.run(master)] == ["2015-05-19"]


def test_a_scratch_that_is_full_is_told_and_the_rows_stand(master, views, tmp_path):  # noqa: F811
    batch.run(master, Choice(only="2015-05-18"))
    before = figures(views)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "x", scratch], check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk of his own")
    full = f"mount -t tmpfs -o size=4k x {scratch} && {shlex.join(RUN)}"
    own = {"spark.conf": json.dumps({"spark.local.dir": str(scratch)})}
    small = config.load(master.origin.file, master.home, master.origin.flags | own)
    done = subprocess.run(
        [*alone, "sh", "-c", full],
        env=small.child_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    told = errors(done.stderr)
    assert (done.returncode, len(told)) == (1, 1), done.stderr
    assert "No space left on device" in told[0]
    assert figures(views) == before
