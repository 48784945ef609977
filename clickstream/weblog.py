"""The log line: what is valid, what its fields are, and the stamp that identifies it.

`LINE` is the one regular expression. It is written in the subset on which Python and Java agree
(explicit classes, possessive quantifiers, a negative look-ahead for the end) and is rendered from
here into Flume's extractor and Spark's SQL. Every engine sees the bytes as ISO-8859-1.

Format: the Common and the Combined Log Format, as Apache httpd's mod_log_config documents them.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from clickstream.errors import BadInput

MAX_LINE_BYTES = 262_144
SNIFFED_LINES = 1000
STAMP_VERSION = "v1"
NO_TIME = b"-"

_END = r"(?![\s\S])"
_DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}"
_QUOTED = r'[^"\\]*+(?:\\[\s\S][^"\\]*+)*+'
# No alternation here: a possessive group that backtracks inside is wrong in Python before 3.11.5.
_USER = rf"(?! \[{_DATE}:)[^ ]*+(?: (?!\[{_DATE}:)[^ ]*+)*+"
_HEAD = (
    rf"([^ ]++) ([^ ]++) ({_USER}) "
    rf"\[({_DATE}):([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) ([+-][0-9]{{4}})\] "
)
_AGENT = rf' "({_QUOTED})" "({_QUOTED})"'

LINE = rf'{_HEAD}"({_QUOTED})" ([0-9]{{3}}) ([0-9]++|-)(?:{_AGENT})?+{_END}'
"""Groups: 1 host, 2 ident, 3 user, 4 date, 5 hour, 6 minute, 7 second, 8 zone, 9 request,
10 status, 11 size, 12 referer, 13 agent (the last two only in the Combined format)."""

REQUEST = (
    r"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://[^/?# ]*+)?+(/[^/?# ]*+)?+[^ ]*+"
    rf" HTTP/[0-9](?:\.[0-9])?+{_END}"
)
"""A request line; group 1 is the first path segment, absent where the target is no path."""

STAMPED = (
    rf"^({STAMP_VERSION}):[A-Za-z0-9._-]++:[0-9a-f]{{16}}:[0-9]++\t-?[0-9]++\t"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})\t" + re.sub(r"\((?!\?)", "(?:", LINE)
)
"""A whole valid stamped line; group 1 is the version, group 2 the printed date."""

BAD_REQUEST = "(bad-request-line)"
NOT_A_PATH = "(not-a-path)"

_LINE = re.compile(LINE.encode())
_HEAD_ONLY = re.compile((_HEAD + '"').encode())
_TIME_ONLY = re.compile(_HEAD.encode())
_REQUEST_QUOTED = re.compile(rf'{_QUOTED}" '.encode())
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


class Reject(BadInput):
    """A line that is not valid; `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a valid log line: {reason}")
        self.reason = reason


REASONS = (
    "blank",
    "too-long",
    "binary",
    "impossible-time",
    "bad-quoting",
    "bad-status",
    "not-a-log-line",
)


class Entry(NamedTuple):
    """A valid line. Text is ISO-8859-1 of the bytes; `instant` is UTC, in epoch seconds.

    `day` (yyyy-mm-dd), `hour` and `minute` are the wall clock as printed.
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


class Verdict(NamedTuple):
    """What the spooler notes of a line.

    `reason` is None for a valid one. Where the line has no possible time, `day` is None and
    `instant` 0. `stamp` (epoch ms, TAB, day) goes between the id and the raw line.
    """

    reason: str | None
    day: str | None
    instant: int
    stamp: bytes


def parse(raw: bytes) -> Entry:
    """The fields of a line without its line end; raises Reject."""
    match = _LINE.match(raw)
    if match is None or len(raw) > MAX_LINE_BYTES:
        raise Reject(_reason(raw))
    time = _time(raw[match.start(4) : match.end(8)])
    if time is None:
        raise Reject("impossible-time")
    text = [None if g is None else g.decode("iso-8859-1") for g in match.groups()]
    host, ident, user, _, hour, minute, _, _, request, status, size, referer, agent = text
    return Entry(
        str(host),
        str(ident),
        str(user),
        time.day,
        int(str(hour)),
        int(str(minute)),
        time.instant,
        str(request),
        str(status),
        str(size),
        referer,
        agent,
    )


def judge(raw: bytes) -> Verdict:
    """Whether a line is valid, and its time: all that the spooler needs, and quick."""
    match = _LINE.match(raw)
    if match is not None and len(raw) <= MAX_LINE_BYTES:
        time = _time(raw[match.start(4) : match.end(8)])
        if time is not None:
            return time.valid
        return _UNTIMED["impossible-time"]
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


def stamp(server: str, file: str, offset: int, raw: bytes) -> bytes:
    """The stamped line: id, epoch ms, printed date and the raw line, split by TABs; no line end."""
    return b"%s\t%s\t%s" % (line_id(server, file, offset).encode(), judge(raw).stamp, raw)


def sql_line(line: str) -> str:
    """Spark SQL: array [host, dd/Mon/yyyy, hour, minute, status, request] of a column of lines.

    Anything but a valid line gives an array of one element. Fields are split at line feeds, which
    no line can hold; a TAB can stand in a host.
    """
    return f"split(regexp_replace({line}, r'^{LINE}', '$1\\n$4\\n$5\\n$6\\n$10\\n$9'), '\\n')"


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


def sniff(lines: Iterable[bytes], name: str) -> None:
    """Refuse a log in the vhost_combined format: its first column would pass as the visitor.

    Looks at the first SNIFFED_LINES lines. Raises BadInput.
    """
    seen = shifted = 0
    for _, raw in zip(range(SNIFFED_LINES), lines, strict=False):
        match = _LINE.match(raw)
        if match is not None:
            seen += 1
            shifted += _is_address(match[2].decode("latin-1"), match[1].decode("latin-1"))
    if shifted * 2 > seen:
        raise BadInput(
            f"{name} looks like the vhost_combined format: in {shifted} of {seen} lines the second"
            " column is an address, so the virtual host would be counted as the visitor",
            "log with the common or combined format, or cut the first column off",
        )


def _is_address(ident: str, host: str) -> bool:
    try:
        ipaddress.ip_address(ident.strip("[]"))
    except ValueError:
        return bool(_PORT.search(host) and _NAMED.match(ident))
    return True


class _Time(NamedTuple):
    day: str
    instant: int
    valid: Verdict


@lru_cache(maxsize=65_536)
def _time(printed: bytes) -> _Time | None:
    """`dd/Mon/yyyy:HH:MM:SS +zzzz` -> its day and instant, or None where no such time exists."""
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
    return _Time(iso, instant, Verdict(None, iso, instant, _time_stamp(instant, iso)))


def _time_stamp(instant: int, day: str) -> bytes:
    return b"%d\t%s" % (instant * 1000, day.encode())


_UNTIMED = {reason: Verdict(reason, None, 0, NO_TIME + b"\t" + NO_TIME) for reason in REASONS}


def _judge_invalid(raw: bytes) -> Verdict:
    reason = _reason(raw)
    match = _TIME_ONLY.match(raw)
    time = _time(raw[match.start(4) : match.end(8)]) if match else None
    if time is None:
        return _UNTIMED[reason]
    return Verdict(reason, time.day, time.instant, time.valid.stamp)


def _reason(raw: bytes) -> str:
    """Why a line is not valid. Its time is looked at before its quoting, as a reader would."""
    if len(raw) > MAX_LINE_BYTES:
        return "too-long"
    return next((reason for reason, found in _SIGNS if found(raw)), "not-a-log-line")


def _impossible(raw: bytes) -> bool:
    match = _TIME_ONLY.match(raw)
    return match is not None and _time(raw[match.start(4) : match.end(8)]) is None


def _bad_status(raw: bytes) -> bool:
    head = _HEAD_ONLY.match(raw)
    request = _REQUEST_QUOTED.match(raw, head.end()) if head else None
    return request is not None and _STATUS.match(raw, request.end()) is None


_SIGNS: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    ("blank", lambda raw: not raw.strip()),
    ("impossible-time", _impossible),
    ("bad-status", _bad_status),
    ("bad-quoting", _HEAD_ONLY.match),
    ("binary", _BINARY.search),
)
