"""Spark jobs: how they are submitted, and what a driver tells the command that waits for it.

A job's script runs on this very Python as the driver of `spark-submit` in client mode. It loads
the settings from its environment and tells its progress, and why it failed, in notes: a file of
JSON lines, because the JVM may lose the last lines that its Python child printed.

To a cluster goes a zip of this package, made at submission; the driver, too, imports that.
"""

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import urlsplit
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from clickstream.cache import cache_dir
from clickstream.endpoints import LOOPBACK, port_open
from clickstream.errors import ClickstreamError, NotRunning, ServiceFailed
from clickstream.java import java_home_env, spark_home
from clickstream.process import Child

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from clickstream.config import Settings

NOTES = "CLICKSTREAM_NOTES"
MASTER_PORT = 7077
POLL_SECONDS = 0.1
TELL_SECONDS = 0.5
DISK_FULL = "No space left on device"
ROOM = 'make room in the home, or give Spark another disk: spark.conf."spark.local.dir"'
JAVA_OPTIONS = ("-XX:-UsePerfData",)
# Half the CPU of a short job's run goes into C2's compilations, which never pay back.
SHORT_JOB = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
SHORT_BYTES = 100 * 2**20
"""What a short job reads at most."""
PACKAGE = Path(__file__).parent
WARM_UP = PACKAGE / "warmup.py"
_CALLED = re.compile(r"Call From \S+ to (\S+) failed")
_COMPLAINT = re.compile(r"(?:Exception|Error)\b.*:|^Error:|Killed")


class Job(NamedTuple):
    """What is submitted. `name` is that of its child process, its log and its notes."""

    name: str
    script: Path
    args: tuple[str, ...] = ()
    jars: tuple[Path, ...] = ()
    java_options: tuple[str, ...] = ()


def planned(
    settings: "Settings",
    name: str,
    script: Path,
    plan: Mapping[str, Any],
    size: int,
    jars: tuple[Path, ...] = (),
) -> Job:
    """A job that reads `size` bytes; its argument is the file in which its plan lies as JSON."""
    file = settings.files.plan(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(plan))
    return Job(name, script, (str(file),), jars, SHORT_JOB if size < SHORT_BYTES else ())


def submit_argv(
    settings: "Settings", job: Job, properties: Path, code: Path | None = None
) -> list[str]:
    """The command line. Secrets are in the properties file; `code` is our package."""
    argv = [str(spark_home() / "bin" / "spark-submit"), "--master", settings.spark.master]
    argv += ["--deploy-mode", "client", "--name", f"clickstream {job.name}"]
    argv += ["--properties-file", str(properties), "--load-spark-defaults"]
    if job.jars:
        argv += ["--jars", ",".join(str(jar) for jar in job.jars)]
    if code:
        argv += ["--py-files", str(code)]
    return [*argv, str(job.script), *job.args]


def package_zip(directory: Path) -> Path:
    """Zip the sources of this package into a directory: the same sources, the same bytes."""
    place = directory / f"{PACKAGE.name}.zip"
    with ZipFile(place, "w") as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            entry = ZipInfo(file.relative_to(PACKAGE.parent).as_posix())
            archive.writestr(entry, file.read_bytes(), ZIP_DEFLATED)
    return place


def conf(settings: "Settings", job: Job, scratch: Path) -> dict[str, str]:
    """Spark's configuration for a job; what the settings give wins, Java options add up."""
    given = settings.spark.conf
    ours = {
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": f"file:{scratch}/warehouse",
        "spark.local.dir": str(scratch),
        "spark.hadoop.ipc.client.connect.max.retries": "3",
        "spark.hadoop.ipc.client.connect.retry.interval": "1000",
    }
    if on_loopback(settings.spark.master):
        ours |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    asked = given.get(key := "spark.driver.extraJavaOptions", "")  # two collectors: no JVM starts
    own = [each for each in job.java_options if "GC" not in each or "GC" not in asked]
    options = [*JAVA_OPTIONS, *own, f'"-Djava.io.tmpdir={scratch}"', *_archive_use(), asked]
    return ours | given | {key: " ".join(filter(None, options))}


def is_local(master: str) -> bool:
    """Whether the master is in the driver's own process."""
    return master.startswith("local")


def on_loopback(master: str) -> bool:
    """Whether the master is in the driver's own process or on this machine's loopback."""
    return is_local(master) or urlsplit(master).hostname in (LOOPBACK, "localhost")


def properties_text(values: dict[str, str]) -> str:
    """A Java properties file of these values."""
    return "".join(f"{_escaped(key)}={_escaped(values[key])}\n" for key in sorted(values))


def launch(settings: "Settings", job: Job) -> Child:
    """Start a job in a session of its own and leave it; refused while one of its name runs.

    Raises NotRunning where a standalone master does not answer: Spark would try for a minute.
    """
    child = Child(settings.files, job.name)
    running = child.running()
    if running:
        raise ClickstreamError(f"{job.name} is at work already (pid {running.pid})")
    _check_master(settings.spark.master)
    scratch = _fresh(settings.files.scratch(job.name))
    properties = scratch / "spark.properties"
    properties.touch(mode=0o600)
    properties.write_text(properties_text(conf(settings, job, scratch)))
    notes = notes_file(settings, job.name)
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text("")
    code = None if is_local(settings.spark.master) else package_zip(scratch)
    argv = submit_argv(settings, job, properties, code)
    child.start(argv, env=_environment(settings, notes), cwd=scratch)
    return child


def _check_master(master: str) -> None:
    scheme, _, named = master.partition("://")
    if scheme == "spark" and not any(map(_answers, named.split(","))):
        raise NotRunning(f"Spark's master {master} does not answer", "is spark.master right?")


def _answers(address: str) -> bool:
    try:
        place = urlsplit(f"//{address}")
        return port_open(place.port or MASTER_PORT, place.hostname or "")
    except (OSError, ValueError):  # no such host; no such port
        return False


def submit(
    settings: "Settings", job: Job, watch: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Run a job to its end; returns what it told when done. `watch` hears each stage.

    Raises ServiceFailed with the job's own reason. Ctrl-C and SIGTERM end the job, too.
    """
    notes = notes_file(settings, job.name)
    with _signals_interrupt():
        child = launch(settings, job)
        try:
            _follow(child, notes, watch)
        finally:
            child.stop()
            shutil.rmtree(settings.files.scratch(job.name), ignore_errors=True)
    return _outcome(child, read_notes(notes))


def notes_file(settings: "Settings", name: str) -> Path:
    """Where a job's notes stand."""
    return settings.files.driver_events(name)


def read_notes(path: Path) -> list[dict[str, Any]]:
    """What a driver has told so far, in order; a line that is being written is left out."""
    try:
        lines = path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def note(**fields: Any) -> None:
    """In a driver: tell something. `stage` is shown while the job runs."""
    path = os.environ.get(NOTES)
    if path:
        with Path(path).open("a") as notes:
            notes.write(json.dumps(fields) + "\n")


def drive(main: Callable[[], dict[str, Any] | None]) -> NoReturn:
    """In a driver: run the job's main; what it returns, or why it failed, is noted."""
    _prefer_installed_pyspark()
    try:
        note(done=main() or {})
    except ClickstreamError as error:
        note(failed=error.message, hint=error.hint, cause=str(error.__cause__ or ""))
        sys.exit(1)
    except Exception as error:
        why = reason(error)
        note(failed=why, hint=ROOM if DISK_FULL in why else "")
        raise
    sys.exit(0)


@contextmanager
def stage(session: "SparkSession", name: str) -> Iterator[None]:
    """In a driver: tell the stage, and while the block runs how far Spark is with its tasks."""
    note(stage=name)
    over = threading.Event()
    teller = threading.Thread(target=_tell_tasks, args=(session, name, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell_tasks(session: "SparkSession", name: str, over: threading.Event) -> None:
    from py4j.protocol import Py4JError

    told = ""
    with suppress(Py4JError, OSError):  # the JVM is gone: the block itself will say so
        tracker = session.sparkContext.statusTracker()
        while not over.wait(TELL_SECONDS):
            at_work = tasks(tracker)
            if at_work not in ("", told):
                told = at_work
                note(stage=f"{name}: {told}")


def tasks(tracker: Any) -> str:
    """Spark's stages at work and their tasks, as its status tracker knows them; "" for none."""
    found = [tracker.getStageInfo(number) for number in sorted(tracker.getActiveStageIds())]
    known = [info for info in found if info is not None]
    if not known:
        return ""
    numbers = ", ".join(str(info.stageId) for info in known)
    done = sum(info.numCompletedTasks for info in known)
    return f"Spark stage {numbers}, {done} of {sum(info.numTasks for info in known)} tasks"


def session() -> "SparkSession":
    """In a driver: the session, as `submit` configured it."""
    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def reason(error: BaseException) -> str:
    """The one line of a Java or Python exception that says most: its last cause.

    Where Hadoop called somebody, its address: the cause alone is "Connection refused".
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    found = causes[-1].removeprefix("Caused by: ") if causes else _first(lines)
    called = _CALLED.search(str(error)) if causes else None
    place = f"the call to {called[1]} failed: " if called else ""
    return f"{place}{found}" if found else type(error).__name__


def _first(lines: list[str]) -> str:
    """The first line, or where py4j only names the call that failed, the exception after it."""
    told = [line for line in lines if not line.startswith("An error occurred while calling")]
    return (told or lines or [""])[0].removeprefix(": ")


def class_archive() -> Path:
    """Where this Java's preloaded classes of Spark lie, once `prepare` has made them."""
    from importlib.metadata import version

    home = java_home_env({})["JAVA_HOME"]
    return cache_dir() / f"spark-{version('pyspark')}-{home.strip('/').replace('/', '-')}.jsa"


def prepare(settings: "Settings") -> None:
    """Make the class archive with a small job, once per Java; it halves the start of every job.

    Jobs run without it, so a failure here is left in the log.
    """
    archive = class_archive()
    draft = archive.with_suffix(f".{os.getpid()}")
    options = (*SHORT_JOB, f'"-XX:ArchiveClassesAtExit={draft}"', "-Xlog:cds*=off")
    here = settings.spark.model_copy(update={"master": "local[*]"})  # whatever cluster there is
    if archive.exists():
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    with suppress(ClickstreamError):
        job = Job("spark-prepare", WARM_UP, java_options=options)
        submit(settings.model_copy(update={"spark": here}), job)
    if draft.exists():  # A Java without an archive of its own cannot make one: no harm.
        draft.rename(archive)


def _archive_use() -> list[str]:
    archive = class_archive()
    return [f'"-XX:SharedArchiveFile={archive}"', "-Xlog:cds=off"] if archive.exists() else []


def _environment(settings: "Settings", notes: Path) -> dict[str, str]:
    env = java_home_env(settings.child_env()) | {
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONSAFEPATH": "1",
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData",
        NOTES: str(notes),
    }
    if on_loopback(settings.spark.master):
        env["SPARK_LOCAL_IP"] = LOOPBACK
    if settings.hdfs.user:
        env["HADOOP_USER_NAME"] = settings.hdfs.user
    return env


def _follow(child: Child, notes: Path, watch: Callable[[str], None]) -> None:
    told, running = 0, True
    while running:
        running = child.running() is not None
        fresh = read_notes(notes)[told:]
        told += len(fresh)
        for each in fresh:
            if "stage" in each:
                watch(each["stage"])
        time.sleep(POLL_SECONDS)


def _outcome(child: Child, notes: list[dict[str, Any]]) -> dict[str, Any]:
    last = notes[-1] if notes else {}
    if "done" in last:
        done: dict[str, Any] = last["done"]
        return done
    log = f"log: {child.log}"
    if "failed" not in last:
        raise ServiceFailed(f"{child.name} ended early: {_complaint(child.tail())}", log)
    failure = ServiceFailed(last["failed"], "; ".join(filter(None, [last.get("hint"), log])))
    if last.get("cause"):
        raise failure from ServiceFailed(last["cause"])
    raise failure


def _complaint(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return (complaints or lines[-1:] or ["it said nothing"])[0]


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP are as Ctrl-C: the job must not outlive the command."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    return directory


def _prefer_installed_pyspark() -> None:
    """Spark puts a zip of pyspark in front, which has no compiled files: 1 s of the start."""
    sys.path[:] = [place for place in sys.path if not place.endswith("/pyspark.zip")]


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n").replace("=", "\\=").replace(":", "\\:")
    return "".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in plain)
