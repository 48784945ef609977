"""An independent reader of web logs, for tests: figures that owe nothing to `clickstream`.

It imports nothing of the product and uses no regular expression: a line is walked from left to
right by hand, after the definitions that stand in the truth files of real logs.
"""

from calendar import timegm
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv6Address
from itertools import pairwise
from typing import Any, NamedTuple

ALL = "all"
MAX_LINE_BYTES = 262_144
DIGITS = b"0123456789"
NAME = DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
HEX = DIGITS + b"abcdefABCDEF"
LEAP_JUNES = (72, 81, 82, 83, 85, 92, 93, 94, 97, 112, 115)
LEAP_DECEMBERS = (72, 73, 74, 75, 76, 77, 78, 79, 87, 89, 90, 95, 98, 105, 108, 116)
LEAP_DAYS = {f"{1900 + year}-06-30" for year in LEAP_JUNES}
LEAP_DAYS |= {f"{1900 + year}-12-31" for year in LEAP_DECEMBERS}
MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Malformed(Exception):
    """The line is not strict Common or Combined Log Format of a client."""


class Line(NamedTuple):
    """A well-formed line; text as bytes, `instant` in epoch seconds, the rest as printed."""

    host: bytes
    ident: bytes
    user: bytes
    day: str
    hour: int
    minute: int
    zone: bytes
    instant: int
    request: bytes
    status: str
    size: bytes
    referer: bytes | None
    agent: bytes | None

    @property
    def parts(self) -> tuple[bytes, bytes, bytes] | None:
        """Method, target and protocol; None for a bad request line."""
        return request_parts(self.request)

    @property
    def category(self) -> bytes:
        """The first path segment, or the name of why there is none."""
        return b"(bad-request-line)" if self.parts is None else first_segment(self.parts[1])


class Cursor:
    """A place in a line that only moves right."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0

    def expect(self, token: bytes) -> None:
        """Step over exactly this text."""
        if not self.text.startswith(token, self.at):
            raise Malformed(token)
        self.at += len(token)

    def word(self) -> bytes:
        """One character or more up to a blank, or to the end."""
        end = self.text.find(b" ", self.at)
        return self.up_to(end if end >= 0 else len(self.text))

    def up_to(self, end: int) -> bytes:
        """What stands before that place; never nothing."""
        if end <= self.at:
            raise Malformed("empty")
        start, self.at = self.at, end
        return self.text[start:end]

    def digits(self, count: int) -> int:
        """Exactly so many digits, as a number."""
        piece = self.text[self.at : self.at + count]
        if len(piece) < count or any(char not in DIGITS for char in piece):
            raise Malformed("digits")
        self.at += count
        return int(piece)

    def quoted(self) -> bytes:
        """A quoted field without its quotes; its escapes stay as they are."""
        self.expect(b'"')
        start = self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == ord('"'):
                self.at += 1
                return self.text[start : self.at - 1]
            self.at += 2 if char == ord("\\") else 1
        raise Malformed("open quote")

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self.at == len(self.text)


def split(log: bytes) -> list[bytes]:
    """The lines of a log without their LF; the last one counts without it too."""
    lines = log.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def without_cr(line: bytes) -> bytes:
    """The line without the one CR that belongs to its end."""
    return line[:-1] if line.endswith(b"\r") else line


def parse(line: bytes) -> Line:
    """One line without its end; raises Malformed."""
    if len(line) > MAX_LINE_BYTES:
        raise Malformed("too long")
    cursor = Cursor(line.removeprefix(b"\xef\xbb\xbf"))  # a byte order mark is in no column
    host = cursor.word()
    cursor.expect(b" ")
    ident = cursor.word()
    cursor.expect(b" ")
    user = cursor.up_to(_date_place(cursor.text, cursor.at))
    if not is_client(host) or not _columns(ident, user):
        raise Malformed("columns")
    cursor.expect(b" [")
    wall, zone, instant = _time(cursor)
    cursor.expect(b"] ")
    request = cursor.quoted()
    cursor.expect(b" ")
    status = f"{cursor.digits(3):03}"
    cursor.expect(b" ")
    size = _size(cursor)
    referer, agent = _combined(cursor)
    day = f"{wall.year:04}-{wall.month:02}-{wall.day:02}"
    clock = (day, wall.hour, wall.minute, zone, instant)
    return Line(host, ident, user, *clock, request, status, size, referer, agent)


def is_client(host: bytes) -> bool:
    """Whether it is an address, perhaps with masked digits, or a host name, `-` or `unix:`."""
    if host in (b"-", b"unix:"):
        return True
    if host[:1] == b"[":
        return host[-1:] == b"]" and _is_address(host[1:-1])
    return _is_address(host) or _is_name(host)


def _is_address(host: bytes) -> bool:
    masked = host.translate(bytes.maketrans(b"xX*", b"000")).decode("latin-1")
    parts = host.split(b".")
    if len(parts) == 4 and all(_is_octet(part) for part in parts):
        return True
    try:
        return bool(IPv6Address(masked)) or True
    except ValueError:
        return False


def _is_octet(part: bytes) -> bool:
    digits = part.rstrip(b"xX*")
    if any(char not in DIGITS for char in digits) or not part:
        return False
    if digits == part:
        return len(part) <= 3 and int(part) <= 255
    return len(digits) <= 2 and len(part) - len(digits) <= 3


def _is_name(host: bytes) -> bool:
    labels = host.removesuffix(b".").split(b".")
    if not all(label and all(char in NAME for char in label) for label in labels):
        return False
    return any(bytes([char]).isalpha() for char in host)


def _columns(ident: bytes, user: bytes) -> bool:
    """Whether nobody else's columns stand in these two."""
    words = user.split(b" ")
    if any(_like_an_address(word) for word in [ident, *words]):
        return False
    if len(words) > 1 and b"-" in (words[0], words[-1]):
        return False
    return all(b"." not in one or two != b"-" for one, two in pairwise(words))


def _like_an_address(word: bytes) -> bool:
    """Four numbers or two colons, with whatever is glued to an address."""
    word = word.removeprefix(b"[").removesuffix(b",")
    head, _, port = word.rpartition(b":")
    port_cut = head if 1 <= len(port) <= 5 and all(char in DIGITS for char in port) else word
    for text in (word, port_cut):
        bare = text.removesuffix(b"]").partition(b"%")[0]
        parts = bare.split(b".")
        if len(parts) == 4 and all(
            1 <= len(part) <= 3 and all(char in DIGITS for char in part) for part in parts
        ):
            return True
        if bare.count(b":") > 1 and all(char in HEX + b":." for char in bare):
            first, second, _ = bare.split(b":", 2)
            return b"." not in first + second
    return False


def _date_place(line: bytes, start: int) -> int:
    """Where the first ` [dd/Mon/yyyy:` begins: a user may hold blanks and brackets before it."""
    place = line.find(b" [", start)
    while place >= 0:
        if _dated(line[place + 2 : place + 14]):
            return place
        place = line.find(b" [", place + 1)
    raise Malformed("no time")


def _dated(text: bytes) -> bool:
    shape = b"dd/Mmm/dddd:"
    return len(text) == len(shape) and all(map(_fits, text, shape))


def _fits(char: int, kind: int) -> bool:
    if kind == ord("d"):
        return char in DIGITS
    if kind == ord("M"):
        return ord("A") <= char <= ord("Z")
    if kind == ord("m"):
        return ord("a") <= char <= ord("z")
    return char == kind


def _time(cursor: Cursor) -> tuple[datetime, bytes, int]:
    """The wall clock as printed, the zone as printed, the instant."""
    day = cursor.digits(2)
    cursor.expect(b"/")
    month = cursor.up_to(cursor.at + 3)
    cursor.expect(b"/")
    year = cursor.digits(4)
    clock = []
    for _ in range(3):
        cursor.expect(b":")
        clock.append(cursor.digits(2))
    cursor.expect(b" ")
    zone, offset_s = _zone(cursor)
    leap = clock[2] == 60
    try:
        wall = datetime(year, MONTHS.index(month) + 1, day, *clock[:2], clock[2] - leap)
    except ValueError:
        raise Malformed("no such time") from None
    if leap and f"{wall - timedelta(seconds=offset_s):%Y-%m-%d %T}" not in (
        f"{day} 23:59:59" for day in LEAP_DAYS
    ):
        raise Malformed("no such leap second")
    return wall, zone, timegm(wall.timetuple()) - offset_s + leap


def _zone(cursor: Cursor) -> tuple[bytes, int]:
    start = cursor.at
    sign = cursor.up_to(start + 1)
    hours, minutes = cursor.digits(2), cursor.digits(2)
    if sign not in (b"+", b"-") or hours > 23 or minutes > 59:
        raise Malformed("no such zone")
    seconds = (hours * 60 + minutes) * 60
    return cursor.text[start : cursor.at], seconds if sign == b"+" else -seconds


def _size(cursor: Cursor) -> bytes:
    size = cursor.word()
    if size != b"-" and any(char not in DIGITS for char in size):
        raise Malformed("size")
    return size


def _combined(cursor: Cursor) -> tuple[bytes | None, bytes | None]:
    if cursor.ended:
        return None, None
    cursor.expect(b" ")
    referer = cursor.quoted()
    cursor.expect(b" ")
    agent = cursor.quoted()
    if not cursor.ended:
        raise Malformed("something follows")
    return referer, agent


def request_parts(request: bytes) -> tuple[bytes, bytes, bytes] | None:
    """`METHOD SP target SP HTTP/d[.d]` in its three parts; None where it is not that."""
    parts = request.split(b" ")
    if len(parts) != 3 or not parts[1]:
        return None
    return (parts[0], parts[1], parts[2]) if _method(parts[0]) and _protocol(parts[2]) else None


def _method(word: bytes) -> bool:
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return bool(word) and word[0] in letters and all(c in letters + DIGITS + b"_-" for c in word)


def _protocol(word: bytes) -> bool:
    if not word.startswith(b"HTTP/"):
        return False
    version = word[5:].split(b".")
    return len(version) <= 2 and all(len(part) == 1 and part in DIGITS for part in version)


def first_segment(target: bytes) -> bytes:
    """The category of a target: no decoding, case kept."""
    path = _without_authority(target)
    for mark in (b"?", b"#"):
        path = path.partition(mark)[0]
    if not path.startswith(b"/"):
        return b"(not-a-path)"
    return b"/" + path[1:].partition(b"/")[0]


def _without_authority(target: bytes) -> bytes:
    scheme, colon, rest = target.partition(b"://")
    if not colon or not scheme or not scheme[:1].isalpha():
        return target
    if any(not (bytes([char]).isalnum() or char in b"+-.") for char in scheme):
        return target
    ends = [rest.find(mark) for mark in (b"/", b"?", b"#") if mark in rest]
    return rest[min(ends) :] if ends else b""


def success_class(status: str) -> str:
    """`success`, `failure` or `other`."""
    return {"2": "success", "3": "success", "4": "failure", "5": "failure"}.get(status[0], "other")


class Truth:
    """The figures of some servers' logs: `{"weblog1": log bytes, …}`.

    Where a method takes `server`, "all" means every server together. Categories and hosts are
    bytes; days are "YYYY-MM-DD" as printed; seconds are epoch seconds.
    """

    def __init__(self, logs: Mapping[str, bytes]) -> None:
        self.raw = {server: [without_cr(raw) for raw in split(log)] for server, log in logs.items()}
        self.valid: dict[str, list[Line]] = {}
        self.bad: dict[str, list[tuple[int, bytes]]] = {}
        for server, lines in self.raw.items():
            self.valid[server], self.bad[server] = _sorted_out(lines)

    def of(self, server: str) -> Iterator[Line]:
        """The well-formed lines, in the order of the log."""
        for name, lines in self.valid.items():
            if server in (ALL, name):
                yield from lines

    def lines(self, server: str = ALL) -> int:
        """Lines of any kind."""
        return sum(len(raw) for name, raw in self.raw.items() if server in (ALL, name))

    def malformed(self, server: str = ALL) -> int:
        """Lines that are not well-formed, blank ones included."""
        return sum(len(bad) for name, bad in self.bad.items() if server in (ALL, name))

    def unique_hosts(self, server: str = ALL) -> dict[str, int]:
        """Distinct hosts per day."""
        hosts = defaultdict(set)
        for line in self.of(server):
            hosts[line.day].add(line.host)
        return {day: len(hosts[day]) for day in sorted(hosts)}

    def requests(self, server: str = ALL) -> dict[str, int]:
        """Requests per day."""
        return dict(sorted(Counter(line.day for line in self.of(server)).items()))

    def responses(self, server: str = ALL) -> dict[str, Counter[str]]:
        """Requests per day and class of status."""
        return _by_day((line.day, success_class(line.status)) for line in self.of(server))

    def hours(self, server: str = ALL) -> Counter[int]:
        """Requests per hour of the day, every day together."""
        return Counter(line.hour for line in self.of(server))

    def categories(self, server: str = ALL) -> dict[str, Counter[bytes]]:
        """Requests per day and category."""
        return _by_day((line.day, line.category) for line in self.of(server))

    def minutes(self, server: str = ALL) -> dict[tuple[str, str], Counter[str]]:
        """Requests per (day, "HH:MM") and class of status."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for line in self.of(server):
            minute = f"{line.hour:02}:{line.minute:02}"
            counts[line.day, minute][success_class(line.status)] += 1
        return dict(counts)

    def host_seconds(self) -> Counter[tuple[int, bytes]]:
        """Requests per (second, host), over all servers."""
        return Counter((line.instant, line.host) for line in self.of(ALL))

    def offenders(self, threshold: int = 100) -> dict[tuple[int, bytes], int]:
        """Those (second, host) with more requests than that."""
        counts = self.host_seconds()
        return {key: counts[key] for key in sorted(counts) if counts[key] > threshold}

    def latest(self, server: str = ALL) -> int:
        """The latest event second."""
        return max(line.instant for line in self.of(server))

    def non_200(self, server: str, end: int, window_s: int = 300) -> int:
        """Requests with another status than 200 in (end - window, end]."""
        times = (line.instant for line in self.of(server) if line.status != "200")
        return sum(end - window_s < time <= end for time in times)

    def non_200_peak(self, server: str = ALL, window_s: int = 300) -> tuple[int, int]:
        """The highest trailing count and the earliest second at which it is reached."""
        times = sorted(line.instant for line in self.of(server) if line.status != "200")
        best, start = (0, 0), 0
        for place, end in enumerate(times):
            while times[start] <= end - window_s:
                start += 1
            best = max(best, (place - start + 1, -end))
        return best[0], -best[1]

    def popularity(self, end: int, window_s: int = 300, server: str = ALL) -> Counter[bytes]:
        """Requests per category in (end - window, end]."""
        lines = self.of(server)
        return Counter(line.category for line in lines if end - window_s < line.instant <= end)


def attacks(
    requests: Iterable[tuple[str, int, Any]], limit: int = 100, gap_s: int = 60
) -> Iterator[dict[str, Any]]:
    """Of (server, second, host): the seconds above the limit, together up to a gap; by host."""
    sums: Counter[tuple[Any, int]] = Counter()
    seen = defaultdict(set)
    for server, second, host in requests:
        sums[host, second] += 1
        seen[host, second].add(server)
    groups: list[tuple[Any, list[int]]] = []
    for host, second in sorted(key for key in sums if sums[key] > limit):
        if groups and groups[-1][0] == host and second - groups[-1][1][-1] <= gap_s:
            groups[-1][1].append(second)
        else:
            groups.append((host, [second]))
    for host, seconds in groups:
        servers = set().union(*(seen[host, second] for second in seconds))
        counts = {second: sums[host, second] for second in seconds}
        yield _stretch(host, seconds, seconds[-1] + gap_s, counts, servers)


def outages(
    server: str, bad: Iterable[int], opens: int = 10, resolves: int = 10, window_s: int = 300
) -> Iterator[dict[str, Any]]:
    """Of the seconds of a server's bad requests: when too many of them trail; second by second."""
    counts = Counter(bad)
    trailing: dict[int, int] = {}
    for second in range(min(counts, default=0), max(counts, default=0) + window_s + 1):
        total = sum(n for each, n in counts.items() if second - window_s < each <= second)
        if trailing and total <= resolves:
            yield _stretch(
                server, [s for s in trailing if counts[s]], second - 1, trailing, {server}
            )
            trailing = {}
        if trailing or total > opens:
            trailing[second] = total


def _stretch(
    key: Any, seconds: list[int], until: int, counts: dict[int, int], servers: set[str]
) -> dict[str, Any]:
    peak = max(counts.values())
    return {
        "key": key,
        "first": min(seconds),
        "last": max(seconds),
        "until": until,
        "peak": peak,
        "peak_second": min(second for second, n in counts.items() if n == peak),
        "servers": tuple(sorted(servers)),
    }


def ranked(counts: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    """Most first, ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _sorted_out(lines: Iterable[bytes]) -> tuple[list[Line], list[tuple[int, bytes]]]:
    valid, bad = [], []
    for number, raw in enumerate(lines, 1):
        try:
            valid.append(parse(raw))
        except Malformed:
            bad.append((number, raw))
    return valid, bad


def _by_day(pairs: Iterable[tuple[str, object]]) -> dict[str, Counter]:
    days: dict[str, Counter] = defaultdict(Counter)
    for day, key in pairs:
        days[day][key] += 1
    return dict(days)
