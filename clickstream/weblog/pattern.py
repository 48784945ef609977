"""The expressions of a log line: one family, made of the same pieces.

They are written in the subset on which Python and Java agree (explicit classes, possessive
quantifiers, a negative look-ahead for the end) and are rendered from here into Flume's extractor
and Spark's SQL. Every engine sees the bytes as ISO-8859-1.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from clickstream.weblog.clients import CLIENT, NO_ADDRESS, NO_COLUMN

STAMP_VERSION = "v1"
END = r"(?![\s\S])"
# No line holds a line feed. With a third character Python makes a bitmap of the class, which is
# what a line's time is spent in: 1.5 instead of 2.1 us per line of 260 bytes.
QUOTED = r'[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+'
"""The text that may stand between quotes."""


def _id(server_size: str, offset_size: str) -> str:
    return (
        rf"^(?P<version>{STAMP_VERSION}):(?P<server>[A-Za-z0-9._-]{server_size})"
        rf":(?P<file>[0-9a-f]{{16}}):(?P<offset>[0-9]{offset_size})"
    )


_DAY = r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
STAMP = rf"{_id('++', '++')}\t(?P<ms>-?[0-9]++)\t{_DAY}\t"
"""The stamp before the log line of a valid stamped line; its groups are named (see `grouped`)."""
MAX_SERVER_CHARS, MAX_OFFSET_DIGITS = 255, 18
"""A longer server or offset is none: a row's key has no room for it, nor a number."""
STORED_ID = _id(f"{{1,{MAX_SERVER_CHARS}}}+", f"{{1,{MAX_OFFSET_DIGITS}}}+")
"""The id of any stored line, valid or not."""
STORED_STAMP = rf"{STORED_ID}\t(?:(?P<ms>-?[0-9]{{1,18}}+)\t{_DAY}|-\t-)"
"""The stamp of any stored line, up to the TAB before the log line; dated or not."""

MARK = r"(?:\xef\xbb\xbf)?+"
"""A byte order mark, with which some editors begin a file; no column holds it."""
_DATE = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}"
_AT = rf"\[{_DATE}:"
# No alternation here: a possessive group that backtracks inside is wrong in Python before 3.11.5.
ANY_USER = rf"(?! {_AT})[^ ]*+(?: (?!{_AT})[^ ]*+)*+"
# An empty column (`-`) is one of several words only where somebody else's words stand beside it.
USER = (
    rf"(?! {_AT})(?!- (?!{_AT})){NO_COLUMN}[^ ]*+"
    rf"(?: (?!{_AT})(?!- {_AT}){NO_COLUMN}[^ ]*+)*+"
)
IDENT = f"{NO_ADDRESS}[^ ]++"
TIME = (
    rf"(?P<date>{_DATE}):(?P<hour>[0-9]{{2}}):(?P<minute>[0-9]{{2}}):(?P<second>[0-9]{{2}})"
    r" (?P<zone>[+-][0-9]{4})"
)


def _head(host: str, ident: str, user: str) -> str:
    return rf"(?P<host>{host}) (?P<ident>{ident}) (?P<user>{user}) \[{TIME}\] "


HEAD, ANY_HEAD = _head(CLIENT, IDENT, USER), _head("[^ ]++", "[^ ]++", ANY_USER)
"""The columns up to the time: as they must be, and with whatever they hold."""
_FIELDS = rf'"(?P<request>{QUOTED})" (?P<status>[0-9]{{3}}) (?P<size>[0-9]++|-)'
_AGENT = rf' "(?P<referer>{QUOTED})" "(?P<agent>{QUOTED})"'
# A possessive [^ ]++ would take the port, too: so up to each colon, and then digits.
_VHOST = "(?P<vhost>[^ ](?:[^ :]*+:)++[0-9]++) "
MORE = rf'(?: (?:"{QUOTED}"|[^ "]++))+'
"""Fields behind the last one of a format."""
_GROUP = re.compile(r"\(\?P<(\w+)>")


@dataclass(frozen=True)
class Format:
    """A log format: `line` is the regular expression of a whole line.

    Its groups are named: host, ident, user, date, hour, minute, second, zone, request, status, size
    and, where the format has them, vhost, referer, agent. `stamped` is that of a whole valid
    stamped line; its group 1 is the version, group 2 the printed date. `reading` gives the same
    groups of stored lines, which were valid when they were stored, even under looser rules.
    The other expressions are compiled when they are first used: few commands read a line, and all
    of them together take longer than a report.
    """

    name: str
    line: str
    reading: str
    stamped: str
    timed_line: str
    simple_line: str
    loose_line: str
    longer_line: str

    @cached_property
    def compiled(self) -> re.Pattern[bytes]:
        """Compiled `line`."""
        return re.compile(self.line.encode())

    @cached_property
    def timed(self) -> re.Pattern[bytes]:
        """The same with the printed time as its only group."""
        return re.compile(self.timed_line.encode())

    @cached_property
    def simple(self) -> re.Pattern[bytes]:
        """Quicker: if a line without BACKSLASH, but with its line end, matches it, then it matches
        `timed`, too; a valid line may fail it.
        """
        return re.compile(self.simple_line.encode())

    @cached_property
    def loose(self) -> re.Pattern[bytes]:
        """A line whose columns hold anything."""
        return re.compile(self.loose_line.encode())

    @cached_property
    def longer(self) -> re.Pattern[bytes]:
        """A line that goes on behind its last field."""
        return re.compile(self.longer_line.encode())


def build(name: str, line: str, reading: str, longer: str, loose: str = "") -> Format:
    """A format of its expressions, whose groups are named; see Format."""
    before, _, after = line.partition(TIME)
    timed = f"{grouped(before, ())}({grouped(TIME, ())}){grouped(after, ())}"
    # Up to one character Python scans several times as fast as up to one of a class, and hardly any
    # user has a space in his name: 0.5 instead of 1.3 us per line of 260 bytes.
    simple = timed.replace(QUOTED, '[^"]*+').replace(USER, f"(?:-|{NO_ADDRESS}[^ ]++)")
    simple = simple.replace(IDENT, "[^ .:]++").replace(END, "\r?+\n")
    # Without the mark: to look for one costs 1 us per line, and hardly any line has one.
    line, timed, reading, longer, loose = (
        MARK + each for each in (line, timed, reading, longer, loose or reading)
    )
    stamped = grouped(STAMP, ("version", "day")) + grouped(line, ())
    return Format(name, line, reading, stamped, timed, simple, loose, longer)


def grouped(expression: str, wanted: Collection[str]) -> str:
    """The expression with plain groups for the names wanted, and none for its other names."""
    return _GROUP.sub(lambda found: "(" if found[1] in wanted else "(?:", expression)


def of_utf8(expression: str) -> str:
    """The expression for an engine that has decoded the line as UTF-8, as Flume's extractor does.

    Its classes leave out ASCII only, and so fit either way; a mark is one character there.
    """
    return expression.replace(MARK, r"\x{FEFF}?+")


def groups(expression: str) -> list[str]:
    """The names of its groups, in order."""
    return _GROUP.findall(expression)


_PLAIN_READING = f"{ANY_HEAD}{_FIELDS}(?:{_AGENT})?+{END}"
COMMON = build("common", f"{HEAD}{_FIELDS}{END}", _PLAIN_READING, f"{HEAD}{_FIELDS}{MORE}{END}")
COMBINED = build(
    "combined",
    f"{HEAD}{_FIELDS}(?:{_AGENT})?+{END}",
    _PLAIN_READING,
    f'{HEAD}{_FIELDS}(?:{_AGENT}|(?! ")){MORE}{END}',
)
"""Common or Combined: the wider of the plain formats, in which both are read."""
VHOST_COMBINED = build(
    "vhost_combined",
    f"{_VHOST}{HEAD}{_FIELDS}{_AGENT}{END}",
    f"{_VHOST}{ANY_HEAD}{_FIELDS}{_AGENT}{END}",
    f"{_VHOST}{HEAD}{_FIELDS}{_AGENT}{MORE}{END}",
)
"""Combined behind a column `virtual host:port`; the visitor is still the host."""
