"""Why a line is not valid, in a word and in a sentence; whatever it is, the time that it shows."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from clickstream.weblog import clients
from clickstream.weblog.clock import Verdict, valid_at
from clickstream.weblog.pattern import ANY_HEAD, COMBINED, QUOTED, VHOST_COMBINED, Format

MAX_LINE_BYTES = 262_144
NO_TIME = b"-"
_EMPTY_COLUMN = b"- "
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "blank": "it holds nothing but blanks",
        "too-long": f"it is longer than {MAX_LINE_BYTES:,} bytes",
        "binary": "it holds control characters and is no log line",
        "other-format": "it is a valid line of another format than its server's",
        "not-a-client": "the client's column is neither an address nor a host name",
        "prefix": "somebody else's words stand before it",
        "shifted-columns": "a column before the time holds what belongs to another one",
        "more-fields": "more fields stand behind the last one",
        "impossible-time": "there is no such date or time of day",
        "bad-quoting": "a quoted field is not closed, or holds a bare quote or backslash",
        "bad-status": "after the request there must be a status of three digits, and a size or -",
        "not-a-log-line": "it does not begin as the columns up to the time do",
    }
)
"""Each reason, and what it says of a line."""

_MOST_WORDS = 32
"""How many words may be a prefix: that many are looked behind for a valid line."""
_SHOWN = 80
_HEAD_ONLY = re.compile((ANY_HEAD + '"').encode())
_TIME_ONLY = re.compile(ANY_HEAD.encode())
_REQUEST_QUOTED = re.compile(rf'{QUOTED}" '.encode())
_STATUS = re.compile(rb"[0-9]{3} (?:[0-9]++|-)(?![^ ])")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_WORD = re.compile(rb"[ \t]*+[^ \t]++[ \t]++")

_UNTIMED = {reason: Verdict(reason, None, 0, NO_TIME + b"\t" + NO_TIME) for reason in REASONS}


def untimed(reason: str) -> Verdict:
    """The verdict of an invalid line without a possible time."""
    return _UNTIMED[reason]


def judge_invalid(raw: bytes, form: Format) -> Verdict:
    """The verdict of a line that does not have the form: whatever that is, so is its time."""
    if (time := _time_in_another_format(raw)) is not None:
        return time._replace(reason="other-format")
    reason = _reason(raw, form)
    match = _TIME_ONLY.match(raw)
    time = valid_at(_printed(match)) if match else None
    return time._replace(reason=reason) if time else _UNTIMED[reason]


def explain(raw: bytes, form: Format, reason: str) -> str:
    """What the reason says of this line, in words; of its bytes only what is printable ASCII."""
    match = form.loose.match(raw)
    if reason == "not-a-client" and match:
        return f"the client's column cannot be one: {clients.flaw(match['host'])}"
    if reason == "prefix" and (length := _prefix(raw, form)):
        words = raw[: min(length, _SHOWN)].decode("iso-8859-1").rstrip()
        return f"somebody else's words stand before it: {words!a}"
    if reason == "more-fields" and "(?P<agent>" in form.line:
        return "more fields stand behind the user agent"
    return REASONS[reason]


def _time_in_another_format(raw: bytes) -> Verdict | None:
    """The verdict of a line that is valid in any of our formats."""
    if len(raw) > MAX_LINE_BYTES:
        return None
    found = (form.timed.match(raw) for form in (COMBINED, VHOST_COMBINED))  # COMMON is in the first
    return next((time for match in found if match and (time := valid_at(match[1]))), None)


def _reason(raw: bytes, form: Format) -> str:
    """The reason why a line is not valid; its time is checked before its quoting."""
    if len(raw) > MAX_LINE_BYTES:
        return "too-long"
    tests = (reason for reason, matches in _REASON_TESTS if matches(raw, form))
    return next(tests, "not-a-log-line")


def _printed(match: re.Match[bytes]) -> bytes:
    return match.string[match.start("date") : match.end("zone")]


def _impossible(raw: bytes) -> bool:
    match = _TIME_ONLY.match(raw)
    return match is not None and valid_at(_printed(match)) is None


def _prefix(raw: bytes, form: Format) -> int:
    """The length of what stands before a line that would be valid without; 0 where none would."""
    at = 0
    for _ in range(_MOST_WORDS):
        word = _WORD.match(raw, at)
        if word is None:
            return 0
        at = word.end()
        if raw[at : at + 2] != _EMPTY_COLUMN and form.timed.match(raw[at:]):
            return at
    return 0


def _not_a_client(raw: bytes, form: Format) -> bool:
    match = form.loose.match(raw)
    return match is not None and not clients.is_client(match["host"])


def _list(raw: bytes, form: Format) -> bool:
    match = form.loose.match(raw)
    return match is not None and b"," in match["host"]


def _bad_status(raw: bytes) -> bool:
    head = _HEAD_ONLY.match(raw)
    request = _REQUEST_QUOTED.match(raw, head.end()) if head else None
    return request is not None and _STATUS.match(raw, request.end()) is None


_REASON_TESTS: tuple[tuple[str, Callable[[bytes, Format], object]], ...] = (
    ("blank", lambda raw, _: not raw.strip()),
    ("not-a-client", _list),
    ("prefix", _prefix),
    ("impossible-time", lambda raw, _: _impossible(raw)),
    ("not-a-client", _not_a_client),
    ("shifted-columns", lambda raw, form: form.loose.match(raw)),
    ("more-fields", lambda raw, form: form.longer.match(raw)),
    ("bad-status", lambda raw, _: _bad_status(raw)),
    ("bad-quoting", lambda raw, _: _HEAD_ONLY.match(raw)),
    ("binary", lambda raw, _: _BINARY.search(raw)),
)
