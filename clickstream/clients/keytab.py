"""Whose keys a keytab holds, and how far the KDC's clock is from ours: MIT's two file formats.

https://web.mit.edu/kerberos/krb5-latest/doc/formats/ (keytab_file_format, ccache_file_format)
"""

import struct
from pathlib import Path

_KEYTAB = b"\x05\x02"
_TICKETS = b"\x05\x04"
_TIME_OFFSET = 1


def principals(path: Path) -> set[str]:
    """The principals, as `name@REALM`; raises OSError, and ValueError where it is no keytab."""
    data = path.read_bytes()
    if data[:2] != _KEYTAB:
        raise ValueError("no keytab")
    found, at = set(), 2
    while at + 4 <= len(data):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size > 0:  # else the room of an entry that was removed
            found.add(_principal(data[at : at + size]))
        at += abs(size)
    return found


def _principal(entry: bytes) -> str:
    try:
        (components,) = struct.unpack_from(">H", entry)
        texts, at = [], 2
        for _ in range(components + 1):
            (length,) = struct.unpack_from(">H", entry, at)
            texts.append(entry[at + 2 : at + 2 + length].decode())
            at += 2 + length
    except struct.error:
        raise ValueError("an entry ends early") from None
    realm, *names = texts
    return f"{'/'.join(names)}@{realm}"


def kdc_ahead_s(tickets: Path) -> int:
    """How far the KDC's clock was ahead of ours when it gave these tickets; 0 where unknown."""
    try:
        data = tickets.read_bytes()
        if data[:2] != _TICKETS:
            return 0
        (size,) = struct.unpack_from(">H", data, 2)
        header, at = data[4 : 4 + size], 0
        while at < size:
            tag, length = struct.unpack_from(">HH", header, at)
            if tag == _TIME_OFFSET:
                return int(struct.unpack_from(">i", header, at + 4)[0])
            at += 4 + length
    except (OSError, struct.error):
        pass
    return 0
