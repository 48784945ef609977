r"""Spark SQL of a stamped line: one expression for its stamp, its fields and its path segment.

Each step of its own would make text of bytes and bytes of text again, and look at the line once
more. Fields are parted by line feeds, which no line can hold.
"""

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from clickstream import weblog
from clickstream.weblog import (
    COMBINED,
    NOT_A_PATH,
    QUOTED,
    STAMP,
    STAMP_VERSION,
    Format,
)

_OF_TARGET = r'[^/?# "\\\n]*+'
# weblog.REQUEST, quoted, without anything escaped; its group is empty where there is no path.
_REQUEST = (
    rf'"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://{_OF_TARGET})?+'
    rf'(?P<path>(?:/{_OF_TARGET})?+)[^ "\\\n]*+ HTTP/[0-9](?:\.[0-9])?+"'
)
_TARGET = f'(?:{_REQUEST}|(?P<whole>"{QUOTED}"))'
Readings = Mapping[str, Format]
PLAIN_ONLY: Readings = MappingProxyType({})
_NAMED = re.compile(r"{(\w+)}")


def fields(text: str, template: str, readings: Readings = PLAIN_ONLY) -> str:
    r"""An array of strings of a column of stamped lines: `template`, split at its `\n`.

    `template` names its fields in braces: server, file, offset, ms, day (of the stamp), the groups
    of a Format by name, and `target`: the first path segment, empty where there is no path; of an
    unusual request the whole of it in its quotes. Anything but a valid stamped line gives an array
    of one element. What a server's format does not have is empty. `readings` are the formats of the
    servers whose lines are not read as COMBINED.
    """
    result = _replaced(text, template, COMBINED)
    servers: dict[str, list[str]] = {}
    for server, form in readings.items():
        servers.setdefault(_replaced(text, template, form), []).append(server)
    cases = (
        f" WHEN {' OR '.join(map(partial(_of_server, text), names))} THEN {other}"
        for other, names in servers.items()
    )
    result = f"CASE{''.join(cases)} ELSE {result} END" if servers else result
    return rf"split({result}, '\n')"


def _of_server(text: str, server: str) -> str:
    return f"startswith({text}, '{STAMP_VERSION}:{server}:')"


def category(target: str) -> str:
    """The category of a target: `weblog.category` of its request."""
    unusual = weblog.sql_category(weblog.sql_segment(f"substr({target}, 2, length({target}) - 2)"))
    return (
        f"CASE WHEN {target} = '' THEN '{NOT_A_PATH}' WHEN startswith({target}, '/') THEN {target}"
        f" ELSE {unusual} END"
    )


def _replaced(text: str, template: str, form: Format) -> str:
    line = form.reading
    template = template.replace("{target}", "{path}{whole}")
    if "{whole}" in template:
        line = line.replace(f'"(?P<request>{QUOTED})"', _TARGET)
    wanted = _NAMED.findall(template)
    expression = STAMP + line
    order = [name for name in weblog.groups(expression) if name in wanted]
    group = {name: f"${number}" for number, name in enumerate(order, 1)}
    template = _NAMED.sub(lambda match: group.get(match[1], ""), template)
    # Only what is read more loosely than it is judged has nothing that must not be given back.
    quick = _quick if form.reading != form.line else str
    return f"regexp_replace({text}, r'{quick(weblog.grouped(expression, wanted))}', '{template}')"


def _quick(expression: str) -> str:
    """The same for Java, where a possessive class takes twice the time of a greedy one.

    No class here can match what may follow it, so there is nothing to give back.
    """
    return re.sub(r"([]}][*+])\+", r"\1", expression)
