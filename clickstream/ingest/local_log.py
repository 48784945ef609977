"""A log that the user names on this machine: a file, a pipe, or - for the standard input."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from clickstream.errors import BadInput
from clickstream.ingest.spool import logs

STDIN = Path("-")


@contextmanager
def opened(file: Path) -> Iterator[logs.Opener]:
    """An opener of all its bytes, as often as asked; what comes through a pipe is kept meanwhile.

    Raises BadInput where it cannot be read.
    """
    if not is_stream(file):
        yield regular(file)
        return
    with tempfile.NamedTemporaryFile() as copy:
        with _stream(file) as stream:
            shutil.copyfileobj(stream, copy, logs.BLOCK_BYTES)
        copy.flush()
        yield partial(cast(Any, Path(copy.name).open), "rb")


def is_stream(file: Path) -> bool:
    """Tell whether its bytes come once, and its name says nothing: a pipe, a socket or stdin."""
    try:
        return file == STDIN or file.is_fifo() or file.is_socket()
    except OSError:
        return False


def regular(file: Path) -> logs.Opener:
    """Opens a regular file; raises BadInput where it is none."""
    try:
        is_file, is_directory = file.is_file(), file.is_dir()
        file.stat()
        if is_file:
            file.open("rb").close()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    if not is_file:
        what = "a directory" if is_directory else "not a regular file"
        raise BadInput(f"{file} is {what}", "name a log file")
    return partial(cast(Any, file.open), "rb")


@contextmanager
def _stream(file: Path) -> Iterator[BinaryIO]:
    if file == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
