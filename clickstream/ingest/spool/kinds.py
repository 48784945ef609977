"""The kind of a file by its first bytes, whatever its name: what is no plain text has a name."""

import re
from typing import NamedTuple

HEAD_BYTES = 512
_BLOCK = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_TEXT_BYTES = 64
_FEWEST_BYTES = 4


class Kind(NamedTuple):
    """A kind of file that is no log as it is; `command` writes the log in it to a pipe."""

    name: str
    command: str


TAR = Kind("a tar archive", "tar -xOf FILE")
UTF_16 = Kind("UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE")
_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", Kind("a zip archive", "unzip -p FILE")),
    (b"PK\x05\x06", Kind("an empty zip archive", "unzip -p FILE")),
    (b"\xfd7zXZ\x00", Kind("compressed with xz", "xz -dc FILE")),
    (b"\x28\xb5\x2f\xfd", Kind("compressed with zstd", "zstd -dc FILE")),
    (b"\x04\x22\x4d\x18", Kind("compressed with lz4", "lz4 -dc FILE")),
    (b"\x1f\x9d", Kind("compressed with compress", "uncompress -c FILE")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", "7z x -so FILE")),
    (b"Rar!\x1a\x07", Kind("a rar archive", "unrar p -inul FILE")),
    (b"\xff\xfe\x00\x00", Kind("UTF-32 text", "iconv -f UTF-32 -t UTF-8 FILE")),
    (b"\x00\x00\xfe\xff", Kind("UTF-32 text", "iconv -f UTF-32 -t UTF-8 FILE")),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
)


def of(head: bytes) -> Kind | None:
    """The kind of a file with these first HEAD_BYTES bytes; None for what may be text."""
    if _BLOCK.match(head):
        return Kind("compressed with bzip2", "bzip2 -dc FILE")
    if _is_tar(head):
        return TAR
    found = next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)
    return found or _unmarked_utf_16(head[:_TEXT_BYTES])


def _is_tar(head: bytes) -> bool:
    """Tell whether it begins with a header whose checksum is right, of whatever age."""
    written = re.match(rb" *([0-7]+)[ \0]", head[148:156])
    if len(head) < HEAD_BYTES or not written:
        return False
    return int(written[1], 8) == sum(head[:148]) + sum(b" " * 8) + sum(head[156:HEAD_BYTES])


def _unmarked_utf_16(head: bytes) -> Kind | None:
    """UTF-16 without a byte order mark, of ASCII characters: every second byte is 0."""
    halves = (head[::2], head[1::2])
    zero = [not any(half) for half in halves]
    wide = len(head) >= _FEWEST_BYTES and sum(zero) == 1 and all(halves[1 - zero.index(True)])
    if not wide:
        return None
    order = "BE" if zero[0] else "LE"
    return Kind(f"UTF-16{order} text", f"iconv -f UTF-16{order} -t UTF-8 FILE")
