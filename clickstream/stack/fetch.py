"""Fetching what the local services need, side by side, with progress."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from clickstream import config
from clickstream.runtime import jars
from clickstream.spark import class_archive, submit
from clickstream.stack import mariadb
from clickstream.stack.board import Board, board

AT_ONCE = 4
MB = 2**20


def needed() -> list[str]:
    """Every set of jars, without MariaDB's where the machine has its own."""
    return [name for name in jars.services() if name != "mariadb" or not mariadb.on_path()]


def fetch(names: Sequence[str]) -> None:
    """Bring the named sets of jars into the cache, verified; says nothing when all is there."""
    missing = [name for name in names if jars.absent(name)]
    with board(missing) as shown, ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(_fetch, shown, name) for name in missing]:
            done.result()
    for name in names:
        jars.files(name)
    if "mariadb" in names:
        mariadb.unpack()


def prepare_spark() -> None:
    """Make the class archive that halves the start of every job, where it is missing."""
    if not class_archive.path().exists():
        with board(["Spark"]) as shown, TemporaryDirectory() as home:
            shown.say("Spark", "archiving its classes, once: half a minute")
            submit.prepare(config.load(home=Path(home)))
            shown.say("Spark", "classes archived", done=True)


def _fetch(shown: Board, name: str) -> None:
    absent = jars.absent(name)
    total = sum(jar.size for jar in absent) / MB
    shown.say(name, f"{len(absent)} jars, {total:.0f} MB")
    jars.fetch(name, lambda got: shown.say(name, f"{min(got / MB, total):.0f} of {total:.0f} MB"))
    shown.say(name, f"{total:.0f} MB verified", done=True)
