"""A log as a web server and a log rotation treat it, and what must have become of its lines."""

import gzip
import os
import random
import select
import shutil
import sys
import time
from pathlib import Path

LINE = b'%s - - [18/May/2015:09:05:%02d +0000] "GET /a HTTP/1.1" 200 12 "-" "agent"'
# More than any test rotates: a rotation that removes the oldest log takes with it a last line
# without its end, for which a follow that is begun again and again waits again each time.
KEPT = 200


class Writer:
    """Writes one line after the other, each unlike any other, to a path that is rotated.

    `lines` are those written so far, without line ends; `ended` of them have one.
    """

    def __init__(self, path: Path, name: str = "a") -> None:
        self.path = path
        self.name = name
        self.lines: list[bytes] = []
        self._cut: dict[int, tuple[bytes, bytes]] = {}
        self._count = 0
        self.old: int | None = None
        self.handle = self._open()

    def write(self, count: int = 1, *, old: bool = False, size: int = 0) -> None:
        """Whole lines; into the file that was rotated away where `old`."""
        handle = self.old if old and self.old is not None else self.handle
        self.end(handle)
        made = [self._line(size) for _ in range(count)]
        os.write(handle, b"".join(line + b"\n" for line in made))

    def cut(self) -> None:
        """The beginning of a line, behind a whole one."""
        self.write()
        line = self._line(0)
        self.lines[-1] = line[:30]
        self._cut[self.handle] = (line[:30], line[30:])
        os.write(self.handle, line[:30])

    def end(self, handle: int) -> None:
        """The rest of a line that was begun."""
        if handle in self._cut:
            begun, rest = self._cut.pop(handle)
            os.write(handle, rest + b"\n")
            self.lines[self.lines.index(begun)] = begun + rest

    def rename(self, *, reopen: bool = True) -> None:
        """Rotate by renaming; without `reopen` the server goes on writing to the renamed file."""
        self.reopen()
        self._shift()
        self.path.rename(self._at(1))
        self.old, self.handle = self.handle, self._open() if reopen else self.handle
        if not reopen:
            self.old = None

    def reopen(self) -> None:
        """The server opens its log again, as after a signal."""
        if not self.path.exists():
            self.old, self.handle = self.handle, self._open()

    def copytruncate(self) -> None:
        """Rotate by a copy, then a truncation."""
        self.reopen()
        self._shift()
        shutil.copyfile(self.path, self._at(1))
        self._cut.pop(self.handle, None)
        os.ftruncate(self.handle, 0)

    def truncate(self) -> None:
        """Empty the file; a line that was begun is lost."""
        if self.handle in self._cut:
            self.lines.remove(self._cut.pop(self.handle)[0])
        os.ftruncate(self.handle, 0)

    def compress(self, number: int) -> None:
        """Compress a rotated log, in two members."""
        plain = self._at(number)
        if plain.exists() and not self._written_to(plain):
            content = plain.read_bytes()
            half = len(content) // 2
            packed = gzip.compress(content[:half]) + gzip.compress(content[half:])
            plain.with_name(plain.name + ".gz").write_bytes(packed)
            plain.unlink()

    def _written_to(self, path: Path) -> bool:
        inode = path.stat().st_ino
        return inode in [os.fstat(each).st_ino for each in (self.old, self.handle) if each]

    def _shift(self) -> None:
        for number in range(KEPT, 0, -1):
            for end in ("", ".gz"):
                path = self._at(number, end)
                if path.exists():
                    path.rename(self._at(number + 1, end))

    def _at(self, number: int, end: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{end}")

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _line(self, size: int) -> bytes:
        self._count += 1
        name = b"%s%d%s" % (self.name.encode(), self._count, b"x" * size)
        self.lines.append(LINE % (name, self._count % 60))
        return self.lines[-1]


def main(path: str, seed: str, out: str) -> None:
    """Write a line, and after one on stdin (somebody follows): write, rotate, compress.

    Until the next line on stdin; then a file says what was written.
    """
    luck = random.Random(int(seed))
    writer = Writer(Path(path), f"s{seed}-")
    writer.write()
    sys.stdin.readline()
    while not select.select([sys.stdin], [], [], 0)[0]:
        _live(writer, luck)
    writer.end(writer.handle)
    Path(out).write_bytes(b"".join(line + b"\n" for line in writer.lines))


def _live(writer: Writer, luck: random.Random) -> None:
    """A second or so in the life of a log, and its rotation."""
    for _ in range(luck.randrange(1, 12)):
        writer.write(luck.randrange(1, 60))
        time.sleep(luck.random() * 0.2)
    if luck.random() < 0.3:
        writer.cut()
    match luck.choice(["rename", "late", "copytruncate"]):
        case "rename":
            writer.rename()
            time.sleep(luck.random() * 0.5)
            writer.write(luck.randrange(3), old=True)
        case "late":
            writer.rename(reopen=False)
            writer.write(luck.randrange(9))
            time.sleep(luck.random())
            writer.write(luck.randrange(9))
            writer.reopen()
        case "copytruncate":
            writer.copytruncate()
    if luck.random() < 0.5:
        writer.compress(luck.randrange(1, 4))


if __name__ == "__main__":
    main(*sys.argv[1:])
