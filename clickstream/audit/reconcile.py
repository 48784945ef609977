"""The comparison of an audit: the ledger's counts against those of each store. Pure.

A line that is missing is *in flight* while something may still bring it, else it is lost.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from clickstream.audit.job import ALTERED, BOTH, NO_STAMP, RANGES
from clickstream.ledger import UNDATED, VALID, Count, LogFile
from clickstream.pruned import NOTHING, Pruned
from clickstream.rows import ALL, Row, Rows

COLUMNS = (
    *("server", "file", "day", "source", "ledger", "valid", "invalid", "rejects", "pruned"),
    *("kafka", "master", "quarantine", "batch"),
    *("kafka_copies", "master_copies", "quarantine_copies", "problem"),
)
TABLE = (
    *("server", "file", "day", "source", "ledger", "valid", "invalid", "pruned", "kafka"),
    *("master", "quarantine", "batch", "copies", "problem"),
)
_COPIES = ("kafka_copies", "master_copies", "quarantine_copies")
_SUMMED = ("ids", "kafka", "master", "quarantine", "drained", *_COPIES)
_LEFT = "left "
"""Before the name of a number: that of the days which are not pruned, so that all must be there."""

Log = tuple[str, str]


class LedgerState(NamedTuple):
    """The ledger's side: logs, their lines by day and reason, drained rejects by log.

    `in_flight` says for a server what may still bring lines to the stores; "" where nothing does.
    """

    files: list[LogFile]
    counts: list[Count]
    drained: Mapping[Log, list[int]]
    in_flight: Mapping[str, str]


class Stores(NamedTuple):
    """The stores' side: the rows of the Spark job, the lines of the source logs, the batch views.

    `cut`: servers whose Kafka partition begins after its first record. `sources` is None for a
    log that was removed or replaced. `batch` holds (server, day) of the days computed from
    the very files that are there. `pruned` says what nobody is to miss.
    """

    rows: Rows
    cut: frozenset[str] = frozenset()
    sources: Mapping[Log, int | None] = {}
    batch: Mapping[tuple[str, str], int] = {}
    pruned: Pruned = NOTHING


class Audit(NamedTuple):
    """Rows as COLUMNS names them (and `copies`, their sum), problems, and what else is to be said.

    A problem names server, file, day and, where they are known, the offsets.
    """

    rows: Rows
    problems: list[str]
    notes: list[str]


class Range(NamedTuple):
    """Neighbouring lines of a log with one fault; `lines` of them, from offset to offset."""

    first: int
    last: int
    lines: int


def compare(ledger: LedgerState, stores: Stores, whole: bool) -> Audit:
    """A row per server, log and day; `whole`: all days were read, so gaps can be found."""
    sums = _sums(ledger.counts, stores)
    for log in ledger.files if whole else ():
        sums[log.server, log.file, ALL].update()
    rows = [
        _row(key, sums[key], stores) | {"problem": _problem(key, sums[key], ledger, stores)}
        for key in sorted(sums, key=_order)
    ]
    rows = _with_offsets(rows, ledger, stores, whole)
    problems = [f"{r['server']} {r['file']} {r['day']}: {r['problem']}" for r in rows]
    wrong = [text for text, row in zip(problems, rows, strict=True) if row["problem"]]
    return Audit(rows, wrong, [])


def log_faults(log: LogFile | None, pieces: Rows, in_flight: str, whole: bool = True) -> list[str]:
    """The problems of a log by offset, from its rows: a sentence for each kind."""
    lost = f"in flight ({in_flight})" if in_flight else "missing"
    if log is None:
        first, stop = min(row["first"] for row in pieces), max(row["stop"] for row in pieces)
        ids = sum(row["ids"] for row in pieces)
        return [f"the ledger does not know it: {ids} lines at {first}-{stop}"]
    problems = _holes(log, pieces, lost) if whole else []
    return problems + [
        _fault_text(fault, ranges, lost) for fault, ranges in _ranges(pieces).items()
    ]


def _holes(log: LogFile, pieces: Rows, lost: str) -> list[str]:
    """Where lines and what the ledger knows of the log do not fit together."""
    crlf = 2 * sum(row["crlf"] for row in pieces) > sum(row["ids"] for row in pieces)
    gaps = list(_gaps(log, pieces, 2 if crlf else 1))
    texts = {
        f"{lost} in every store, bytes": [_span(a, b - 1) for a, b in gaps if a < b],
        "a line begins within another, at": [_span(b, b) for a, b in gaps if a >= b],
        "lines beyond the end that the ledger knows, bytes": [
            _span(log.bytes, row["stop"]) for row in pieces if row["stop"] > log.bytes
        ],
    }
    return [f"{text} {_listed(spans)}" for text, spans in texts.items() if spans]


def _sums(counts: list[Count], stores: Stores) -> dict[tuple[str, str, str], Counter[str]]:
    """(server, file, day) -> numbers by column; also per log, and per server and day."""
    sums: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for server, file, day, numbers in (*_in_ledger(counts), *_in_stores(stores.rows)):
        removed = _is_pruned(stores.pruned, server, file, day)
        left = {} if removed else {f"{_LEFT}{name}": n for name, n in numbers.items()}
        for key in ((server, file, day), (server, file, ALL), (server, ALL, day)):
            sums[key].update(numbers)
            sums[key].update(left)
    return sums


def _is_pruned(pruned: Pruned, server: str, file: str, day: str) -> bool:
    return day in pruned.days or (day == UNDATED and (server, file) in pruned.undated)


def _in_ledger(counts: list[Count]) -> Iterator[tuple[str, str, str, dict[str, int]]]:
    for server, file, day, reason, lines in counts:
        name = "valid" if reason == VALID else f"reject {reason}"
        yield server, file, day, {name: lines}


def _in_stores(pieces: Rows) -> Iterator[tuple[str, str, str, dict[str, int]]]:
    for row in pieces:
        if row["file"] == NO_STAMP:
            numbers = {"master": row["m"], "quarantine": row["q"], "kafka": row["k"]}
        else:
            numbers = {name: row[name] for name in _SUMMED}
        yield row["server"], row["file"], row["day"], numbers


def _order(key: tuple[str, str, str]) -> tuple[str, bool, str, bool, str]:
    server, file, day = key
    return server, file == ALL, file, day != ALL, day


def _row(key: tuple[str, str, str], sums: Counter[str], stores: Stores) -> Row:
    server, file, day = key
    rejects, left = _rejects(sums), sum(_rejects(sums, _LEFT).values())
    ledger = sums["valid"] + sum(rejects.values())
    return {
        "server": server,
        "file": file,
        "day": day,
        "source": stores.sources.get((server, file)) if day == ALL else None,
        "ledger": ledger,
        "valid": sums["valid"],
        "invalid": sum(rejects.values()),
        "rejects": ", ".join(f"{reason}={n}" for reason, n in rejects.items()),
        "pruned": ledger - sums[f"{_LEFT}valid"] - left,
        **{name: sums[name] for name in ("kafka", "master", "quarantine")},
        "batch": stores.batch.get((server, day)) if file == ALL else None,
        **{name: sums[name] for name in _COPIES},
        "copies": sum(sums[name] for name in _COPIES),
    }


def _rejects(sums: Counter[str], of: str = "") -> dict[str, int]:
    prefix = f"{of}reject "
    return {
        name.removeprefix(prefix): sums[name]
        for name in sorted(sums)
        if name.startswith(prefix) and sums[name]
    }


def _problem(
    key: tuple[str, str, str], sums: Counter[str], ledger: LedgerState, stores: Stores
) -> str:
    server, file, day = key
    if file == NO_STAMP:
        return _unstamped(sums)
    if file == ALL:
        computed = stores.batch.get((server, day))
        if computed is None or computed == sums["master"]:
            return ""
        return f"the master dataset has {sums['master']} lines, the batch views count {computed}"
    return _mismatch(sums, server in stores.cut, ledger.in_flight.get(server, ""))


def _unstamped(sums: Counter[str]) -> str:
    stores = {"the master dataset": "master", "the quarantine": "quarantine", "Kafka": "kafka"}
    counts = (f"{sums[key]} in {store}" for store, key in stores.items() if sums[key])
    return f"lines without a stamp: {', '.join(counts)}"


def _mismatch(sums: Counter[str], cut: bool, in_flight: str) -> str:
    """The counts that differ, but for pruned days.

    A drained reject stands in the master dataset and the quarantine.
    """
    invalid, valid = sum(_rejects(sums, _LEFT).values()), sums[f"{_LEFT}valid"]
    rejected = sums[f"{_LEFT}quarantine"] - sums[f"{_LEFT}drained"]
    pairs = {
        f"valid {valid}, in the master dataset": (valid, sums[f"{_LEFT}master"]),
        f"invalid {invalid}, in the quarantine": (invalid, rejected),
    }
    if not cut:
        pairs[f"valid {valid}, in Kafka"] = valid, sums[f"{_LEFT}kafka"]
    differing = [f"{text} {held}" for text, (expected, held) in pairs.items() if expected != held]
    return "; ".join(differing) + (f" (in flight: {in_flight})" if differing and in_flight else "")


def _with_offsets(rows: Rows, ledger: LedgerState, stores: Stores, whole: bool) -> Rows:
    """The rows; the problem of a log as a whole is named by offset where that is known."""
    logs = {(log.server, log.file): log for log in ledger.files}
    pieces: dict[Log, Rows] = defaultdict(list)
    for piece in sorted(stores.rows, key=lambda piece: int(piece["bucket"])):
        pieces[piece["server"], piece["file"]].append(piece)

    def problem(row: Mapping[str, Any]) -> str:
        key = row["server"], row["file"]
        if row["day"] != ALL or row["file"] in (ALL, NO_STAMP):
            return str(row["problem"])
        in_flight = ledger.in_flight.get(row["server"], "")
        gapless = whole and not row["pruned"]
        faults = log_faults(logs.get(key), pieces[key], in_flight, gapless)
        return "; ".join(_source(row) + (faults or _count_problem(row["problem"], pieces[key])))

    return [row | {"problem": problem(row)} for row in rows]


def _source(row: Mapping[str, Any]) -> list[str]:
    if row["source"] in (None, row["ledger"]):
        return []
    return [f"the source log has {row['source']} lines, the ledger {row['ledger']}"]


def _count_problem(problem: str, pieces: Rows) -> list[str]:
    """A count that differs without a gap: a blank line of a log looks like the CR of a CRLF."""
    spots = [_span(offset - 1, offset - 1) for row in pieces for offset in row["doubtful"]]
    if not problem or not spots:
        return [problem] if problem else []
    return [problem, f"perhaps the blank line at {_listed(spots)}"]


def _gaps(log: LogFile, pieces: Rows, end: int) -> Iterator[tuple[int, int]]:
    """[start, stop) in bytes that no line covers; start >= stop where lines overlap.

    `end` is how long this log's line ends are, mostly.
    """
    inner = [(gap["before"] + end, gap["offset"]) for row in pieces for gap in row["missing"]]
    at = -end
    outer = []
    for first, stop in _edges(pieces):
        if first - at not in (1, 2):
            outer.append((at + end, first))
        at = stop
    if at < log.bytes and log.bytes - at not in ((0,) if log.open_tail else (1, 2)):
        outer.append((at + end, log.bytes))
    yield from sorted(inner + outer)


def _edges(pieces: Rows) -> Iterator[tuple[int, int]]:
    """Where each bucket of a log begins and ends, in order."""
    buckets: dict[int, Rows] = defaultdict(list)
    for piece in pieces:
        buckets[piece["bucket"]].append(piece)
    for rows in buckets.values():
        yield min(row["first"] for row in rows), max(row["stop"] for row in rows)


def _ranges(pieces: Rows) -> dict[str, list[Range]]:
    """The ranges of lines with a fault, by fault; their two ends may lie in rows of two days."""
    ends: dict[tuple[int, int], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in pieces:
        for each in row["wrong"]:
            key = row["bucket"], each["run"]
            ends[key] |= {name: each for name in ("starts", "ends") if each[name]}
    ranges: dict[str, list[Range]] = defaultdict(list)
    for _, pair in sorted(ends.items()):
        first, last = pair["starts"], pair["ends"]
        lines = last["position"] - first["position"] + 1
        ranges[first["fault"]].append(Range(first["offset"], last["offset"], lines))
    return ranges


def _fault_text(fault: str, ranges: list[Range], lost: str) -> str:
    text = fault if fault in (ALTERED, BOTH) else f"{lost} in the {fault}".replace("the K", "K")
    lines = sum(each.lines for each in ranges)
    spans = [_span(each.first, each.last) for each in ranges]
    return f"{text}: {lines} line{'s' * (lines > 1)} at {_listed(spans)}"


def _span(first: int, last: int) -> str:
    return str(first) if first >= last else f"{first}-{last}"


def _listed(spans: Iterable[str]) -> str:
    every = list(spans)
    return ", ".join(every[:RANGES]) + (", …" if len(every) > RANGES else "")
