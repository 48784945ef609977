"""The log line: what is valid, what its fields are, and the stamp that identifies it.

Formats: Common, Combined and vhost_combined, as Apache httpd's mod_log_config documents them.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from clickstream.errors import BadInput
from clickstream.weblog import reasons
from clickstream.weblog.clock import Verdict, valid_at
from clickstream.weblog.known import FORMATS, format_of
from clickstream.weblog.pattern import (
    COMBINED,
    COMMON,
    END,
    MAX_OFFSET_DIGITS,
    MAX_SERVER_CHARS,
    QUOTED,
    STAMP,
    STAMP_VERSION,
    STORED_ID,
    STORED_STAMP,
    VHOST_COMBINED,
    Format,
    grouped,
    groups,
)
from clickstream.weblog.proposal import Proposal, propose
from clickstream.weblog.reasons import MAX_LINE_BYTES, NO_TIME, REASONS, explain

__all__ = [
    "COMBINED",
    "COMMON",
    "FORMATS",
    "MAX_LINE_BYTES",
    "MAX_OFFSET_DIGITS",
    "MAX_SERVER_CHARS",
    "NO_TIME",
    "QUOTED",
    "REASONS",
    "STAMP",
    "STAMP_VERSION",
    "STORED_ID",
    "STORED_STAMP",
    "VHOST_COMBINED",
    "Format",
    "Proposal",
    "Verdict",
    "explain",
    "format_of",
    "grouped",
    "groups",
    "propose",
    "valid_at",
]

BACKSLASH = ord("\\")
SNIFFED_LINES = 1000

REQUEST = (
    r"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://[^/?# ]*+)?+(/[^/?# ]*+)?+[^ ]*+"
    rf" HTTP/[0-9](?:\.[0-9])?+{END}"
)
"""A request line; group 1 is the first path segment, absent where the target is no path."""

BAD_REQUEST = "(bad-request-line)"
NOT_A_PATH = "(not-a-path)"

_REQUEST = re.compile(REQUEST)
_NAMED = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\Z")
_PORT = re.compile(r":[0-9]+\Z")


class InvalidLine(BadInput):
    """A line that is not valid; `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a valid log line: {reason}")
        self.reason = reason


class Entry(NamedTuple):
    """A valid line. Text is ISO-8859-1 of the bytes; `instant` is UTC, in epoch seconds.

    `day` (yyyy-mm-dd), `hour` and `minute` are the wall clock as printed. What a format does not
    have is None; `vhost` (host:port) is in VHOST_COMBINED only.
    """

    host: str
    ident: str | None
    user: str | None
    day: str
    hour: int
    minute: int
    instant: int
    request: str
    status: str
    size: str | None
    referer: str | None
    agent: str | None
    vhost: str | None = None


def parse(raw: bytes, form: Format = COMBINED) -> Entry:
    """The fields of a line without its line end; raises InvalidLine."""
    match, verdict = form.compiled.match(raw), judge(raw, form)
    if match is None or verdict.reason is not None:
        raise InvalidLine(verdict.reason or "")
    text = {
        name: None if value is None else value.decode("iso-8859-1")
        for name, value in match.groupdict().items()
    }
    return Entry(
        str(text["host"]),
        text.get("ident"),
        text.get("user"),
        str(verdict.day),
        int(str(text["hour"])),
        int(str(text["minute"])),
        verdict.instant,
        str(text["request"]),
        str(text["status"]),
        text.get("size"),
        text.get("referer"),
        text.get("agent"),
        text.get("vhost"),
    )


def judge(raw: bytes, form: Format = COMBINED) -> Verdict:
    """Tell whether a line is valid, and its time: all that the spooler needs, and quick."""
    match = form.timed.match(raw)
    if match is not None and len(raw) <= MAX_LINE_BYTES:
        return valid_at(match[1]) or reasons.untimed("impossible-time")
    return reasons.judge_invalid(raw, form)


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
        match = COMBINED.loose.match(raw)
        if match is not None:
            seen += 1
            shifted += _is_address(
                match["ident"].decode("latin-1"), match["host"].decode("latin-1")
            )
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
