"""The archive of Spark's classes that each Java loads at once; it halves the start of every job."""

import os
from pathlib import Path

from clickstream.runtime.cache import cache_dir
from clickstream.runtime.java import java_home_env


def path() -> Path:
    """Where this Java's archive lies, once it is made."""
    from importlib.metadata import version

    home = java_home_env({})["JAVA_HOME"]
    return cache_dir() / f"spark-{version('pyspark')}-{home.strip('/').replace('/', '-')}.jsa"


def temporary_path() -> Path:
    """Where this process makes it."""
    return path().with_suffix(f".{os.getpid()}")


def options_to_make(archive: Path) -> tuple[str, ...]:
    """Java options with which a job leaves the classes that it loaded in an archive."""
    return f'"-XX:ArchiveClassesAtExit={archive}"', "-Xlog:cds*=off"


def options_to_use() -> tuple[str, ...]:
    """Java options with which a job takes its classes from the archive, where there is one."""
    archive = path()
    return (f'"-XX:SharedArchiveFile={archive}"', "-Xlog:cds=off") if archive.exists() else ()
