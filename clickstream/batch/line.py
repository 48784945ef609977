r"""Spark SQL of a stamped line, for a job that reads millions: one expression for all of it.

`weblog.sql_line` and `sql_segment` say the same in steps, of which each makes text of bytes and
bytes of text again, and looks at the line once more. Both give the same verdict and fields.
"""

import itertools
import re
from collections.abc import Collection

from clickstream import weblog
from clickstream.weblog import COMBINED, NOT_A_PATH, QUOTED, STAMP_VERSION, VHOST_COMBINED, Format

_STAMP = (
    rf"^{STAMP_VERSION}:([A-Za-z0-9._-]++):([0-9a-f]{{16}}):([0-9]++)\t-?[0-9]++\t"
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})\t"
)
_OF_TARGET = r'[^/?# "\\\n]*+'
# weblog.REQUEST, quoted, without anything escaped; its group is empty where there is no path.
_REQUEST = (
    rf'"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://{_OF_TARGET})?+((?:/{_OF_TARGET})?+)'
    r'[^ "\\\n]*+ HTTP/[0-9](?:\.[0-9])?+"'
)
_WANTED = (1, 5, 6, 9, 10, 13)  # groups of a Format: host, hour, minute, request, status, agent


def fields(
    text: str, vhosts: Collection[str] = (), agents: bool = False, segments: bool = True
) -> str:
    """Array [day TAB server, visitor, HH:MM status, target, file, offset] of a column of lines.

    Anything but a valid stamped line gives an array of one element. The visitor is the host, or
    with `agents` host, blank, user agent. `target` is the first path segment, empty where there is
    no path; of an unusual request, or if not `segments`, the whole request in its quotes. `vhosts`
    are the servers whose lines are read as VHOST_COMBINED.
    """
    found = _replaced(text, COMBINED, agents, segments)
    if vhosts:
        theirs = " OR ".join(f"startswith({text}, '{STAMP_VERSION}:{name}:')" for name in vhosts)
        other = _replaced(text, VHOST_COMBINED, agents, segments)
        found = f"CASE WHEN {theirs} THEN {other} ELSE {found} END"
    return rf"split({found}, '\n')"


def request(target: str) -> str:
    """The request of a target that is one."""
    return f"substr({target}, 2, length({target}) - 2)"


def category(target: str) -> str:
    """The category of a target: `weblog.category` of its request."""
    unusual = weblog.sql_category(weblog.sql_segment(request(target)))
    return (
        f"CASE WHEN {target} = '' THEN '{NOT_A_PATH}' WHEN startswith({target}, '/') THEN {target}"
        f" ELSE {unusual} END"
    )


def _replaced(text: str, form: Format, agents: bool, segments: bool) -> str:
    numbers = itertools.count(1)
    line = re.sub(r"\((?!\?)", lambda _: "(" if next(numbers) in _WANTED else "(?:", form.line)
    whole = rf'("{QUOTED}")'
    target = f"(?:{_REQUEST}|{whole})" if segments else f"(){whole}"
    line = line.replace(f'"({QUOTED})"', target, 1)
    visitor = "$5 $11" if agents else "$5"
    made = rf"$4\t$1\n{visitor}\n$6:$7 $10\n$8$9\n$2\n$3"
    return f"regexp_replace({text}, r'{_quick(_STAMP + line)}', '{made}')"


def _quick(expression: str) -> str:
    """The same for Java, where a possessive class takes twice the time of a greedy one.

    No class here can match what may follow it, so there is nothing to give back.
    """
    return re.sub(r"([]}][*+])\+", r"\1", expression)
