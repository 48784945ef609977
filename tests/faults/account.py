"""The independent count: what the stores hold, held against the bytes of the logs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clickstream import master
from clickstream.clients import kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.ledger import VALID, Ledger
from tests.faults.logs import Log
from tests.stack.stores import identity

SAMPLE = 50

Key = tuple[str, str]
Copies = dict[Key, dict[int, list[bytes]]]


class Account(NamedTuple):
    """Everything that a home ever replayed. `lost`, `doubled` and `altered` must be 0.

    `lost`: lines that are missing in Kafka, in the master dataset, in the quarantine or in the
    ledger. `doubled`: ids that no line of the logs has (or that stand where they should not), and
    lines that the ledger counts too often. `altered`: copies that differ from the log's bytes.
    Extra copies under the same id are allowed. `problems` are other things left wrong.
    """

    lines: int
    lost: int
    doubled: int
    altered: int
    copies: int
    problems: list[str]


NOTHING = Account(0, 0, 0, 0, 0, [])


def take(settings: Settings, logs: Iterable[Log]) -> Account:
    """Count the home, which has nothing on its way, against all its logs."""
    by_server: dict[str, list[Log]] = defaultdict(list)
    for log in logs:
        by_server[log.server].append(log)
    topic = _copies(record.value for record in kafka.consume(settings))
    torn: list[str] = []
    master = _copies(closed(settings, settings.hdfs.master, torn))
    quarantine = _copies(closed(settings, settings.hdfs.quarantine, torn))
    count: Counter[str] = Counter()
    claimed = claim({*topic, *master, *quarantine}, (topic, master, quarantine), by_server)
    for key, log in claimed.items():
        valid = {offset: log.lines[offset] for offset in log.valid} if log else {}
        rest = {o: raw for o, raw in log.lines.items() if o not in valid} if log else {}
        for found, wanted in ((topic, valid), (master, valid), (quarantine, rest)):
            count += compare(found.get(key, {}), wanted)
    found_logs = {id(log) for log in claimed.values()}
    missing = (log for each in by_server.values() for log in each if id(log) not in found_logs)
    count["lost"] += sum(len(log.lines) for log in missing)
    count += _ledger_counts(settings, by_server)
    return Account(
        sum(len(log.lines) for each in by_server.values() for log in each),
        *(count[name] for name in ("lost", "doubled", "altered", "copies")),
        [*torn, *overtaken(topic), *_left_behind(settings)],
    )


def overtaken(topic: Copies) -> list[str]:
    """Lines that came to the topic first behind a later one of their log.

    The speed layer takes what lies below a file's highest offset for a copy: it would lose them.
    """
    counts = {key: _behind(offsets) for key, offsets in topic.items()}
    return [f"{server}/{file}: {n} lines overtaken" for (server, file), n in counts.items() if n]


def _behind(offsets: Iterable[int]) -> int:
    highest, behind = -1, 0
    for offset in offsets:
        behind += offset < highest
        highest = max(highest, offset)
    return behind


def _copies(stamped: Iterable[bytes]) -> Copies:
    found: Copies = defaultdict(lambda: defaultdict(list))
    for line in stamped:
        server, file, offset = identity(line)
        found[server, file][offset].append(line.split(b"\t", 3)[3])
    return found


def closed(settings: Settings, root: str, torn: list[str]) -> Iterator[bytes]:
    """The files that a batch job would see: those with a final name, as long as the NameNode says.

    Those that are not whole are listed in `torn`.
    """
    hdfs = Hdfs.connect(settings)
    for entry in hdfs.walk(root):
        if entry.name.startswith(("_", ".")) or "/_" in entry.path:
            continue
        with hdfs.open(entry.path) as stream:
            content = stream.read()
        *whole, rest = content[: entry.size].split(b"\n")
        if rest:
            torn.append(f"{entry.path} ends within a line: {rest[:200]!r}")
        if len(content) != entry.size:
            torn.append(f"{entry.path} is not closed: {entry.size} of {len(content)} bytes")
        yield from whole


def claim(
    keys: set[Key], stores: tuple[Copies, ...], by_server: dict[str, list[Log]]
) -> dict[Key, Log | None]:
    """Which log each file identity stands for; None for one that no log, or a taken one, claims.

    By content, for what identity a log has is the product's choice.
    """
    free = {server: list(logs) for server, logs in by_server.items()}
    claimed: dict[Key, Log | None] = {}
    for key in sorted(keys):
        sample = [
            (offset, copies[0])
            for store in stores
            for offset, copies in list(store.get(key, {}).items())[:SAMPLE]
        ]
        logs = free.get(key[0], [])
        best = max(logs, key=lambda log: _alike(log, sample), default=None)
        claimed[key] = best if best and _alike(best, sample) else None
        if claimed[key]:
            logs.remove(claimed[key])
    return claimed


def _alike(log: Log, sample: list[tuple[int, bytes]]) -> int:
    return sum(log.lines.get(offset) == raw for offset, raw in sample)


def compare(found: dict[int, list[bytes]], wanted: dict[int, bytes]) -> Counter[str]:
    """The lines lost, doubled, altered and copied of one file in one store, by offset."""
    return Counter(
        {
            "lost": len(wanted.keys() - found.keys()),
            "doubled": len(found.keys() - wanted.keys()),
            "altered": sum(
                raw != wanted[offset]
                for offset, copies in found.items()
                if offset in wanted
                for raw in copies
            ),
            "copies": sum(len(copies) - 1 for copies in found.values()),
        }
    )


def _ledger_counts(settings: Settings, by_server: dict[str, list[Log]]) -> Counter[str]:
    count: Counter[str] = Counter()
    with Ledger.open(settings.files.ledger) as ledger:
        for server, logs in by_server.items():
            totals = ledger.totals(server)
            valid = sum(len(log.valid) for log in logs)
            rest = sum(len(log.lines) for log in logs) - valid
            for counted, true in ((totals[VALID], valid), (totals.total() - totals[VALID], rest)):
                count["doubled"] += max(0, counted - true)
                count["lost"] += max(0, true - counted)
    return count


def _left_behind(settings: Settings) -> list[str]:
    hdfs = Hdfs.connect(settings)
    still_open = [f"{entry.path} is still open" for entry in master.in_use(hdfs, settings)]
    spools = (settings.files.spool(server) for server in settings.servers)
    chunks = [f"{path.name} lies in the spool" for spool in spools for path in spool.glob("*.log*")]
    return still_open + chunks
