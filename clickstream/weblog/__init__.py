"""The log line: what is valid, what its fields are, and the stamp that identifies it.

The expressions of FORMATS are one family, made of the same pieces. They are written in the subset
on which Python and Java agree (explicit classes, possessive quantifiers, a negative look-ahead for
the end) and are rendered from here into Flume's extractor and Spark's SQL. Every engine sees the
bytes as ISO-8859-1.

Formats: Common, Combined and vhost_combined, as Apache httpd's mod_log_config documents them.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import NamedTuple, cast

from clickstream.errors import BadInput

MAX_LINE_BYTES = 262_144
BACKSLASH = ord("\\")
SNIFFED_LINES = 1000
STAMP_VERSION = "v1"
NO_TIME = b"-"

_END = r"(?![\s\S])"
_DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}"
# No line holds a line feed. With a third character Python makes a bitmap of the class, which is
# what a line's time is spent in: 1.5 instead of 2.1 us per line of 260 bytes.
QUOTED = r'[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+'
"""The text that may stand between quotes."""
# No alternation here: a possessive group that backtracks inside is wrong in Python before 3.11.5.
_USER = rf"(?! \[{_DATE}:)[^ ]*+(?: (?!\[{_DATE}:)[^ ]*+)*+"
_TIME = rf"({_DATE}):([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) ([+-][0-9]{{4}})"
_HEAD = rf"([^ ]++) ([^ ]++) ({_USER}) \[{_TIME}\] "
_FIELDS = rf'{_HEAD}"({QUOTED})" ([0-9]{{3}}) ([0-9]++|-)'
_AGENT = rf' "({QUOTED})" "({QUOTED})"'
# A possessive [^ ]++ would take the port, too: so up to each colon, and then digits.
_VHOST = "[^ ](?:[^ :]*+:)++[0-9]++ "
STAMP = (
    rf"^(?P<version>{STAMP_VERSION}):(?P<server>[A-Za-z0-9._-]++):(?P<file>[0-9a-f]{{16}})"
    r":(?P<offset>[0-9]++)\t(?P<ms>-?[0-9]++)\t(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\t"
)
"""The stamp before the log line of a stamped line; its groups are named (see `grouped`)."""
_GROUP = re.compile(r"\(\?P<(\w+)>")


class Format(NamedTuple):
    """A log format: `line` is the regular expression of a whole line.

    Its groups: 1 host, 2 ident, 3 user, 4 date, 5 hour, 6 minute, 7 second, 8 zone, 9 request,
    10 status, 11 size, 12 referer, 13 agent (the last two may be absent). `stamped` is that of a
    whole valid stamped line; its group 1 is the version, group 2 the printed date. `compiled` is
    `line`; `timed` is the same with the printed time as its only group. `simple` is quicker: if a
    line without BACKSLASH, but with its line end, matches it, then it matches `timed`, too; a valid
    line may fail it.
    """

    name: str
    line: str
    stamped: str
    compiled: re.Pattern[bytes]
    timed: re.Pattern[bytes]
    simple: re.Pattern[bytes]


def _format(name: str, line: str) -> Format:
    first, second, third = (_ungrouped(part) for part in re.split(rf"({re.escape(_TIME)})", line))
    timed = f"{first}({second}){third}"
    # Up to one character Python scans several times as fast as up to one of a class, and hardly any
    # user has a space in his name: 0.5 instead of 1.3 us per line of 260 bytes.
    simple = timed.replace(QUOTED, '[^"]*+').replace(_USER, "[^ ]++").replace(_END, "\r?+\n")
    stamped = grouped(STAMP, ("version", "day")) + _ungrouped(line)
    compiled = (re.compile(each.encode()) for each in (line, timed, simple))
    return Format(name, line, stamped, *compiled)


def grouped(expression: str, wanted: Collection[str]) -> str:
    """The expression with plain groups for the names wanted, and none for its other names."""
    return _GROUP.sub(lambda found: "(" if found[1] in wanted else "(?:", expression)


def groups(expression: str) -> list[str]:
    """The names of its groups, in order."""
    return _GROUP.findall(expression)


def _ungrouped(expression: str) -> str:
    return re.sub(r"\((?!\?)", "(?:", expression)


COMMON = _format("common", f"{_FIELDS}{_END}")
COMBINED = _format("combined", f"{_FIELDS}(?:{_AGENT})?+{_END}")
"""Common or Combined: the wider of the plain formats, in which both are read."""
VHOST_COMBINED = _format("vhost_combined", f"{_VHOST}{_FIELDS}{_AGENT}{_END}")
"""Combined behind a column `virtual host:port`; the visitor is still the host."""
FORMATS = {each.name: each for each in (COMMON, COMBINED, VHOST_COMBINED)}

REQUEST = (
    r"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://[^/?# ]*+)?+(/[^/?# ]*+)?+[^ ]*+"
    rf" HTTP/[0-9](?:\.[0-9])?+{_END}"
)
"""A request line; group 1 is the first path segment, absent where the target is no path."""

BAD_REQUEST = "(bad-request-line)"
NOT_A_PATH = "(not-a-path)"

_HEAD_ONLY = re.compile((_HEAD + '"').encode())
_TIME_ONLY = re.compile(_HEAD.encode())
_REQUEST_QUOTED = re.compile(rf'{QUOTED}" '.encode())
_STATUS = re.compile(rb"[0-9]{3} (?:[0-9]++|-)(?![^ ])")
_REQUEST = re.compile(REQUEST)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_NAMED = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\Z")
_PORT = re.compile(r":[0-9]+\Z")
_MONTHS = {
    name: number
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()


class InvalidLine(BadInput):
    """A line that is not valid; `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a valid log line: {reason}")
        self.reason = reason


REASONS = (
    "blank",
    "too-long",
    "binary",
    "other-format",
    "impossible-time",
    "bad-quoting",
    "bad-status",
    "not-a-log-line",
)


class Entry(NamedTuple):
    """A valid line. Text is ISO-8859-1 of the bytes; `instant` is UTC, in epoch seconds.

    `day` (yyyy-mm-dd), `hour` and `minute` are the wall clock as printed. `vhost` (host:port) only
    in VHOST_COMBINED.
    """

    host: str
    ident: str
    user: str
    day: str
    hour: int
    minute: int
    instant: int
    request: str
    status: str
    size: str
    referer: str | None
    agent: str | None
    vhost: str | None = None


class Verdict(NamedTuple):
    """The spooler's judgement of a line.

    `reason` is None for a valid one. Where the line has no possible time, `day` is None and
    `instant` 0. `stamp` (epoch ms, TAB, day) goes between the id and the raw line.
    """

    reason: str | None
    day: str | None
    instant: int
    stamp: bytes


def parse(raw: bytes, form: Format = COMBINED) -> Entry:
    """The fields of a line without its line end; raises InvalidLine."""
    match = form.compiled.match(raw)
    reason = judge(raw, form).reason
    if match is None or reason is not None:
        raise InvalidLine(reason or "")
    time = cast(Verdict, valid_at(raw[match.start(4) : match.end(8)]))
    text = [None if g is None else g.decode("iso-8859-1") for g in match.groups()]
    host, ident, user, _, hour, minute, _, _, request, status, size, *quoted = text
    referer, agent = quoted or (None, None)
    return Entry(
        str(host),
        str(ident),
        str(user),
        str(time.day),
        int(str(hour)),
        int(str(minute)),
        time.instant,
        str(request),
        str(status),
        str(size),
        referer,
        agent,
        raw[: match.start(1) - 1].decode("iso-8859-1") if match.start(1) else None,
    )


def judge(raw: bytes, form: Format = COMBINED) -> Verdict:
    """Tell whether a line is valid, and its time: all that the spooler needs, and quick."""
    match = form.timed.match(raw)
    if match is not None and len(raw) <= MAX_LINE_BYTES:
        return valid_at(match[1]) or _UNTIMED["impossible-time"]
    return _judge_invalid(raw)


def category(request: str) -> str:
    """The first path segment of a request line's target, or what stands for its absence."""
    match = _REQUEST.match(request)
    if match is None:
        return BAD_REQUEST
    return match[1] or NOT_A_PATH


def status_class(status: str) -> str:
    """`success` (2xx, 3xx), `failure` (4xx, 5xx) or `other`."""
    return {"2": "success", "3": "success", "4": "failure", "5": "failure"}.get(status[0], "other")


def line_id(server: str, file: str, offset: int) -> str:
    """The identity of a line: server, the log's 16 hex digits, the byte offset in the log."""
    return f"{STAMP_VERSION}:{server}:{file}:{offset}"


def stamp(server: str, file: str, offset: int, raw: bytes, form: Format = COMBINED) -> bytes:
    """The stamped line: id, epoch ms, printed date and the raw line, split by TABs; no line end."""
    identity = line_id(server, file, offset).encode()
    return b"%s\t%s\t%s" % (identity, judge(raw, form).stamp, raw)


def reader(form: Format) -> Format:
    """The format in which the stored lines of a server with this format are read.

    Two formats with the same reader may be exchanged at any time; others may not, once there are
    valid lines: a vhost_combined line passes as a combined one with its columns shifted.
    """
    return VHOST_COMBINED if form is VHOST_COMBINED else COMBINED


def sql_segment(request: str) -> str:
    """Spark SQL: what `sql_category` needs of a column of request lines.

    A step of its own, in a query of its own: within one query Spark evaluates the expression again
    at every mention (22 against 11 CPU seconds per million lines).
    """
    return f"regexp_replace({request}, r'^{REQUEST}', '\\n$1')"


def sql_category(segment: str) -> str:
    """Spark SQL: the category, from a column of `sql_segment`."""
    return (
        f"CASE WHEN {segment} = '\\n' THEN '{NOT_A_PATH}' WHEN startswith({segment}, '\\n')"
        f" THEN substr({segment}, 2) ELSE '{BAD_REQUEST}' END"
    )


def sniff(lines: Iterable[bytes], name: str, form: Format = COMBINED) -> None:
    """Refuse a log whose first column is a virtual host: it would pass as the visitor.

    Looks at the first SNIFFED_LINES lines; no log of a server that is VHOST_COMBINED is refused.
    Raises BadInput.
    """
    seen = shifted = vhosts = 0
    for _, raw in zip(range(SNIFFED_LINES), lines, strict=False):
        match = COMBINED.compiled.match(raw)
        if match is not None:
            seen += 1
            shifted += _is_address(match[2].decode("latin-1"), match[1].decode("latin-1"))
            vhosts += VHOST_COMBINED.timed.match(raw) is not None
    if shifted * 2 > seen and form is not VHOST_COMBINED:
        raise BadInput(
            f"{name} looks like the vhost_combined format: in {shifted} of {seen} lines the second"
            " column is an address, so the virtual host would be counted as the visitor",
            'its server needs format = "vhost_combined" in the configuration'
            if vhosts * 2 > shifted
            else f"log with one of the formats {', '.join(FORMATS)}, or cut the first column off",
        )


def _is_address(ident: str, host: str) -> bool:
    try:
        ipaddress.ip_address(ident.strip("[]"))
    except ValueError:
        return bool(_PORT.search(host) and _NAMED.match(ident))
    return True


@lru_cache(maxsize=65_536)
def valid_at(printed: bytes) -> Verdict | None:
    """The verdict of a valid line that shows `dd/Mon/yyyy:HH:MM:SS +zzzz`.

    None where no such time exists.
    """
    date, hour, minute, rest = printed.split(b":")
    second, zone = rest.split(b" ")
    day, month, year = date.split(b"/")
    offset_minutes = int(zone[1:3]) * 60 + int(zone[3:])
    clock = (int(hour), int(minute), int(second), int(zone[1:3]), int(zone[3:]))
    if any(value > limit for value, limit in zip(clock, (23, 59, 59, 23, 59), strict=True)):
        return None
    try:
        printed_day = datetime.date(int(year), _MONTHS[month], int(day))
    except (ValueError, KeyError):
        return None
    wall = (printed_day.toordinal() - _EPOCH_DAY) * 86_400 + clock[0] * 3600 + clock[1] * 60
    sign = -1 if zone[:1] == b"-" else 1
    instant = wall + clock[2] - sign * offset_minutes * 60
    iso = printed_day.isoformat()
    return Verdict(None, iso, instant, b"%d\t%s" % (instant * 1000, iso.encode()))


_UNTIMED = {reason: Verdict(reason, None, 0, NO_TIME + b"\t" + NO_TIME) for reason in REASONS}


def _judge_invalid(raw: bytes) -> Verdict:
    """Of a line that does not have the form: whatever that is, so is the time that it shows."""
    if (time := _time_in_another_format(raw)) is not None:
        return time._replace(reason="other-format")
    reason = _reason(raw)
    match = _TIME_ONLY.match(raw)
    time = valid_at(raw[match.start(4) : match.end(8)]) if match else None
    return time._replace(reason=reason) if time else _UNTIMED[reason]


def _time_in_another_format(raw: bytes) -> Verdict | None:
    """The verdict of a line that is valid in any of our formats."""
    if len(raw) > MAX_LINE_BYTES:
        return None
    found = (form.timed.match(raw) for form in (COMBINED, VHOST_COMBINED))  # COMMON is in the first
    return next((time for match in found if match and (time := valid_at(match[1]))), None)


def _reason(raw: bytes) -> str:
    """The reason why a line is not valid; its time is checked before its quoting."""
    if len(raw) > MAX_LINE_BYTES:
        return "too-long"
    return next((reason for reason, matches in _REASON_TESTS if matches(raw)), "not-a-log-line")


def _impossible(raw: bytes) -> bool:
    match = _TIME_ONLY.match(raw)
    return match is not None and valid_at(raw[match.start(4) : match.end(8)]) is None


def _bad_status(raw: bytes) -> bool:
    head = _HEAD_ONLY.match(raw)
    request = _REQUEST_QUOTED.match(raw, head.end()) if head else None
    return request is not None and _STATUS.match(raw, request.end()) is None


_REASON_TESTS: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    ("blank", lambda raw: not raw.strip()),
    ("impossible-time", _impossible),
    ("bad-status", _bad_status),
    ("bad-quoting", _HEAD_ONLY.match),
    ("binary", _BINARY.search),
)
