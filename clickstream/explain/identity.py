"""A line by its id, through every stage: what each holds of it. Nothing is changed.

A stage that cannot be asked says so, and the others answer.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from clickstream import master, pruned, weblog
from clickstream.clients import kafka
from clickstream.clients.hdfs import Entry, Hdfs
from clickstream.config import Settings
from clickstream.console.escape import excerpt
from clickstream.errors import ClickstreamError, NoData, UsageError
from clickstream.explain import line as lines
from clickstream.explain.line import Explanation
from clickstream.ingest import in_flight
from clickstream.ingest.spool import logs, spooler
from clickstream.ingest.spool.chunks import Spool
from clickstream.ledger import UNDATED, VALID, Ledger, LogFile
from clickstream.speed import position
from clickstream.views.batch import BatchViews, DayInputs
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.counts import IP

STAGES = ("stage", "state", "where", "note")
HERE, ABSENT, UNKNOWN = "here", "absent", "unknown"
SPOOLED, CLOSED, OPEN = "spooled", "closed file", "open file"
KNOWN = (HERE, SPOOLED, CLOSED, OPEN)
_ID = re.compile(rf"{weblog.STAMP_VERSION}:([A-Za-z0-9._-]+):([0-9a-f]{{16}}):([0-9]{{1,18}})\Z")

Watch = Callable[[str], None]


class LineId(NamedTuple):
    """The identity of a line: its server, its log's 16 hex digits, its byte offset there."""

    server: str
    file: str
    offset: int

    @property
    def stamp(self) -> bytes:
        """What a stamped line begins with, the TAB too."""
        return f"{weblog.line_id(*self)}\t".encode()


class Stage(NamedTuple):
    """What a stage holds of a line: `state` is HERE, ABSENT, UNKNOWN or the stage's own word."""

    stage: str
    state: str
    where: str = ""
    note: str = ""


class Copy(NamedTuple):
    """An occurrence in the topic; `fresh`: no record before it had its offset or a higher one."""

    partition: int
    offset: int
    written_ms: int
    fresh: bool


class Stored(NamedTuple):
    """An occurrence in a file in HDFS, `times` times there."""

    entry: Entry
    times: int
    open: bool


class Way(NamedTuple):
    """A line's way: the line itself, explained, where it could be read; and its stages."""

    id: str
    raw: str | None
    line: Explanation | None
    stages: list[Stage]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        told = {"id": self.id, "raw": self.raw, "line": self.line and self.line.as_dict()}
        return told | {"stages": [stage._asdict() for stage in self.stages]}


def parse(text: str) -> LineId:
    """From `v1:server:file:offset`; raises UsageError."""
    found = _ID.match(text)
    if not found:
        raise UsageError(
            f"{text!r} is no id of a line", "write it as v1:weblog1:0123456789abcdef:1234"
        )
    return LineId(found[1], found[2], int(found[3]))


def trace(settings: Settings, wanted: LineId, watch: Watch = lambda _: None) -> Way:
    """Follow a line through ledger, spool, topic, files and views; `watch` gets each stage.

    Raises UsageError for an unknown server, NoData where no stage knows it.
    """
    settings.require_server(wanted.server)
    tracer = _Tracer(settings, wanted, watch)
    stages = [stage for part in tracer.parts() for stage in part]
    found = {stage.state for stage in stages if stage.stage not in ("source", "channels")}
    if not found & {*KNOWN, UNKNOWN}:
        raise NoData(f"no stage knows the line {weblog.line_id(*wanted)}")
    shown = None if tracer.raw is None else excerpt(tracer.raw)
    return Way(weblog.line_id(*wanted), shown, tracer.line, stages)


class _Tracer:
    """Asks stage after stage; what an earlier one knows helps the later ones to look."""

    def __init__(self, settings: Settings, wanted: LineId, watch: Watch) -> None:
        self._settings = settings
        self._id = wanted
        self._watch = watch
        self._log: LogFile | None = None
        self._days: list[str] = []
        self._copies: list[Copy] | None = None
        self._stored: list[Stored] = []
        self.raw: bytes | None = None
        self.line: Explanation | None = None

    def parts(self) -> Iterator[list[Stage]]:
        """The stages, in the order in which a line travels."""
        reads: dict[str, Callable[[], list[Stage]]] = {
            "ledger": self._ledger,
            "source": self._source,
            "spool": self._spool,
            "channels": self._channels,
            "topic": self._topic,
            "master dataset": partial(self._files, "master dataset"),
            "quarantine": partial(self._files, "quarantine"),
            "batch views": self._batch,
            "speed layer": self._speed,
        }
        for name, read in reads.items():
            self._watch(f"asking: {name}")
            try:
                yield read()
            except ClickstreamError as error:
                yield [Stage(name, UNKNOWN, "", error.message)]

    def _ledger(self) -> list[Stage]:
        path = self._settings.files.ledger
        if not path.is_file():
            return [Stage("ledger", ABSENT, "", "this home has no ledger")]
        with Ledger.open(path) as ledger:
            known = (log for log in ledger.files(self._id.server) if log.file == self._id.file)
            self._log = next(known, None)
            counts = [each for each in ledger.counts(self._id.server) if each.file == self._id.file]
            again = tuple(self._id) in set(ledger.reprocessed(self._id.server))
        self._days = sorted({each.day for each in counts if each.reason == VALID} - {UNDATED})
        if self._log is None:
            return [Stage("ledger", ABSENT, "", "it knows no such log of this server")]
        if self._id.offset >= self._log.bytes:
            end = f"only the first {self._log.bytes:,} bytes of the log were spooled"
            return [Stage("ledger", "not spooled", self._log.path, end)]
        note = "a reject that was reprocessed as valid" if again else ""
        return [Stage("ledger", SPOOLED, self._log.path, note)]

    def _source(self) -> list[Stage]:
        if self._log is None:
            return [Stage("source", UNKNOWN, "", "the ledger does not say where it was read")]
        try:
            self.raw = _line_at(self._settings, self._log.path, self._id.offset)
        except (OSError, ClickstreamError) as error:
            return [Stage("source", UNKNOWN, self._log.path, f"cannot be read: {error}")]
        if self.raw is None:
            return [Stage("source", ABSENT, self._log.path, "no line begins at this offset")]
        self._explain()
        return [Stage("source", HERE, self._log.path, f"at byte {self._id.offset:,}")]

    def _explain(self) -> None:
        if self.raw is not None and self.line is None:
            self.line = lines.explain(self._settings, self.raw, self._id.server)

    def _spool(self) -> list[Stage]:
        path = self._settings.files.ledger
        chunks = []
        if path.is_file():
            with Ledger.open(path) as ledger:
                chunks = ledger.open_chunks(self._id.server)
        spool = Spool(self._settings.files.spool(self._id.server))
        for chunk in chunks:
            if chunk.file == self._id.file and chunk.start <= self._id.offset < chunk.stop:
                state = {"completed": "taken by its agent"}.get(spool.state(chunk), "waiting")
                return [Stage("spool", state, chunk.name)]
        return [Stage("spool", ABSENT, "", "no chunk that waits has it")]

    def _channels(self) -> list[Stage]:
        agents = (self._settings.servers[self._id.server].agent, self._settings.collector)
        stages = []
        for agent in agents:
            held = in_flight.held(self._settings, agent)
            if held is None:
                stages.append(Stage("channels", UNKNOWN, agent, "it does not run, may hold lines"))
            elif held:
                stages.append(Stage("channels", UNKNOWN, agent, f"may be among {held:,} events"))
        return stages or [Stage("channels", ABSENT, ", ".join(agents), "the channels are empty")]

    def _topic(self) -> list[Stage]:
        partition = kafka.partition_of(self._settings, self._id.server)
        self._copies = list(_copies(self._settings, self._id, partition, self._keep_raw))
        where = [f"partition {each.partition}, offset {each.offset}" for each in self._copies]
        if not where:
            return [Stage("topic", ABSENT, self._settings.kafka.topic)]
        copies = f"and {len(where) - 1} copies" if where[1:] else ""
        return [Stage("topic", HERE, where[0], copies)]

    def _keep_raw(self, value: bytes) -> None:
        if self.raw is None:
            self.raw = value.split(b"\t", 3)[-1]
            self._explain()

    def _files(self, place: str) -> list[Stage]:
        hdfs = Hdfs.connect(self._settings)
        server = f"server={self._id.server}"
        if place == "quarantine":
            directories = [f"{self._settings.hdfs.quarantine}/{server}"]
        else:
            root = self._settings.hdfs.master
            directories = [f"{root}/dt={day}/{server}" for day in self._printed_days()]
        found = [
            each for path in directories for each in _in_files(hdfs, self._settings, path, self._id)
        ]
        if place == "quarantine":
            return [_file_stage(place, each) for each in found] or [Stage(place, ABSENT)]
        self._stored += found
        absent = Stage(place, ABSENT, "", self._pruned(hdfs))
        return [_file_stage(place, each) for each in found] or [absent]

    def _pruned(self, hdfs: Hdfs) -> str:
        """Of the days that the line may be of, those that were pruned, in words."""
        removed = pruned.read(hdfs, self._settings).days & {*self._printed_days()}
        return f"{', '.join(sorted(removed))} was pruned" if removed else ""

    def _printed_days(self) -> list[str]:
        """The day of the line; where that is not known, those of the valid lines of its log."""
        if self.line is None:
            return self._days
        return [self.line.day] if self.line.day else []

    def _batch(self) -> list[Stage]:
        closed = [each for each in self._stored if not each.open]
        if not closed:
            return [Stage("batch views", "not counted", "", "no closed file has it")]
        with BatchViews.connect(self._settings, reader=True) as views:
            root = self._settings.hdfs.master
            paths = [each.entry.path.removeprefix(f"{root}/") for each in closed]
            days = sorted({path[3:13] for path in paths})
            inputs, runs = views.inputs(days), {row["date"]: row for row in views.runs(days)}
        return [_batch_stage(path, inputs.get(path[3:13]), runs.get(path[3:13])) for path in paths]

    def _speed(self) -> list[Stage]:
        with RealTime.connect(self._settings, reader=True) as views:
            highest = views.highest(self._id.server, self._id.file)
            second = None if self.line is None else self.line.epoch
            kept = second is None or bool(views.parts(IP, second, second))
        if self._copies is None:
            state = "read" if highest is not None and highest >= self._id.offset else "not read"
            return [Stage("speed layer", state, "", "by the highest offset of its log")]
        read = position.read(self._settings)
        copies = [
            each
            for each in self._copies
            if read is None or each.offset < read.get(each.partition, 0)
        ]
        if not copies:
            note = "the stream has not come to it" if self._copies else "it is not in the topic"
            return [Stage("speed layer", "not counted", "", note)]
        return [self._outcome(copy, highest, second, kept) for copy in copies]

    def _outcome(self, copy: Copy, highest: int | None, second: int | None, kept: bool) -> Stage:
        where = f"offset {copy.offset} of partition {copy.partition}"
        if highest is None or highest < self._id.offset:
            return Stage("speed layer", "skipped", where, "it has counted no such line of its log")
        if not copy.fresh:
            note = "its log was already further: a copy, or a reprocessed reject"
            return Stage("speed layer", "copy", where, note)
        ahead = self._settings.speed.max_ahead_seconds
        if second is not None and (aside := lines.set_aside(second, copy.written_ms / 1000, ahead)):
            return Stage("speed layer", "set aside", where, aside)
        if not kept:
            note = "counted, and removed since (cassandra.ttl_days)"
            return Stage("speed layer", "forgotten", where, note)
        return Stage("speed layer", "counted", where)


def _line_at(settings: Settings, path: str, offset: int) -> bytes | None:
    """The line of a source log that begins at an offset; None where none does."""
    if path.startswith(spooler.LOCAL):
        file = Path(path.removeprefix(spooler.LOCAL))
        opener = cast(logs.Opener, partial(file.open, "rb"))
    else:
        opener = partial(Hdfs.connect(settings).open, path)
    with logs.plain(opener, path) as stream:
        logs.skip(stream, offset - 1)
        if offset and stream.read(1) != b"\n":
            return None
        piece = stream.readline(logs.PIECE_BYTES)
    return logs.chomp(piece) if piece else None


def _copies(
    settings: Settings, wanted: LineId, partition: int, see: Callable[[bytes], None]
) -> Iterator[Copy]:
    """The occurrences of a line in its server's partition, which is read from end to end."""
    log = wanted.stamp.rpartition(b":")[0] + b":"
    highest = -1
    for record in kafka.consume(settings, [partition]):
        if not record.value.startswith(log):
            continue
        digits = record.value[len(log) :].partition(b"\t")[0]
        offset = int(digits) if digits.isdigit() else -1
        if offset == wanted.offset:
            see(record.value)
            yield Copy(partition, record.offset, record.written_ms, offset > highest)
        highest = max(highest, offset)


def _in_files(hdfs: Hdfs, settings: Settings, path: str, wanted: LineId) -> Iterator[Stored]:
    entries = [entry for entry in hdfs.list(path) if not entry.is_dir]
    used = {entry.path for entry in master.among(hdfs, settings, entries)}
    for entry in entries:
        with hdfs.open(entry.path) as stream:
            times = _times(iter(partial(stream.read, logs.BLOCK_BYTES), b""), wanted.stamp)
        if times:
            yield Stored(entry, times, entry.path in used or not master.closed([entry]))


def _times(blocks: Iterator[bytes], stamp: bytes) -> int:
    """How many lines of a stream of blocks begin with the stamp."""
    wanted, tail, found = b"\n" + stamp, b"\n", 0
    for block in blocks:
        text = tail + block
        found += text.count(wanted)
        tail = text[-len(wanted) + 1 :]
    return found


def _file_stage(place: str, stored: Stored) -> Stage:
    note = f"{stored.times} times in it" if stored.times > 1 else ""
    return Stage(place, OPEN if stored.open else CLOSED, stored.entry.path, note)


def _batch_stage(path: str, inputs: DayInputs | None, run: dict[str, Any] | None) -> Stage:
    day = path[3:13]
    if inputs is None or run is None:
        note = "the day is not computed: clickstream batch run"
        return Stage("batch views", "not counted", day, note)
    if path not in {each[0] for each in inputs.files}:
        note = f"its file was closed after the run of {run['finished']}: clickstream batch run"
        return Stage("batch views", "not counted", day, note)
    state = "final" if run["final"] else "provisional"
    return Stage("batch views", "counted", day, f"run of {run['finished']} ({inputs.run}), {state}")
