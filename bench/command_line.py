"""The command line of every benchmark: options, a working directory, a clean end."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickstream.errors import ClickstreamError

Rows = list[dict[str, Any]]


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, repeatable")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    add("--keep", type=Path, metavar="DIR", help="work there and leave logs and files behind")
    return made


def flags(options: argparse.Namespace) -> dict[str, str]:
    """The settings that --set gives."""
    return dict(text.split("=", 1) for text in options.set)


def run(options: argparse.Namespace, measure: Callable[[argparse.Namespace, Path], Rows]) -> int:
    """Measure in a directory of its own; the exit code: 1 with a sentence when something failed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _break_off)
    try:
        with _work_directory(options.keep) as directory:
            report = measure(options, directory)
    except (ClickstreamError, OSError) as error:
        print(f"error: {error}\n{getattr(error, 'hint', '') or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _break_off(_number: int, _frame: object) -> None:
    """Tear down, once: a second signal must not stop that half way."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _work_directory(keep: Path | None) -> Iterator[Path]:
    """The directory to work in, removed in the end unless it is to be kept."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    directory = Path(tempfile.mkdtemp(prefix="clickstream-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
