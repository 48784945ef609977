"""A log looked at before it is taken: its format, how it reads, and what in it is not valid."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from clickstream import weblog
from clickstream.config import Settings
from clickstream.console.escape import excerpt
from clickstream.errors import BadInput, UsageError
from clickstream.ingest import local_log
from clickstream.ingest.spool import logs
from clickstream.ledger import VALID
from clickstream.rows import Row, Rows
from clickstream.weblog import Format, Proposal, categories, formats
from clickstream.weblog.categories import Categories

COLUMNS = ("part", "name", "lines", "value")
TOO_LONG = "too-long"


class Example(NamedTuple):
    """The first line of its kind: where it begins in the log, its beginning, and all its bytes."""

    offset: int
    raw: bytes
    size: int

    def __str__(self) -> str:
        return f"byte {self.offset}: {excerpt(self.raw, self.size)}"


class Scan(NamedTuple):
    """A log as a format reads it: all its lines, and by reason those that are not valid."""

    lines: int
    invalid: Counter[str]
    examples: dict[str, Example]
    form: Format


class CheckResult(NamedTuple):
    """The result of a check in rows of COLUMNS, and why the log would be refused, if so."""

    rows: Rows
    problem: BadInput | None


def scan(
    opener: logs.Opener, name: str, form: Format, start: int = 0, most: int | None = None
) -> Scan:
    """Judge every line of a log from the byte `start` on, or the `most` first, in bounded memory.

    `start` is where a line begins, or the end of a last line that had no line end yet. Raises
    BadInput for a file that is no text.
    """
    lines, invalid, examples = 0, Counter[str](), dict[str, Example]()
    with logs.plain(opener, name) as stream:
        for line in islice(logs.lines(stream, _begin(stream, start)), most):
            lines += 1
            reason = TOO_LONG if line.big else weblog.judge(line.raw, form).reason
            if reason:
                invalid[reason] += 1
                if reason not in examples:
                    examples[reason] = _example(line)
    return Scan(lines, invalid, examples, form)


def admit(settings: Settings, server: str, opener: logs.Opener, name: str) -> Scan:
    """Scan a whole log that is to be taken for a server; raises BadInput where it cannot be."""
    form = formats.of(settings, server)
    sniff(opener, name, form)
    scanned = scan(opener, name, form)
    if scanned.lines == 0:
        raise BadInput(f"{name} is empty", "there is nothing to put")
    refuse(settings, server, name, scanned, look=see_why(shlex.quote(name), server))
    return scanned


def see_why(file: str, server: str) -> str:
    """The beginning of a hint: look at the file first."""
    return f"see why: clickstream weblog check {file} --server {server}; then "


def sniff(opener: logs.Opener, name: str, form: Format) -> None:
    """`weblog.sniff` of a log."""
    with logs.plain(opener, name) as stream:
        weblog.sniff((line.raw for line in logs.lines(stream)), name, form)


def refuse(
    settings: Settings,
    server: str | None,
    name: str,
    scanned: Scan,
    earlier: Mapping[str, int] = MappingProxyType({}),
    look: str = "",
) -> None:
    """BadInput where more of a server's log is invalid than `replay.max_invalid_percent`.

    `earlier` are the lines of the log, by reason (VALID too), that were taken before; `look` begins
    the hint.
    """
    lines = scanned.lines + sum(earlier.values())
    invalid = scanned.invalid.total() + sum(n for reason, n in earlier.items() if reason != VALID)
    if scanned.invalid and invalid * 100 > settings.replay.max_invalid_percent * lines:
        key = f"servers.{server}.format" if server else "the format of its server"
        reason, example = min(scanned.examples.items(), key=lambda item: item[1].offset)
        why = weblog.explain(example.raw, scanned.form, reason)
        raise BadInput(
            f"{invalid:,} of the {lines:,} lines of {name} are not valid {scanned.form.name} lines"
            f" (the first one: {reason}, {why}; {example})",
            f"{look}set {key}{_better(scanned)}, or take it as it is with a higher"
            " replay.max_invalid_percent: rejects are kept in the quarantine",
        )


def check(
    settings: Settings, file: Path, server: str | None, name: str | None, first: int
) -> CheckResult:
    """Inspect a local log: its format, its first lines field by field, and its rejects.

    It is read in the format named, else in that of the server, else in the one detected. Raises
    UsageError for an unknown server, BadInput for a file that cannot be read.
    """
    chosen = _chosen(settings, server, name)
    with local_log.opened(file) as opener:
        return _checked(settings, file, opener, server, chosen, first)


def _checked(
    settings: Settings,
    file: Path,
    opener: logs.Opener,
    server: str | None,
    chosen: Format | None,
    first: int,
) -> CheckResult:
    detected = detect(opener, str(file))
    reading = chosen or (detected.form if detected else weblog.COMBINED)
    scanned = scan(opener, str(file), reading)
    about = [
        *_detected(detected),
        _row("log", "read as", None, scanned.form.name),
        _row("log", "all", scanned.lines, ""),
        _row("log", "valid", scanned.lines - scanned.invalid.total(), ""),
    ]
    rows = [*about, *_first_lines(opener, str(file), scanned.form, first, settings.categories)]
    rows += _rejects(scanned)
    return CheckResult(rows, _problem(settings, server, opener, str(file), scanned))


def detect(opener: logs.Opener, name: str) -> Proposal | None:
    """The format that fits the first lines best, with how many of them it does; None for none."""
    with logs.plain(opener, name) as stream:
        return weblog.propose(line.raw for line in logs.lines(stream))


def first_day(opener: logs.Opener, name: str, form: Format) -> str:
    """The printed day (yyyy-mm-dd) of the first line that has a possible time, else `undated`."""
    with logs.plain(opener, name) as stream:
        days = (weblog.judge(line.raw, form).day for line in logs.lines(stream))
        return next((day for day in days if day), "undated")


def _begin(stream: BinaryIO, start: int) -> int:
    """Go to where the first line from `start` on begins."""
    logs.skip(stream, start - 1)
    if start and stream.read(1) != b"\n":
        start += len(stream.readline(2))
    return start


def _example(line: logs.Line) -> Example:
    if line.big:
        return Example(line.offset, line.big.read(logs.HEAD_BYTES), line.stop - line.offset)
    return Example(line.offset, line.raw, len(line.raw))


def _better(scanned: Scan) -> str:
    """The format that reads the first line of the commonest kind of rejects, and its client."""
    reason, _ = scanned.invalid.most_common(1)[0]
    found = weblog.propose([scanned.examples[reason].raw])
    if found is None:
        return ""
    client = f" with client = {json.dumps(found.client)}" if found.client else ""
    return f" = {json.dumps(found.format)}{client}"


def _problem(
    settings: Settings, server: str | None, opener: logs.Opener, name: str, scanned: Scan
) -> BadInput | None:
    try:
        sniff(opener, name, scanned.form)
        refuse(settings, server, name, scanned)
    except BadInput as problem:
        return problem
    return None if scanned.lines else BadInput(f"{name} is empty")


def _chosen(settings: Settings, server: str | None, name: str | None) -> Format | None:
    if server is None:
        return _named(name) if name else None
    if name:
        raise UsageError("--server and --as-format exclude each other")
    settings.require_server(server)
    return formats.of(settings, server)


def _named(words: str) -> Format:
    try:
        return weblog.format_of(words)
    except ValueError as error:
        raise UsageError(f"--as-format: {error}") from None


def _row(part: str, name: str, lines: int | None, value: str) -> Row:
    return dict(zip(COLUMNS, (part, name, lines, value), strict=True))


def _detected(found: Proposal | None) -> Rows:
    if found is None:
        return [_row("log", "detected", None, "none")]
    fitting = f"{found.valid:,} of the first {found.lines:,} lines"
    client = [_row("log", "client", None, found.client)] if found.client else []
    return [_row("log", "detected", None, f"{found.format} ({fitting})"), *client]


def _first_lines(
    opener: logs.Opener, name: str, form: Format, first: int, mapping: Categories
) -> Iterator[Row]:
    with logs.plain(opener, name) as stream:
        for number, line in enumerate(islice(logs.lines(stream), first), 1):
            for field, value in _fields(line, form, mapping).items():
                yield _row(f"line {number}", field, None, value)


def _fields(line: logs.Line, form: Format, mapping: Categories) -> dict[str, str]:
    try:
        if line.big:
            raise weblog.InvalidLine(TOO_LONG)
        entry = weblog.parse(line.raw, form)
    except weblog.InvalidLine as error:
        why = weblog.explain(line.raw, form, error.reason)
        return {"reject": f"{error.reason}, {why}; {_example(line)}"}
    fields = entry._asdict() | {"category": categories.of(entry.request, mapping)}
    order = dict.fromkeys(["vhost", *fields])
    return {key: _shown(fields[key]) for key in order if fields[key] is not None}


def _shown(value: str | int) -> str:
    return excerpt(value.encode("iso-8859-1")) if isinstance(value, str) else str(value)


def _rejects(scanned: Scan) -> Rows:
    return [
        _row(
            "rejects", reason, n, f"{weblog.explain(example.raw, scanned.form, reason)}; {example}"
        )
        for reason, n in scanned.invalid.most_common()
        for example in [scanned.examples[reason]]
    ]
