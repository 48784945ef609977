"""How a job is submitted: `spark-submit` in client mode, as a child that outlives its command.

To a cluster goes a zip of this package, made at submission; the driver, too, imports that.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from clickstream.clients import kerberos as login
from clickstream.clients.endpoints import LOOPBACK, port_open
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.home import write_atomic
from clickstream.runtime.java import java_home_env, spark_home
from clickstream.runtime.process import Child, signals_interrupt
from clickstream.spark import class_archive, events, kerberos

if TYPE_CHECKING:
    from clickstream.config import Settings

MASTER_PORT = 7077
POLL_SECONDS = 0.1
JAVA_OPTIONS = ("-XX:-UsePerfData",)
# Half the CPU of a short job's run goes into C2's compilations, which never pay back.
SHORT_JOB = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
SHORT_BYTES = 100 * 2**20
"""The most that a short job reads."""
PACKAGE = Path(__file__).parent.parent
WARM_UP = "clickstream.spark.warm_up"

Watch = Callable[[str], None]


class Job(NamedTuple):
    """A job to submit. `name` is that of its child process, its log, plan and events.

    `module` has `compute` (see `driver`), whose plan is `plan`; `jars` are beside pyspark's own.
    """

    name: str
    module: str
    plan: Mapping[str, Any]
    jars: tuple[Path, ...] = ()
    java_options: tuple[str, ...] = ()


def options_for(size: int) -> tuple[str, ...]:
    """The Java options of a job that reads so many bytes."""
    return SHORT_JOB if size < SHORT_BYTES else ()


def script(module: str) -> Path:
    """The file of a module, which is not imported."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ClickstreamError(f"there is no module {module}", "install clickstream again")
    return Path(spec.origin)


def submit_argv(
    settings: "Settings", job: Job, plan: Path, properties: Path, code: Path | None = None
) -> list[str]:
    """The command line. Secrets are in the properties file; `code` is our package."""
    argv = [str(spark_home() / "bin" / "spark-submit"), "--master", settings.spark.master]
    argv += ["--deploy-mode", "client", "--name", f"clickstream {job.name}"]
    argv += ["--properties-file", str(properties), "--load-spark-defaults"]
    if job.jars:
        argv += ["--jars", ",".join(str(jar) for jar in job.jars)]
    if code:
        argv += ["--py-files", str(code)]
    return [*argv, str(script(job.module)), str(plan)]


def package_zip(directory: Path) -> Path:
    """Zip this package's Python and SQL into a directory: the same sources, the same bytes."""
    path = directory / f"{PACKAGE.name}.zip"
    with ZipFile(path, "w") as archive:
        for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]):
            entry = ZipInfo(file.relative_to(PACKAGE.parent).as_posix())
            archive.writestr(entry, file.read_bytes(), ZIP_DEFLATED)
    return path


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
    configured = given.get(
        key := "spark.driver.extraJavaOptions", ""
    )  # two collectors: no JVM starts
    own = [each for each in job.java_options if "GC" not in each or "GC" not in configured]
    options = [*JAVA_OPTIONS, *own, f'"-Djava.io.tmpdir={scratch}"']
    options += [*kerberos.java_options(settings), *class_archive.options_to_use(), configured]
    told = kerberos.conf(settings)
    both = {name for name in told.keys() & given.keys() if name.endswith(".extraJavaOptions")}
    joined = {name: f"{told[name]} {given[name]}" for name in both}
    return ours | told | given | joined | {key: " ".join(filter(None, options))}


def is_local(master: str) -> bool:
    """True where the master is in the driver's own process."""
    return master.startswith("local")


def on_loopback(master: str) -> bool:
    """True where the master is in the driver's own process or on this machine's loopback."""
    return is_local(master) or urlsplit(master).hostname in (LOOPBACK, "localhost")


def properties_text(values: dict[str, str]) -> str:
    """A Java properties file of these values."""
    return "".join(f"{_escaped(key)}={_escaped(values[key])}\n" for key in sorted(values))


def launch(settings: "Settings", job: Job) -> Child:
    """Start a job in a session of its own and leave it; refused while one of its name runs.

    Raises NotRunning where a standalone master does not answer: Spark would try for a minute.
    """
    prepare(settings)
    return _launch(settings, job)


def submit(settings: "Settings", job: Job, watch: Watch = lambda _: None) -> dict[str, Any]:
    """Run a job to its end; returns its result. `watch` gets each stage.

    Raises ServiceFailed with the job's own reason. Ctrl-C and SIGTERM end the job, too.
    """
    prepare(settings, watch)
    return _submit(settings, job, watch)


def prepare(settings: "Settings", watch: Watch = lambda _: None) -> None:
    """Make the class archive with a small job, once per Java; it halves the start of every job.

    Jobs run without it, so a failure here is left in the log.
    """
    archive, temporary = class_archive.path(), class_archive.temporary_path()
    if archive.exists():
        return
    watch("preparing Spark (once, half a minute)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    # Whatever cluster and login there are.
    here = settings.spark.model_copy(update={"master": "local[*]"})
    own = {"spark": here, "hdfs": type(settings.hdfs)()}
    options = (*SHORT_JOB, *class_archive.options_to_make(temporary))
    with suppress(ClickstreamError):
        job = Job("spark-prepare", WARM_UP, {}, java_options=options)
        _submit(settings.model_copy(update=own), job, watch)
    if temporary.exists():  # A Java without an archive of its own cannot make one: no harm.
        temporary.rename(archive)


def _launch(settings: "Settings", job: Job) -> Child:
    child = Child(settings.files, job.name)
    running = child.running()
    if running:
        raise ClickstreamError(f"{job.name} is already running (pid {running.pid})")
    _check_master(settings.spark.master)
    login.require(settings)
    scratch, plan = _fresh(settings.files.scratch(job.name)), settings.files.plan(job.name)
    properties = scratch / "spark.properties"
    properties.touch(mode=0o600)
    properties.write_text(properties_text(conf(settings, job, scratch)))
    write_atomic(plan, json.dumps(job.plan))
    reported = settings.files.driver_events(job.name)
    write_atomic(reported, "")
    code = None if is_local(settings.spark.master) else package_zip(scratch)
    argv = submit_argv(settings, job, plan, properties, code)
    child.start(argv, env=_environment(settings, reported), cwd=scratch)
    return child


def _submit(settings: "Settings", job: Job, watch: Watch) -> dict[str, Any]:
    reported = settings.files.driver_events(job.name)
    with signals_interrupt():
        child = _launch(settings, job)
        try:
            _follow(child, reported, watch)
        finally:
            child.stop()
            shutil.rmtree(settings.files.scratch(job.name), ignore_errors=True)
    return events.result(child, events.read(reported))


def _check_master(master: str) -> None:
    scheme, _, named = master.partition("://")
    if scheme == "spark" and not any(map(answers, named.split(","))):
        raise NotRunning(f"Spark's master {master} does not answer", "is spark.master right?")


def answers(address: str) -> bool:
    """Tell whether something listens at `host[:port]` of a standalone master."""
    try:
        parts = urlsplit(f"//{address}")
        return port_open(parts.port or MASTER_PORT, parts.hostname or "")
    except (OSError, ValueError):  # no such host; no such port
        return False


def _environment(settings: "Settings", reported: Path) -> dict[str, str]:
    env = java_home_env(settings.child_env()) | {
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONSAFEPATH": "1",
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData",
        events.VARIABLE: str(reported),
    }
    if on_loopback(settings.spark.master):
        env["SPARK_LOCAL_IP"] = LOOPBACK
    return env | login.user_env(settings) | kerberos.environment(settings)


def _follow(child: Child, reported: Path, watch: Watch) -> None:
    read, running = 0, True
    while running:
        running = child.running() is not None
        fresh = events.read(reported)[read:]
        read += len(fresh)
        for each in fresh:
            if "stage" in each:
                watch(each["stage"])
        time.sleep(POLL_SECONDS)


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    return directory


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n").replace("=", "\\=").replace(":", "\\:")
    return "".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in plain)
