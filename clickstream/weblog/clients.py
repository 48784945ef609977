"""Who may stand in a client's column: an address or a host name, and nothing else.

Addresses are those of version 4, and of version 6 with or without brackets, with a zone, or with an
address of version 4 at their end; digits may be masked by `x` or `*`. Besides these stand what web
servers write where there is no address: `-`, and `unix:` for a socket. Nothing is repeated without
bound that Java would recurse for, and no possessive group holds an alternation (Python before
3.11.5).
"""

import re
from functools import cache

# Each begins with digits of its own, so Python tries one of them alone: 0.05 us less per line.
_OCTET = "(?:[01][0-9]{0,2}+|2(?:[0-4][0-9]?+|5[0-5]?+|[6-9])?|[3-9][0-9]?+)"
_V4 = rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}"
_PART = "(?:[0-9]{1,2}[xX*]{0,3}|[0-9]{3}|[xX*]{1,3})"
_MASKED = rf"(?=[0-9.]*+[xX*]){_PART}\.{_PART}\.{_PART}\.{_PART}"
_DIGIT = "[0-9A-Fa-fxX*]"
_GROUP = f"{_DIGIT}{{1,4}}"
_V6 = (
    rf"(?:{_GROUP}(?::{_GROUP}){{7}}|{_GROUP}(?::{_GROUP}){{5}}:{_V4}"
    rf"|(?!(?::{{0,2}}{_GROUP}(?!{_DIGIT})){{8}})(?:{_GROUP}(?::{_GROUP}){{0,6}})?"
    rf"::(?:(?:{_GROUP}:){{0,6}}(?:{_V4}|{_GROUP}))?)(?:%[0-9A-Za-z._~-]{{1,64}})?"
)
_LABEL = "[A-Za-z0-9_-]++"
# A name without a letter is a number, a date or an address that is none.
_NAME = rf"(?![0-9._-]++(?![A-Za-z])){_LABEL}(?:\.{_LABEL})*+\.?+"

CLIENT = rf"(?:{_V4}|{_NAME}|{_V6}|\[(?:{_V6}|{_V4})\]|{_MASKED}|unix:|-)"
"""An address, a host name, `-` or `unix:`; never what only begins with one."""
PORT = ":[0-9]{1,5}"

_ADDRESS = (
    r"\[?+(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*+:[0-9A-Fa-f]*+:[0-9A-Fa-f:.]*+)"
    rf"(?:%[^ ]*+)?+\]?+(?:{PORT})?+,?+(?= )"
)
NO_ADDRESS = f"(?!{_ADDRESS})"
"""The word that begins here is neither an address nor a time of day."""
NO_COLUMN = rf"(?!{_ADDRESS}|[^ .]*+\.[^ ]*+ - )"
"""Nor is it a host name with dots before an empty column."""


def is_client(word: bytes) -> bool:
    """Tell whether the word can be a client's column."""
    return _whole().match(word) is not None


def flaw(word: bytes) -> str:
    """The reason, in words, why this cannot be a client."""
    if b"," in word:
        return "it is a list"
    if _whole(PORT).match(word):
        return "a port is behind it"
    return "it is neither an address nor a host name"


@cache
def _whole(end: str = "") -> re.Pattern[bytes]:
    """A whole word; compiling it takes longer than all else that is imported of this package."""
    return re.compile(rf"{CLIENT}{end}(?![\s\S])".encode())
