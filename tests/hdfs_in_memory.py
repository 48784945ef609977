"""HDFS for a unit: files by their paths."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO

from clickstream.clients.hdfs import Entry, Hdfs


class HdfsInMemory:
    """What a client of HDFS lists, opens and changes; `modified` has times of change, in ms."""

    walk = Hdfs.walk

    def __init__(self, files: dict[str, bytes], modified: dict[str, int] | None = None) -> None:
        self.files = files
        self.directories: set[str] = set()
        self.modified = modified if modified is not None else {}
        self.opened: tuple[str, ...] = ()

    def list(self, path: str) -> list[Entry]:
        every = {**dict.fromkeys(self.directories, None), **self.files}
        below = [each.removeprefix(f"{path}/") for each in every if each.startswith(f"{path}/")]
        names = sorted({each.partition("/")[0] for each in below})
        return [self._entry(path, name) for name in names]

    @contextmanager
    def open(self, path: str) -> Iterator[BytesIO]:
        yield BytesIO(self.files[path])

    def write(self, path: str, chunks: Iterable[bytes], modified_ms: int | None = None) -> None:
        self.files[path] = b"".join(chunks)
        if modified_ms is not None:
            self.modified[path] = modified_ms

    def make_directory(self, path: str) -> None:
        self.directories.add(path)

    def delete(self, path: str, recursive: bool = False) -> bool:
        gone = [each for each in self.files if each == path or each.startswith(f"{path}/")]
        assert recursive or gone in ([], [path])
        for each in gone:
            del self.files[each]
        return bool(gone)

    def open_files(self, path: str) -> tuple[str, ...]:
        return tuple(each for each in self.opened if each.startswith(f"{path}/"))

    def _entry(self, parent: str, name: str) -> Entry:
        path = f"{parent}/{name}"
        content = self.files.get(path)
        size = 0 if content is None else len(content)
        return Entry(path, name, size, content is None, self.modified.get(path, 0))
