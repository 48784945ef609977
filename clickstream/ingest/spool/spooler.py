"""The only writer of the spooling directories: logs are recognised, cut, and spooled exactly once.

Each chunk is staged, planned in the ledger, and then appears by rename. So after a crash at any
moment each line comes once, or again under the same id and chunk name.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from clickstream import faultpoints
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import BadInput, ClickstreamError
from clickstream.home import exclusive
from clickstream.ingest import flow
from clickstream.ingest.spool import logs
from clickstream.ingest.spool.chunks import Chunker, Limits, PendingChunk, Spool, quarantine_big
from clickstream.ingest.spool.logs import Opener, Readable
from clickstream.ledger import Acceptance, Chunk, Ledger, LogFile
from clickstream.weblog import COMBINED, Format, formats, judge, stamp

_OWNER_FILE = "_ledger"
LOCAL = "file://"


class OpenLog:
    """A log on its way into a spool.

    `file` is its identity, `offset` the next byte to spool. `nothing_new`: it is a beginning of
    a known log, or has no whole line yet; once it has grown it must be recognised again.
    """

    def __init__(
        self,
        server: str,
        file: str,
        path: str,
        recognition: logs.Recognition,
        form: Format = COMBINED,
    ) -> None:
        self.server = server
        self.file = file
        self.path = path
        self.known = recognition.known
        self.offset = recognition.offset
        self.nothing_new = recognition.nothing_new
        self._open_tail = recognition.known is not None and recognition.known.open_tail
        # A CR that was counted as the line's last byte would belong to the line end now.
        self._tail_ends = (b"",) if recognition.last == b"\r" else (b"", b"\n", b"\r\n")
        self._chunker = Chunker(server, file, form, recognition.digest)

    def chunks(
        self, stream: Readable, limits: Limits, last: int = 0, accept_partial_line: bool = True
    ) -> Iterator[PendingChunk]:
        """The chunks of a stream that stands at `offset`; spool each before the next is asked for.

        Without `accept_partial_line` a last line that has no end is left for later; `last` is the
        event second reached before. Raises BadInput where a last line, counted without its end,
        goes on.
        """
        if self._open_tail:
            self._end_tail(stream)
        yield from self._chunker.chunks(stream, self.offset, limits, last, accept_partial_line)

    def _end_tail(self, stream: Readable) -> None:
        """A last line was counted without its end: what follows may only be that end."""
        end = stream.readline(2)
        if end not in self._tail_ends:
            raise BadInput(
                f"the last line of {self.path}, counted at byte {self.offset}, goes on in the"
                " grown log",
                "give it as another log: clickstream weblog put --as NAME",
            )
        if end:
            self._chunker.end_tail(end)
            self.offset += len(end)
            self._open_tail = False


class ReprocessCandidate(NamedTuple):
    """A line of the quarantine that may be valid now; it was counted under (`day`, `reason`)."""

    offset: int
    raw: bytes
    day: str
    reason: str


class Spooler:
    """Spools logs in this home, for the servers whose locks are held."""

    def __init__(
        self, settings: Settings, ledger: Ledger, servers: Sequence[str], hdfs: Hdfs | None
    ) -> None:
        self.ledger = ledger
        self._settings = settings
        self._hdfs = hdfs
        self._spools = {name: Spool(settings.files.spool(name)) for name in servers}
        self._room = flow.Room(settings, ledger, self._spools)
        for server, spool in self._spools.items():
            spool.make()
            spool.recover(ledger.open_chunks(server))
        self.tidy()

    def recognise(
        self, server: str, opener: Opener, path: str, accept_partial_line: bool = True
    ) -> OpenLog:
        """Find a log in the ledger by its content; raises BadInput.

        Without `accept_partial_line` a last line that has no end is left for later.
        """
        recognition = logs.recognise(
            self.ledger, server, opener, path, self._source, accept_partial_line
        )
        form = formats.of(self._settings, server)
        if recognition.known is None:
            return OpenLog(server, self._new_file(server, opener, path), path, recognition, form)
        log = recognition.known
        if path != log.path and not recognition.nothing_new and self._source(log) is None:
            self.ledger.moved(log, path)
        return OpenLog(server, log.file, path, recognition, form)

    def spool(self, log: OpenLog, chunk: PendingChunk) -> None:
        """Let a chunk's lines appear as a chunk in the spooling directory; `log` moves on.

        Lines too long for an agent go to the quarantine in HDFS: raises NotRunning without it.
        """
        if chunk.big:
            root = self._settings.hdfs.quarantine
            quarantine_big(self._connected(), root, log.server, log.file, chunk)
        now = LogFile(log.server, log.file, log.path, chunk.stop, chunk.digest, chunk.open_tail)
        self._appear(
            now,
            (chunk.start, chunk.stop),
            chunk.body,
            lambda: self.ledger.plan(
                now, chunk.start, chunk.counts, bytes(chunk.checksums), chunk.carried
            ),
        )
        log.offset = chunk.stop

    def reprocess(self, server: str, file: str, candidates: Sequence[ReprocessCandidate]) -> int:
        """Spool those rejects of a log that are valid now, unaltered, under their ids; how many.

        Lines that were reprocessed before are left out.
        """
        form = formats.of(self._settings, server)
        done = {offset for _, log, offset in self.ledger.reprocessed(server) if log == file}
        judged = ((each, judge(each.raw, form)) for each in candidates if each.offset not in done)
        fresh = sorted((each, verdict) for each, verdict in judged if verdict.reason is None)
        if not fresh:
            return 0
        (log,) = (known for known in self.ledger.files(server) if known.file == file)
        moves = [Acceptance(each.offset, each.day, each.reason, str(v.day)) for each, v in fresh]
        body = b"".join(
            stamp(server, file, each.offset, each.raw, form) + b"\n" for each, _ in fresh
        )
        bounds = (moves[0].offset, moves[-1].offset + 1)
        self._appear(log, bounds, body, lambda: self.ledger.accept(log, moves))
        return len(fresh)

    def room(self, notify: Callable[[str], None]) -> None:
        """Wait until spools and channels have room; raises ServiceFailed when nothing moves."""
        self._room.wait(notify)

    def tidy(self) -> dict[str, int]:
        """Remove the chunks that agents have taken; how many still wait, by server."""
        return flow.tidy(self.ledger, self._spools)

    def source(self, path: str) -> Opener | None:
        """An opener of a log at a path of the ledger; None where the log was removed."""
        if path.startswith(LOCAL):
            local = Path(path.removeprefix(LOCAL))
            return partial(opened_file, local) if local.is_file() else None
        hdfs = self._connected()
        return None if hdfs.stat(path) is None else partial(hdfs.open, path)

    def _appear(
        self,
        log: LogFile,
        bounds: tuple[int, int],
        body: bytes | bytearray,
        plan: Callable[[], Chunk | None],
    ) -> None:
        spool = self._spools[log.server]
        faultpoints.reached("staging")
        if body:
            spool.stage(log.file, *bounds, body)
        faultpoints.reached("staged")
        chunk = plan()
        faultpoints.reached("planned")
        if chunk:
            spool.keep(chunk)
        faultpoints.reached("spooled")

    def _source(self, log: LogFile) -> Opener | None:
        return self.source(log.path)

    def _new_file(self, server: str, opener: Opener, path: str) -> str:
        with logs.plain(opener, path) as stream:
            head = stream.read(logs.HEAD_BYTES)
        return logs.file_id(server, head, {log.file for log in self.ledger.files(server)})

    def _connected(self) -> Hdfs:
        if self._hdfs is None:
            self._hdfs = Hdfs.connect(self._settings)
        return self._hdfs


@contextmanager
def opened(
    settings: Settings, servers: Sequence[str], hdfs: Hdfs | None = None
) -> Iterator[Spooler]:
    """The spooler of these servers; planned chunks of an earlier run have appeared.

    Where `hdfs` is given, the owner of the master dataset is checked. Raises ClickstreamError where
    another spooler of a server runs (its pid is named), or where another ledger owns the master
    dataset; BadInput for a format that would misread stored lines.
    """
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(locked(settings, server))
        ledger = stack.enter_context(Ledger.open(settings.files.ledger))
        if hdfs:
            for server in servers:
                check_owner(hdfs, settings, ledger, server)
        spooler = Spooler(settings, ledger, servers, hdfs)
        formats.record_formats(ledger, settings, servers)
        yield spooler


def opened_file(path: Path) -> BinaryIO:
    """A local file as an opener gives it."""
    return cast(BinaryIO, path.open("rb"))


def check_owner(hdfs: Hdfs, settings: Settings, ledger: Ledger, server: str) -> None:
    """Refuse a server's master dataset that another ledger owns; claim one that is new."""
    current = owner(hdfs, settings, server)
    if current is None:
        claim(hdfs, settings, ledger, server)
    elif current != ledger.uuid:
        raise ClickstreamError(
            f"the master dataset of {server} at {settings.hdfs.master} belongs to another ledger",
            "use the home it was made with; where that is lost: clickstream ingest ledger rebuild",
        )


def claim(hdfs: Hdfs, settings: Settings, ledger: Ledger, server: str) -> None:
    """Record beside the master dataset that this ledger owns the server's lines."""
    hdfs.write(owner_path(settings, server), [ledger.uuid.encode()])


def owner(hdfs: Hdfs, settings: Settings, server: str) -> str | None:
    """The UUID of the ledger that owns a server's lines; None where there is none yet."""
    path = owner_path(settings, server)
    if hdfs.stat(path) is None:
        return None
    with hdfs.open(path) as stream:
        return stream.read().decode()


def owner_path(settings: Settings, server: str) -> str:
    """The path of the file with the UUID of the ledger that owns a server's lines.

    Readers of the master dataset pass by names that begin with `_`.
    """
    return f"{settings.hdfs.master}/{_OWNER_FILE}.{server}"


@contextmanager
def locked(settings: Settings, server: str) -> Iterator[None]:
    """One spooler per server of a home: ClickstreamError names the pid of another one."""
    busy = f"another replay or follow of {server} is already running in this home"
    lock = settings.files.spooler_lock(server)
    with exclusive(lock, busy, "wait for it, or end it"):
        yield
