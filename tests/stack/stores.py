"""What the stores hold, read apart from the code under test where that can be."""

from collections import defaultdict
from contextlib import suppress

from clickstream import kafka
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.hdfs import Hdfs
from clickstream.ingest import orphans
from tests.truth import Malformed, parse

Id = tuple[str, str, int]


def identity(stamped: bytes) -> Id:
    """(server, file, offset) of a stamped line."""
    _, server, file, offset = stamped.split(b"\t", 1)[0].decode().split(":")
    return server, file, int(offset)


def in_kafka(settings: Settings) -> list[Id]:
    """The id of every record of the topic, copies too."""
    return [identity(record.value) for record in kafka.consume(settings)]


def closed_lines(settings: Settings, root: str) -> list[bytes]:
    """Every stamped line of the closed files below a directory."""
    hdfs = Hdfs.connect(settings)
    found: list[bytes] = []
    for entry in hdfs.walk(root):
        if not entry.name.startswith(("_", ".")):
            with hdfs.open(entry.path) as stream:
                content = stream.read()
            assert content.endswith(b"\n"), f"{entry.path} ends within a line"
            found += content[:-1].split(b"\n")
    return found


def open_files_hold_lines(hdfs: Hdfs, settings: Settings) -> bool:
    """Whether a file that the collector has open holds lines, which stand nowhere else."""
    for entry in orphans.in_use(hdfs, settings):
        with suppress(ClickstreamError), hdfs.open(entry.path) as stream:
            if stream.read(1):
                return True
    return False


def by_offset(stamped: list[bytes]) -> dict[str, dict[int, bytes]]:
    """Server -> offset -> raw line; every copy of a line must be the same."""
    found: dict[str, dict[int, bytes]] = defaultdict(dict)
    for line in stamped:
        server, _, offset = identity(line)
        raw = line.split(b"\t", 3)[3]
        assert found[server].setdefault(offset, raw) == raw
    return dict(found)


def offsets(log: bytes) -> dict[int, bytes]:
    """Byte offset -> line of a log, without its line end."""
    found: dict[int, bytes] = {}
    offset = 0
    pieces = log.split(b"\n")
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        if piece or not last:
            found[offset] = piece if last else piece.removesuffix(b"\r")
        offset += len(piece) + 1
    return found


def well_formed(line: bytes) -> bool:
    """The verdict of the independent reader."""
    try:
        parse(line)
    except Malformed:
        return False
    return True
