"""Ivy, as pyspark ships it: coordinates in, jars in a folder out. The only place that runs it."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from clickstream.errors import ClickstreamError
from clickstream.runtime.java import java, spark_home
from clickstream.runtime.render import File, render, write
from clickstream.runtime.trust import options

MIRROR = "CLICKSTREAM_REPOSITORY"
MAIN = "org.apache.ivy.Main"
POLL_SECONDS = 0.2
# One folder per part of a coordinate, so that a retrieved path can be read back.
PATTERN = "[organisation]/[module]/[revision]/([classifier]/)[artifact].[ext]"


class Coordinate(NamedTuple):
    """The coordinates of a jar in a Maven repository."""

    organisation: str
    name: str
    revision: str
    classifier: str = ""

    @classmethod
    def parse(cls, text: str) -> "Coordinate":
        """From `organisation:name:revision[:classifier]`; ValueError when it is not that."""
        parts = text.split(":")
        if len(parts) not in (3, 4) or not all(parts):
            raise ValueError(f"{text!r} is not a coordinate")
        return cls(*parts)

    def __str__(self) -> str:
        return ":".join(part for part in self if part)

    @property
    def file_name(self) -> str:
        """A flat name that no other coordinate has."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.organisation}_{self.name}-{self.revision}{tail}.jar"


def retrieve(
    wanted: Sequence[Coordinate],
    directory: Path,
    *,
    overrides: Sequence[Coordinate] = (),
    transitive: bool = False,
    watch: Callable[[int], None] = lambda _: None,
) -> dict[Coordinate, Path]:
    """Fetch the jars (and with `transitive` all they need) below an empty directory.

    `watch` is called, now and then, with the bytes received so far. Raises ClickstreamError with
    Ivy's reason. `CLICKSTREAM_REPOSITORY` names a mirror; Ivy itself knows the usual place.
    """
    write(_files(wanted, overrides, directory, transitive), directory)
    _run(directory, watch)
    return {_coordinate(path, directory / "out"): path for path in directory.glob("out/**/*.jar")}


def _files(
    wanted: Sequence[Coordinate],
    overrides: Sequence[Coordinate],
    directory: Path,
    transitive: bool,
) -> list[File]:
    mirror = os.environ.get(MIRROR, "")
    settings = render(
        "ivy/settings.xml", cache=directory / "cache", mirror=mirror, transitive=transitive
    )
    module = render(
        "ivy/module.xml", modules=_modules(wanted), overrides=overrides, transitive=transitive
    )
    return [File("settings.xml", settings), File("module.xml", module)]


def _modules(wanted: Sequence[Coordinate]) -> dict[Coordinate, list[str]]:
    """Module -> classifiers: of two <dependency> for one module Ivy would keep only the last."""
    modules: dict[Coordinate, list[str]] = {}
    for jar in wanted:
        modules.setdefault(jar._replace(classifier=""), []).append(jar.classifier)
    return modules


def _argv(directory: Path) -> list[str]:
    (ivy,) = (spark_home() / "jars").glob("ivy-[0-9]*.jar")
    return [
        *(java(), "-XX:TieredStopAtLevel=1", *options(directory), "-cp", str(ivy), MAIN),
        *("-settings", str(directory / "settings.xml"), "-ivy", str(directory / "module.xml")),
        *("-confs", "default", "-types", "jar", "bundle", "-warn"),
        *("-retrieve", str(directory / "out" / PATTERN)),
    ]


def _run(directory: Path, watch: Callable[[int], None]) -> None:
    log = directory / "ivy.log"
    with log.open("wb") as output:
        ivy = subprocess.Popen(_argv(directory), stdout=output, stderr=subprocess.STDOUT)
    try:
        while ivy.poll() is None:
            watch(_arrived(directory / "cache"))
            time.sleep(POLL_SECONDS)
    finally:
        ivy.kill()
    if ivy.returncode:
        raise ClickstreamError(
            f"jars could not be fetched:{_reason(log)}",
            f"is the network there? {MIRROR} can name a mirror",
        )


def _arrived(cache: Path) -> int:
    total = 0
    for path in cache.glob("**/*.jar*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed in this moment: counted the next time
            continue
    return total


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    informative = [line for line in lines if line.strip(":. ") and not line.startswith("....")]
    return "".join(f"\n  {line}" for line in informative[-8:])


def _coordinate(path: Path, out: Path) -> Coordinate:
    *parts, _ = path.relative_to(out).parts
    return Coordinate(*parts)
