"""A request's category: by a query parameter, by rules, else its first path segment.

Both layers and the tools take the mapping from here: in Spark's SQL and in Python it must be the
same. So a rule's regular expression is written in a subset on which the engines agree: Python's
`re` with ASCII classes and Java's with UNIX_LINES (else `.` and `$` heed U+0085 there). A group
cannot be repeated: Java recurses for each turn, and a long target would end the job.
"""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from clickstream import weblog

LOOKED_AT = 1000
"""Characters of a target that are looked at: what a backtracking expression costs is bounded."""

_PLAIN = r"[A-Za-z0-9 !\"#%&',/:;<=>@_`~-]"
_ESCAPED = r"\\(?:[dDwWsS]|x[0-9A-Fa-f]{2}|[!-/:-@\[-`{-~])"
_MEMBER = rf"(?:[A-Za-z0-9 !\"#$%'()*+,./:;<=>?@_`{{}}]|&(?!&)|{_ESCAPED})"
_ATOM = rf"(?:{_PLAIN}|\.|{_ESCAPED}|\[\^?(?:{_MEMBER}(?:-{_MEMBER})?)+\])"
_REPEATED = r"(?:(?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})\??)?"
_SUBSET = re.compile(rf"(?:\(\?i\))?(?:{_ATOM}{_REPEATED}|\((?:\?[:=!])?|\)\??|[|^$])*", re.ASCII)


def _agreed(match: str) -> str:
    taken = _SUBSET.match(match)
    end = taken.end() if taken else 0
    if end < len(match):
        raise ValueError(
            f"{match[end:][:12]!r} cannot stand in a rule at character {end + 1}: it is read"
            " differently by Python and Java, or repeats a group"
        )
    try:
        re.compile(match, re.ASCII)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return match


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("a name holds printable characters only")
    return name


class Rule(BaseModel):
    """Targets in which `match` is found are of the category `name`."""

    model_config = ConfigDict(extra="forbid")

    match: Annotated[str, Field(min_length=1), AfterValidator(_agreed)]
    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class Categories(BaseModel):
    """The mapping. The query parameter's value, where it has one, goes before the rules; the first
    rule that is found goes before the first path segment.
    """

    model_config = ConfigDict(extra="forbid")

    parameter: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]*$")] = ""
    rules: list[Rule] = []

    @property
    def fingerprint(self) -> str:
        """16 hex digits that differ where the mapping does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


PLAIN = Categories()
"""The first path segment only."""


def of(request: str, mapping: Categories = PLAIN) -> str:
    """The category of a request line, as text of ISO-8859-1, nothing in it decoded."""
    plain = weblog.category(request)
    if plain == weblog.BAD_REQUEST:
        return plain
    target = request.split(" ")[1][:LOOKED_AT]
    value = re.match(_value_of(mapping.parameter), target) if mapping.parameter else None
    if value:
        return value[1]
    found = (rule for rule in mapping.rules if re.search(rule.match, target, re.ASCII))
    return next((_bytes_of(rule.name) for rule in found), plain)


def sql(segment: str, request: str, mapping: Categories = PLAIN) -> str:
    """Spark SQL: the category, from columns of `weblog.sql_segment` and of request lines."""
    plain = weblog.sql_category(segment)
    target = f"substr(split_part({request}, ' ', 2), 1, {LOOKED_AT})"
    found = [plain]
    if mapping.rules:
        cases = (
            f" WHEN {target} RLIKE {_literal(f'(?d){rule.match}')}"
            f" THEN {_literal(_bytes_of(rule.name))}"
            for rule in mapping.rules
        )
        found.insert(0, f"CASE{''.join(cases)} END")
    if mapping.parameter:
        value = f"regexp_extract({target}, {_literal(_value_of(mapping.parameter))}, 1)"
        found.insert(0, f"nullif({value}, '')")
    mapped = f"coalesce({', '.join(found)})"
    return f"if(startswith({segment}, '\\n'), {mapped}, {plain})" if found[1:] else plain


def _value_of(parameter: str) -> str:
    """The first value that is not empty, as it stands; no group is repeated here either."""
    return rf"^[^?#]*\?(?:[^#]*?&)??{re.escape(parameter)}=([^&#]+)"


def _bytes_of(name: str) -> str:
    """Categories are text that stands for bytes; a name's are those of UTF-8."""
    return name.encode().decode("iso-8859-1")


def _literal(text: str) -> str:
    r"""A string of Spark SQL; by escapes alone, for in quotes it would replace ${...} and :name."""
    return (
        "'" + "".join(c if c.isalnum() and c.isascii() else f"\\u{ord(c):04x}" for c in text) + "'"
    )
