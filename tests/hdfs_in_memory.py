"""HDFS for a unit: files by their paths."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from clickstream.clients.hdfs import Entry


class HdfsInMemory:
    """What a client of HDFS lists and opens."""

    files: dict[str, bytes]

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def list(self, path: str) -> list[Entry]:
        return [
            Entry(each, each.rpartition("/")[2], len(content), False, 0)
            for each, content in self.files.items()
            if each.startswith(f"{path}/")
        ]

    @contextmanager
    def open(self, path: str) -> Iterator[BytesIO]:
        yield BytesIO(self.files[path])
