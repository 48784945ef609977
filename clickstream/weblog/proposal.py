"""The format that lines seem to have: one with a name, else the server's words made from a line."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from clickstream.weblog import clients
from clickstream.weblog.clock import valid_at
from clickstream.weblog.known import FORMATS, format_of
from clickstream.weblog.pattern import Format

LOOKED_AT = 1000
_DERIVED = 50
_PIECE = re.compile(
    rb'"(?:[^"\\]|\\.)*"|\[[^\]]*\](?= )|[0-9A-Fa-f.:]+(?:, ?[0-9A-Za-z.:\[\]_-]+)+|[^ ]+'
)
_TIME = re.compile(rb"\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}\]")
_STATUS, _SIZE = re.compile(rb"[0-9]{3}"), re.compile(rb"[0-9]+|-")
_BEHIND = (("$status", _STATUS), ("$body_bytes_sent", _SIZE))
_QUOTED = ("$request", "$http_referer", "$http_user_agent")


class Proposal(NamedTuple):
    """What `format` and `client` of a server should be; how many of the lines are valid then."""

    format: str
    client: str
    form: Format
    valid: int
    lines: int


def propose(lines: Iterable[bytes]) -> Proposal | None:
    """The format that fits the first LOOKED_AT lines best; None where none fits any of them.

    Lines are without their line ends. A format with a name goes before any other that fits no more.
    """
    looked_at = [*islice(lines, LOOKED_AT)]
    derived = Counter(found for raw in looked_at[:_DERIVED] if (found := _words(raw)))
    candidates = [(name, "") for name in FORMATS] + [("combined", "%h")]
    candidates += [found for found, _ in derived.most_common(2)]
    best: Proposal | None = None
    for words, client in candidates:
        try:
            form = format_of(words, client)
        except ValueError:
            continue
        valid = sum(_valid(raw, form) for raw in looked_at)
        if valid > (best.valid if best else 0):
            best = Proposal(words, client, form, valid, len(looked_at))
    return best


def _valid(raw: bytes, form: Format) -> bool:
    match = form.timed.match(raw)
    return match is not None and valid_at(match[1]) is not None


def _words(raw: bytes) -> tuple[str, str] | None:
    """A line in nginx's words, a field for each column, and its client where it is a list."""
    pieces = raw.split(b" ") if b'"' not in raw else _PIECE.findall(raw)
    times = [number for number, piece in enumerate(pieces) if _TIME.fullmatch(piece)]
    others = [number for number in range(len(pieces)) if number not in times]
    if not times or not others:
        return None
    at = times[0]
    hosts = [number for number in others if _is_address(pieces[number])] or others
    names = {number: f"$column_{number + 1}" for number in range(len(pieces))}
    names |= {at: "[$time_local]", hosts[0]: "$remote_addr"}
    if hosts[0] < at - 1:
        names[at - 1] = "$remote_user"
    names |= _behind(pieces, at)
    glued = not clients.is_client(pieces[hosts[0]])
    return " ".join(names[number] for number in sorted(names)), "$remote_addr" if glued else ""


def _is_address(piece: bytes) -> bool:
    first = piece.split(b",")[0]
    return (first.count(b".") == 3 and first[:1].isdigit()) or first.count(b":") > 1


def _behind(pieces: list[bytes], at: int) -> dict[int, str]:
    """The names of the columns behind the time: the quoted ones, the status, the bytes."""
    names, quoted, plain = {}, iter(_QUOTED), iter(_BEHIND)
    wanted = next(plain, None)
    for number in range(at + 1, len(pieces)):
        if pieces[number].startswith(b'"'):
            names[number] = f'"{next(quoted, f"$column_{number + 1}")}"'
        elif wanted and names and wanted[1].fullmatch(pieces[number]):
            names[number], wanted = wanted[0], next(plain, None)
    return names
