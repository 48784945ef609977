"""What the stores hold, read apart from the code under test where that can be."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress

from confluent_kafka import Producer

from clickstream import master
from clickstream.clients import endpoints, kafka
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.ledger import Ledger
from tests.truth import Malformed, parse

Id = tuple[str, str, int]


def identity(stamped: bytes) -> Id:
    """(server, file, offset) of a stamped line."""
    _, server, file, offset = stamped.split(b"\t", 1)[0].decode().split(":")
    return server, file, int(offset)


def kafka_producer(settings: Settings, **options: int) -> Producer:
    """A producer as Flume's is: a record that is sent again does not come behind a later one."""
    own = {"bootstrap.servers": endpoints.kafka_bootstrap(settings), "enable.idempotence": True}
    return Producer(own | options)


def in_kafka(settings: Settings) -> list[Id]:
    """The id of every record of the topic, copies too."""
    return [identity(record.value) for record in kafka.consume(settings)]


def closed_files(settings: Settings, root: str) -> Iterator[Entry]:
    """The closed files below a directory."""
    walked = Hdfs.connect(settings).walk(root)
    return (entry for entry in walked if not entry.name.startswith(("_", ".")))


def closed_lines(settings: Settings, root: str, but: Collection[str] = ()) -> list[bytes]:
    """Every stamped line of the closed files below a directory, some paths left out."""
    hdfs = Hdfs.connect(settings)
    found: list[bytes] = []
    for entry in closed_files(settings, root):
        if entry.path not in but:
            with hdfs.open(entry.path) as stream:
                content = stream.read()
            assert content.endswith(b"\n"), f"{entry.path} ends within a line"
            found += content[:-1].split(b"\n")
    return found


class Arrived:
    """What a home that tests share has got since: of every log that it did not know before.

    So whatever a test's own logs became is there, and a line under an id that nobody gave.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = self._files()
        self._closed = {
            entry.path for root in self._roots() for entry in closed_files(settings, root)
        }

    def in_kafka(self) -> list[Id]:
        """The id of every record of the topic, copies too."""
        return [each for each in in_kafka(self._settings) if each[:2] not in self._known]

    def master(self) -> list[bytes]:
        """The stamped lines of the master dataset."""
        return self._lines(self._settings.hdfs.master)

    def quarantine(self) -> list[bytes]:
        """The stamped lines of the quarantine."""
        return self._lines(self._settings.hdfs.quarantine)

    def counts(self, server: str) -> Counter[str]:
        """How many lines of a server the ledger has, by VALID or why they were rejected."""
        with Ledger.open(self._settings.files.ledger) as ledger:
            own = [file for name, file in self._files() - self._known if name == server]
            return sum((ledger.totals(server, file) for file in own), Counter())

    def _lines(self, root: str) -> list[bytes]:
        lines = closed_lines(self._settings, root, self._closed)
        return [line for line in lines if identity(line)[:2] not in self._known]

    def _files(self) -> set[tuple[str, str]]:
        with Ledger.open(self._settings.files.ledger) as ledger:
            return {(log.server, log.file) for log in ledger.files()}

    def _roots(self) -> tuple[str, str]:
        return self._settings.hdfs.master, self._settings.hdfs.quarantine


def open_files_hold_lines(hdfs: Hdfs, settings: Settings) -> bool:
    """Whether a file that the collector has open holds lines, which stand nowhere else."""
    for entry in master.in_use(hdfs, settings):
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
