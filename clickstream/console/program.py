"""The commands that start and install this program here, as messages quote them."""

import os
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

NAME = "clickstream"
LEFT_ALONE = "clickstream left alone: "
"""The beginning of the name of a thread that may hang, and for which the program does not wait."""
_COMMAND = re.compile(rf"(?<![\w./-]){NAME}(?= [a-z-])")


def name() -> str:
    """The command of this program: `clickstream` where the shell finds it, else what was typed.

    A script of ours that the PATH does not name is given by its path; a module by its Python.
    """
    started = Path(sys.argv[0])
    if started.name == NAME:
        return NAME if _on_path(started) else shlex.quote(_shorter(started))
    if started.suffix == ".py" and started.absolute().parent.name == NAME:
        return f"{_python()} -m {NAME}"
    return NAME


def spoken(message: str) -> str:
    """The message with each `clickstream COMMAND` in it as it must be typed here."""
    started = name()
    return message if started == NAME else _COMMAND.sub(lambda _: started, message)


def install(package: str) -> str:
    """The command that installs a package of our requirements for the Python in use."""
    wanted = shlex.quote(_requirement(package))
    if find_spec("pip") is None:  # as in an environment made by uv
        return f"install {wanted} into {sys.prefix}"
    return f"{_python()} -m pip install {wanted}"


def _on_path(started: Path) -> bool:
    installed = shutil.which(NAME)
    return installed is not None and os.path.realpath(installed) == os.path.realpath(started)


def _python() -> str:
    return shlex.quote(_shorter(Path(sys.executable)))


def _shorter(path: Path) -> str:
    """The path from here where it lies below, else the whole of it."""
    full = path.absolute()
    here = Path.cwd()
    if not full.is_relative_to(here):
        return str(full)
    below = str(full.relative_to(here))
    return below if os.sep in below else f"./{below}"  # a shell looks a bare name up in its PATH


def _requirement(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        known = requires(NAME) or []
    except PackageNotFoundError:
        known = []
    plain = (each.partition(";")[0].strip() for each in known)
    return next((each for each in plain if re.match(rf"{package}\b", each)), package)
