"""The batch job killed, out of disk, or before a block that is damaged: one clear line, and the
old rows stand.
"""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from clickstream import config
from clickstream.batch import run as batch
from clickstream.runtime.process import wait_until
from clickstream.spark import events
from tests.stack.test_batch_layer import (  # noqa: F401 (fixtures)
    DAYS,
    LATE,
    LATE_PATH,
    LINES,
    computed,
    expected,
    figures,
    master,
    master_files,
    put,
    states,
    views,
)

RUN = [sys.executable, "-m", "clickstream.cli", "batch", "run", "--all"]


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
    assert str(master.files.log("batch")) in killed.stderr
    assert views.days() == DAYS[:2]
    assert [row["date"] for row in batch.run(master)] == DAYS[2:]
    assert figures(views) == expected(LINES)


@pytest.mark.campaign("a second moment of a killed driver")
def test_a_jvm_killed_while_it_counts_is_reported_and_the_rows_stand(master, views, computed):  # noqa: F811
    put(master, LATE_PATH, late_line())
    reported = master.files.driver_events("batch")
    command = subprocess.Popen(RUN, env=master.child_env(), stderr=subprocess.PIPE, text=True)

    def counts() -> bool:
        return any(each.get("stage", "").startswith("counting") for each in events.read(reported))

    wait_until(counts, 120, "the count")
    state = json.loads(master.files.state("batch").read_text())
    os.killpg(state["pid"], signal.SIGKILL)
    printed = command.communicate(timeout=60)[1]
    assert (command.returncode, len(errors(printed))) == (1, 1), printed
    assert str(master.files.log("batch")) in printed
    assert figures(views) == computed
    assert states(master) == dict.fromkeys(DAYS, "fresh") | {"2015-05-19": "dirty"}


@pytest.mark.campaign("a full disk")
def test_a_scratch_that_is_full_is_reported_and_the_rows_stand(master, views, computed, tmp_path):  # noqa: F811
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
    lines = errors(done.stderr)
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert "No space left on device" in lines[0]
    assert figures(views) == computed


def test_a_damaged_block_is_reported_and_the_rows_stand(settings, master, run, views, computed):  # noqa: F811
    content = late_line().replace(b"/late", b"/only-here")
    put(master, LATE_PATH, content)
    data = settings.files.service("hdfs") / "data"
    blocks = [path for path in data.rglob("blk_*") if not path.suffix]
    (block,) = [path for path in blocks if path.read_bytes() == content]
    block.write_bytes(content.replace(b"9.9.9.9", b"9.9.9.8"))
    lines = errors(run("batch", "run", code=1).stderr)
    assert len(lines) == 1
    assert f"{master.hdfs.master}/{LATE_PATH}" in lines[0]
    assert figures(views) == computed
    assert states(master) == dict.fromkeys(DAYS, "fresh") | {"2015-05-19": "dirty"}
