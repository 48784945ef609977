r"""Spark SQL of a stamped line: one expression for its stamp, its fields and its path segment.

Each step of its own would make text of bytes and bytes of text again, and look at the line once
more. Fields are parted by line feeds, which no line can hold.
"""

import re
from collections.abc import Collection

from clickstream import weblog
from clickstream.weblog import (
    COMBINED,
    NOT_A_PATH,
    QUOTED,
    STAMP,
    STAMP_VERSION,
    VHOST_COMBINED,
    Format,
)

_OF_TARGET = r'[^/?# "\\\n]*+'
# weblog.REQUEST, quoted, without anything escaped; its group is empty where there is no path.
_REQUEST = (
    rf'"[A-Z][A-Z0-9_-]*+ (?! )(?:[A-Za-z][A-Za-z0-9+.-]*+://{_OF_TARGET})?+'
    rf'(?P<path>(?:/{_OF_TARGET})?+)[^ "\\\n]*+ HTTP/[0-9](?:\.[0-9])?+"'
)
_TARGET = f'(?:{_REQUEST}|(?P<whole>"{QUOTED}"))'
_NAMED = re.compile(r"{(\w+)}")


def fields(text: str, template: str, vhosts: Collection[str] = ()) -> str:
    r"""An array of strings of a column of stamped lines: `template`, split at its `\n`.

    `template` names its fields in braces: server, file, offset, ms, day (of the stamp), the groups
    of a Format by name, and `target`: the first path segment, empty where there is no path; of an
    unusual request the whole of it in its quotes. Anything but a valid stamped line gives an array
    of one element. `vhosts` are the servers whose lines are read as VHOST_COMBINED.
    """
    result = _replaced(text, template, COMBINED)
    if vhosts:
        theirs = " OR ".join(f"startswith({text}, '{STAMP_VERSION}:{name}:')" for name in vhosts)
        other = _replaced(text, template, VHOST_COMBINED)
        result = f"CASE WHEN {theirs} THEN {other} ELSE {result} END"
    return rf"split({result}, '\n')"


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
    template = _NAMED.sub(lambda match: f"${order.index(match[1]) + 1}", template)
    return f"regexp_replace({text}, r'{_quick(weblog.grouped(expression, wanted))}', '{template}')"


def _quick(expression: str) -> str:
    """The same for Java, where a possessive class takes twice the time of a greedy one.

    No class here can match what may follow it, so there is nothing to give back.
    """
    return re.sub(r"([]}][*+])\+", r"\1", expression)
