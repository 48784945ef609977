"""Submission as values, events of a driver, and how a job's end is reported: without a JVM."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from zipfile import ZipFile

import pytest

from clickstream import config
from clickstream.batch import job
from clickstream.errors import BadInput, ClickstreamError, NotRunning, ServiceFailed
from clickstream.runtime.process import wait_until
from clickstream.spark import driver, events, submit

JOB = submit.Job(
    "batch", "clickstream.batch.job", {"days": {}}, (Path("/j/a.jar"), Path("/j/b.jar"))
)


@pytest.fixture
def settings(tmp_path):
    flags = {"spark.conf": '{"spark.x": "s3cret", "spark.driver.extraJavaOptions": "-Dy=1"}'}
    return config.load(home=tmp_path / "home", flags=flags)


def test_the_command_line(settings):
    argv = submit.submit_argv(settings, JOB, Path("/t/plan"), Path("/t/p"))
    assert Path(argv[0]).name == "spark-submit"
    assert argv[1:] == [
        *("--master", "local[*]", "--deploy-mode", "client", "--name", "clickstream batch"),
        *("--properties-file", "/t/p", "--load-spark-defaults"),
        *("--jars", "/j/a.jar,/j/b.jar", job.__file__, "/t/plan"),
    ]
    sent = submit.submit_argv(settings, JOB, Path("/t/plan"), Path("/t/p"), Path("/t/code.zip"))
    assert sent == [*argv[:-2], "--py-files", "/t/code.zip", *argv[-2:]]


def test_the_package_is_zipped_to_the_same_bytes_and_python_imports_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (submit.package_zip(tmp_path / name) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert {Path(name).suffix for name in ZipFile(first).namelist()} == {".py", ".sql"}
    code = "from clickstream.batch import job; print(job.__file__); print(job.copies(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(first), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{first}/clickstream/batch/job.py\n{job.copies()}"


def test_what_is_configured_wins_and_java_options_add_up(settings):
    values = submit.conf(settings, JOB._replace(java_options=("-XX:+A",)), Path("/t"))
    assert values["spark.x"] == "s3cret"
    assert values["spark.ui.enabled"] == "false"
    options = values["spark.driver.extraJavaOptions"].split(" ")
    assert "-XX:+A" in options
    assert options[-1] == "-Dy=1"


def test_the_user_chooses_the_garbage_collector(settings):
    job = JOB._replace(java_options=submit.SHORT_JOB)
    asked = {"spark.driver.extraJavaOptions": "-XX:+UseZGC"}
    chosen = settings.spark.model_copy(update={"conf": asked})
    values = submit.conf(settings.model_copy(update={"spark": chosen}), job, Path("/t"))
    options = values["spark.driver.extraJavaOptions"].split(" ")
    assert [each for each in options if each.endswith("GC")] == ["-XX:+UseZGC"]
    assert "-XX:TieredStopAtLevel=1" in options


@pytest.mark.parametrize(
    ("master", "loopback"),
    [
        ("local[*]", True),
        ("spark://127.0.0.1:7077", True),
        ("spark://host:7077", False),
        ("yarn", False),
    ],
)
def test_only_a_master_here_keeps_the_driver_on_loopback(tmp_path, master, loopback):
    settings = config.load(home=tmp_path, flags={"spark.master": master})
    values = submit.conf(settings, JOB, Path("/t"))
    assert (values.get("spark.driver.bindAddress") == "127.0.0.1") == loopback


def test_properties_are_escaped():
    text = submit.properties_text({"b:c": "x=y\\z\n", "a": "é"})
    assert text == "a=\\u00e9\nb\\:c=x\\=y\\\\z\\n\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("a\nCaused by: b: first\n\tat x\nCaused by: c: last\n\tat y", "c: last"),
        (
            "a\n: java.E: Call From me/1.2.3.4 to nn:8020 failed on x\nCaused by: java.E: refused",
            "the call to nn:8020 failed: java.E: refused",
        ),
        ("only line\nsecond", "only line"),
        ("", "ValueError"),
        ("An error occurred while calling o1.x.\n: java.lang.E: told\n\tat y", "java.lang.E: told"),
        ("An error occurred while calling o1.x", "An error occurred while calling o1.x"),
    ],
)
def test_the_reason_is_the_last_cause(error, reason):
    assert events.reason(ValueError(error)) == reason


@pytest.mark.parametrize(
    ("why", "message"),
    [
        (
            "org.apache.hadoop.hdfs.BlockMissingException: Could not obtain block: BP-1:"
            "blk_3_4 file=/m/dt=1/part.2 No live nodes contain current block Dead nodes:",
            "no DataNode gives a block of /m/dt=1/part.2",
        ),
        (
            "org.apache.hadoop.fs.ChecksumException: Checksum error: /m/part.1 at 0 exp: 1 got: 2",
            "a block of /m/part.1 is damaged",
        ),
        (
            "[PATH_NOT_FOUND] Path does not exist: hdfs://h:1/m/part.9. SQLSTATE: 42K03",
            "hdfs://h:1/m/part.9 is gone, which was there when the files were listed",
        ),
        (
            "java.io.FileNotFoundException: File does not exist: /m/part.9",
            "/m/part.9 is gone, which was there when the files were listed",
        ),
        (
            "java.io.IOException: No space left on device",
            "java.io.IOException: No space left on device",
        ),
    ],
)
def test_a_known_reason_says_what_it_means_and_what_to_do(why, message):
    told, hint = events.meant(why)
    assert told == message
    assert hint


def test_an_unknown_reason_stands_as_it_is():
    assert events.meant("java.lang.E: no {}") == ("java.lang.E: no {}", "")


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_the_outcome_of_work_is_an_event(capsys):
    def refuse():
        raise BadInput("no such line", "look") from ValueError("cause")

    refused = events.outcome(refuse)
    assert refused == {"failed": "no such line", "hint": "look", "cause": "cause"}
    assert events.outcome(lambda: {"n": 1}) == {"done": {"n": 1}}
    assert events.outcome(lambda: None) == {"done": {}}
    assert "Traceback" not in capsys.readouterr().err

    def lose():
        raise ConnectionRefusedError

    assert events.outcome(lose)["failed"] == "Spark's JVM has exited"
    assert "ConnectionRefusedError" in capsys.readouterr().err


def test_a_main_computes_its_plan_reports_and_ends_the_process(settings, tmp_path):
    """With a session of nothing in the place of Spark's."""
    plan, reported = tmp_path / "plan", tmp_path / "events"
    plan.write_text('{"n": 7}')
    for body, code, end in (
        ("return {'n': plan['n'], 'home': str(settings.home)}", 0, {"done": {"n": 7}}),
        ("raise ValueError('no')", 1, {"failed": "no"}),
        ("sys.exit(3)", 1, None),
    ):
        reported.unlink(missing_ok=True)
        text = (
            "import sys, threading\nfrom types import SimpleNamespace\nimport pyspark.sql\n"
            "from clickstream.spark import driver\n"
            "builder = SimpleNamespace(getOrCreate=lambda: None)\n"
            "pyspark.sql.SparkSession = SimpleNamespace(builder=builder)\n"
            "threading.Thread(target=threading.Event().wait).start()  # it must not keep us\n"
            f"def compute(session, settings, plan):\n    {body}\n"
            "driver.job_main(compute)"
        )
        done = subprocess.run(
            [sys.executable, "-c", text, str(plan)],
            env=settings.child_env() | {events.VARIABLE: str(reported)},
            timeout=30,
            check=False,
        )
        assert done.returncode == code
        first, *rest = events.read(reported)
        assert first == {"stage": "starting Spark"}
        if end is None:
            assert rest == []
        elif "done" in end:
            assert rest == [{"done": end["done"] | {"home": str(settings.home)}}]
        else:
            assert rest == [end | {"hint": "", "cause": ""}]


class Tracker(NamedTuple):
    """Spark's status tracker, of stages that run: number -> (tasks, of them completed)."""

    stages: dict[int, tuple[int, int]]

    def getActiveStageIds(self):
        return [7, *self.stages]

    def getStageInfo(self, number):
        if number not in self.stages:  # it ended between the two questions
            return None
        tasks, completed = self.stages[number]
        return SimpleNamespace(stageId=number, numTasks=tasks, numCompletedTasks=completed)


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ({}, ""),
        ({3: (12, 5)}, "Spark stage 3, 5 of 12 tasks"),
        ({4: (2, 1), 3: (12, 5)}, "Spark stage 3, 4, 6 of 14 tasks"),
    ],
)
def test_how_far_spark_is(stages, text):
    assert driver.tasks(Tracker(stages)) == text


def test_a_stage_reports_its_tasks_as_long_as_it_lasts(notes, monkeypatch):
    monkeypatch.setattr(driver, "REPORT_SECONDS", 0.01)
    at_work: dict[int, tuple[int, int]] = {}
    context = SimpleNamespace(statusTracker=lambda: Tracker(at_work))
    with driver.stage(SimpleNamespace(sparkContext=context), "counting"):
        for completed in (0, 1):
            at_work[0] = (2, completed)
            wait_until(lambda count=2 + completed: len(events.read(notes)) == count, 5, "it")
    assert events.read(notes) == [
        {"stage": "counting"},
        {"stage": "counting: Spark stage 0, 0 of 2 tasks"},
        {"stage": "counting: Spark stage 0, 1 of 2 tasks"},
    ]


def test_a_lost_jvm_is_left_to_the_stage_itself(notes, monkeypatch):
    def lost():
        raise ConnectionRefusedError

    monkeypatch.setattr(driver, "REPORT_SECONDS", 0)
    context = SimpleNamespace(statusTracker=lost)
    with (
        pytest.raises(ZeroDivisionError),
        driver.stage(SimpleNamespace(sparkContext=context), "counting"),
    ):
        raise ZeroDivisionError


@pytest.mark.parametrize("master", ["127.0.0.1:1", "nohost.invalid:7077", "127.0.0.1:x", ""])
def test_a_master_that_does_not_answer_is_reported_at_once(tmp_path, master):
    settings = config.load(home=tmp_path, flags={"spark.master": f"spark://{master}"})
    with pytest.raises(NotRunning, match="does not answer"):
        submit.launch(settings, JOB)


def test_a_full_disk_comes_with_what_to_do():
    def fill():
        raise RuntimeError("aborted\nCaused by: java.io.IOException: No space left on device")

    failed = events.outcome(fill)
    assert failed["failed"] == "java.io.IOException: No space left on device"
    assert "spark.local.dir" in failed["hint"]


def test_an_event_that_is_being_written_is_left_out(tmp_path):
    path = tmp_path / "notes"
    path.write_text('{"stage": "a"}\n{"sta')
    assert events.read(path) == [{"stage": "a"}]
    assert events.read(tmp_path / "none") == []


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Makes `submit` run a Python program in the place of spark-submit."""

    def use(text):
        script = tmp_path / "driver.py"
        script.write_text(f"from clickstream.spark import events\n{text}")
        argv = [sys.executable, str(script)]
        monkeypatch.setattr(submit, "submit_argv", lambda *_: argv)
        monkeypatch.setattr(submit, "java_home_env", lambda env: dict(env) | {"JAVA_HOME": "/j"})

    return use


def test_submit_hears_stages_and_returns_what_was_done(settings, program):
    program("events.report(stage='one')\nevents.report(done={'n': 1})")
    heard = []
    assert submit.submit(settings, JOB, heard.append) == {"n": 1}
    assert heard == ["one"]
    assert not settings.files.scratch("batch").exists()


def test_secrets_stand_in_a_private_file_only(settings, program):
    program("import time; time.sleep(30)")
    child = submit.launch(settings, JOB)
    try:
        (file,) = settings.files.scratch("batch").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "s3cret" in file.read_text()
        with pytest.raises(ClickstreamError, match="already running"):
            submit.launch(settings, JOB)
    finally:
        child.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events.report(failed='so it is', hint='do')", "so it is"),
        ("print('x\\njava.lang.OutOfMemoryError: Java heap space\\nat y')", "OutOfMemoryError"),
        ("raise SystemExit('last words')", "last words"),
        ("", "without output"),
    ],
)
def test_a_failed_job_names_its_reason_and_its_log(settings, program, text, message):
    program(text)
    with pytest.raises(ServiceFailed, match=message) as failure:
        submit.submit(settings, JOB)
    assert str(settings.files.log("batch")) in failure.value.hint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_job(settings, program, number):
    program("import time; events.report(stage='up'); time.sleep(60)")
    before = signal.getsignal(signal.SIGTERM)

    def interrupt(_stage):
        threading.Timer(0, os.kill, (os.getpid(), number)).start()
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        submit.submit(settings, JOB, interrupt)
    assert not settings.files.state("batch").exists()
    assert signal.getsignal(signal.SIGTERM) == before
