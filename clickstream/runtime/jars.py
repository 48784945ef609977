"""The jars of each service: locked by coordinate, size and sha256, in one cache, verified.

`locks/<service>.lock` is the truth. A jar counts as there when it stands in the cache and its
content was hashed once; after that its size and time of change vouch for it, so a start does not
read 400 MB again.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream.errors import ClickstreamError
from clickstream.home import exclusive, write_atomic
from clickstream.runtime.cache import cache_dir
from clickstream.runtime.ivy import Coordinate, retrieve
from clickstream.runtime.java import spark_home

LOCKS = Path(__file__).parent / "locks"
HINT = "fetch them: clickstream stack fetch"
# What a service takes from pyspark's own jars: Hadoop's client classes, logging, a compiler.
FROM_PYSPARK = {
    "hdfs": (
        *("hadoop-client-api", "hadoop-client-runtime", "slf4j-api", "log4j-slf4j2-impl"),
        *("log4j-api", "log4j-core", "log4j-1.2-api", "jcl-over-slf4j", "snappy-java"),
    ),
    "flume": ("hadoop-client-api", "hadoop-client-runtime"),
    "kdc": (
        "janino",
        "commons-compiler",
        "slf4j-api",
        "log4j-slf4j2-impl",
        "log4j-api",
        "log4j-core",
    ),
}

Stamp = list[int | str]  # sha256, size in bytes, time of change in ns: as JSON keeps it


class Jar(NamedTuple):
    """One line of a lock."""

    coordinate: Coordinate
    size: int
    sha256: str

    @property
    def path(self) -> Path:
        """Its path in the cache."""
        return cache_dir() / "jars" / self.coordinate.file_name


def services() -> list[str]:
    """Every name that has a lock."""
    return sorted(path.stem for path in LOCKS.glob("*.lock"))


def locked(service: str) -> list[Jar]:
    """The jars that a service needs, as its lock names them."""
    lines = (LOCKS / f"{service}.lock").read_text().splitlines()
    return [_jar(line) for line in lines if line and not line.startswith("#")]


def lock_text(jars: Sequence[Jar]) -> str:
    """The text of a lock file: one jar a line, sorted."""
    lines = [f"{jar.coordinate} {jar.size} {jar.sha256}\n" for jar in sorted(jars)]
    return "# organisation:name:revision[:classifier] bytes sha256\n" + "".join(lines)


def classpath(service: str) -> str:
    """The verified jars of a service (and what it takes from pyspark), as java's -cp wants them.

    Raises ClickstreamError when jars are missing or wrong.
    """
    return ":".join(str(path) for path in [*files(service), *_of_pyspark(service)])


def jolokia() -> Path:
    """The agent that shows a JVM's beans over HTTP."""
    (path,) = files("jolokia")
    return path


def files(service: str) -> list[Path]:
    """The verified jars of a service; raises ClickstreamError when jars are missing or wrong."""
    missing = absent(service)
    if missing:
        raise ClickstreamError(f"{len(missing)} jars of {service} are not in the cache", HINT)
    _verify(service)
    return [jar.path for jar in locked(service)]


def absent(service: str) -> list[Jar]:
    """The jars of a service that are not in the cache."""
    return [jar for jar in locked(service) if not jar.path.is_file()]


def fetch(service: str, watch: Callable[[int], None] = lambda _: None) -> None:
    """Bring what is missing into the cache and verify all of it; needs no network when complete.

    `watch` is called with the bytes received so far. A jar whose content is not the locked one is
    removed and named in a ClickstreamError. Two fetches at once are safe: the second waits.
    """
    with _alone(service) as staging:
        missing = absent(service)
        if missing:
            got = retrieve([jar.coordinate for jar in missing], staging, watch=watch)
            for jar in missing:
                _keep(jar, got)
        _verify(service)


def sha256_of(path: Path) -> str:
    """The hash of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jar(line: str) -> Jar:
    coordinate, size, sha256 = line.split()
    return Jar(Coordinate.parse(coordinate), int(size), sha256)


def _keep(jar: Jar, got: dict[Coordinate, Path]) -> None:
    if jar.coordinate not in got:
        raise ClickstreamError(f"the repository has no {jar.coordinate}", HINT)
    _check(jar, got[jar.coordinate])
    jar.path.parent.mkdir(parents=True, exist_ok=True)
    got[jar.coordinate].replace(jar.path)


def _check(jar: Jar, path: Path) -> None:
    if sha256_of(path) != jar.sha256:
        path.unlink()
        raise ClickstreamError(
            f"{jar.coordinate} has a wrong checksum: it was removed, not used",
            "fetch it again: clickstream stack fetch; if it stays, the repository is not to trust",
        )


def _verify(service: str) -> None:
    marker = cache_dir() / "verified" / f"{service}.json"
    known = _read(marker)
    stamps = {jar.path.name: _stamp(jar) for jar in locked(service)}
    unknown = [jar for jar in locked(service) if known.get(jar.path.name) != stamps[jar.path.name]]
    for jar in unknown:
        _check(jar, jar.path)
    if unknown:
        write_atomic(marker, json.dumps(stamps))


def _stamp(jar: Jar) -> Stamp:
    status = jar.path.stat()
    return [jar.sha256, status.st_size, status.st_mtime_ns]


def _read(marker: Path) -> dict[str, Stamp]:
    try:
        stamps: dict[str, Stamp] = json.loads(marker.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamps


@contextmanager
def _alone(service: str) -> Iterator[Path]:
    """An empty folder of this service's own; whoever else fetches the service waits."""
    staging = cache_dir() / "fetching" / service
    with exclusive(staging.with_suffix(".lock")):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _of_pyspark(service: str) -> list[Path]:
    folder = spark_home() / "jars"
    names = FROM_PYSPARK.get(service, ())
    return [path for name in names for path in folder.glob(f"{name}-[0-9]*.jar")]
