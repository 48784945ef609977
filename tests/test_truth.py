"""The independent reader against the published figures of four real logs, and literal lines."""

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream import weblog
from tests import truth
from tests.examples import examples
from tests.truth import Malformed, Truth

LOGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "logs"
NAMES = sorted(path.name.removesuffix(".truth.json") for path in LOGS.glob("*.truth.json"))
NOTHING = pytest.param("", marks=pytest.mark.skip(f"no real logs under {LOGS}"))
GOOD = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET /a/b HTTP/1.1" 200 7 "-" "x"'


def log_bytes(name: str) -> bytes:
    """A set's log; the files of a set in order of their names."""
    path = LOGS / f"{name}.log"
    if path.exists():
        return path.read_bytes()
    files = (file.read_bytes() for file in sorted((LOGS / name).iterdir()))
    return b"".join(text if text.endswith(b"\n") else text + b"\n" for text in files)


@cache
def reading(name: str) -> tuple[dict[str, Any], Truth]:
    """The published figures and ours."""
    published = json.loads((LOGS / f"{name}.truth.json").read_text())
    return published, Truth({"weblog1": log_bytes(name)})


@pytest.fixture(params=NAMES or [NOTHING])
def real(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Truth]:
    return reading(request.param)


def same(published: dict[str, Any], ours: dict[str, Any]) -> None:
    assert ours == {key: published[key] for key in ours}


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_bytes_are_those_that_were_described(real):
    published, _ = real
    files = published.get("files")
    if files is None:
        log = log_bytes(published["name"])
        same(published, {"bytes": len(log), "sha256": hashlib.sha256(log).hexdigest()})
        return
    for entry in files:
        log = (LOGS / published["name"] / entry["file"]).read_bytes()
        digest = hashlib.sha256(log).hexdigest()
        assert (len(truth.split(log)), digest) == (entry["lines"], entry["sha256"])


def test_lines(real):
    published, read = real
    raw, valid = read.raw["weblog1"], read.valid["weblog1"]
    instants = [line.instant for line in valid]
    ours = {
        "lines": read.lines(),
        "malformed": read.malformed(),
        "blank_lines": raw.count(b""),
        "well_formed": len(valid),
        "well_formed_combined": sum(line.agent is not None for line in valid),
        "well_formed_common": sum(line.agent is None for line in valid),
        "crlf_lines": log_bytes(published["name"]).count(b"\r\n"),
        "max_line_bytes": max(map(len, raw)),
        "lines_over_2048_bytes": sum(len(line) > 2048 for line in raw),
        "lines_with_bytes_over_127": sum(max(line, default=0) > 127 for line in raw),
        "extra_copies_of_identical_lines": len(raw) - len(set(raw)),
        "lines_earlier_than_previous_line": sum(
            later < earlier for earlier, later in pairwise(instants)
        ),
        "ipv6_lines": sum(b":" in line.host for line in valid),
        "lines_with_backslash_escape_in_request_or_ua": sum(
            b"\\" in line.request + (line.agent or b"") for line in valid
        ),
    }
    same(published, ours)


def test_malformed_lines_are_the_published_ones(real):
    published, read = real
    ours = [
        {"line_number": number, "line": raw.decode("latin-1")}
        for number, raw in read.bad["weblog1"]
    ]
    assert ours == published["first_malformed_lines"]


def test_visitors_and_days(real):
    published, read = real
    ours = {
        "unique_hosts_total": len({line.host for line in read.of("all")}),
        "unique_hosts_per_day": read.unique_hosts(),
        "requests_per_day": read.requests(),
        "offsets": dict(Counter(line.zone.decode() for line in read.of("all"))),
        "first_instant_utc": iso(min(line.instant for line in read.of("all"))),
        "last_instant_utc": iso(read.latest()),
    }
    same(published, ours)


def test_statuses_and_sizes(real):
    published, read = real
    statuses = Counter(line.status for line in read.of("all"))
    classes = sum(read.responses().values(), Counter())
    sizes = [line.size for line in read.of("all")]
    ours = {
        "status_200": statuses["200"],
        "status_non200": statuses.total() - statuses["200"],
        "status_2xx_3xx": classes["success"],
        "status_4xx_5xx": classes["failure"],
        "status_other_class": classes["other"],
        "status_counts": dict(statuses),
        "response_bytes_sum": sum(int(size) for size in sizes if size != b"-"),
        "response_bytes_dash": sizes.count(b"-"),
    }
    same(published, ours)


def test_hours(real):
    published, read = real
    hours = read.hours()
    same(published, {"hits_per_hour_of_day": {f"{hour:02}": hours[hour] for hour in range(24)}})


def test_requests_and_segments(real):
    published, read = real
    parts = [line.parts for line in read.of("all")]
    segments = sum(read.categories().values(), Counter())
    top = [[name.decode("latin-1"), count] for name, count in truth.ranked(segments)[:20]]
    ours = {
        "bad_request_line": parts.count(None),
        "methods": dict(Counter(each[0].decode() for each in parts if each)),
        "protocols": dict(Counter(each[2].decode() for each in parts if each)),
        "distinct_first_path_segments": len(segments),
        "hits_per_first_path_segment_top20": top,
    }
    same(published, ours)


def test_windows(real):
    published, read = real
    count, end = read.non_200_peak()
    bad = [line.instant for line in read.of("all") if line.status != "200"]
    ours = {
        "ip_second_pairs_over_100": len(read.offenders()),
        "max_requests_by_one_host_in_one_second": max(read.host_seconds().values()),
        "max_requests_in_one_second": max(Counter(x.instant for x in read.of("all")).values()),
        "max_non200_trailing_5min": count,
        "max_non200_trailing_5min_ends_at_utc": iso(end),
        "max_non200_tumbling_5min_epoch_aligned": max(Counter(t // 300 for t in bad).values()),
    }
    same(published, ours)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"18/May", b"31/Feb"),
        (b"18/May", b"18/Foo"),
        (b"2015", b"0000"),
        (b"09:05", b"24:05"),
        (b"09:05", b"09:60"),
        (b":59 ", b":60 "),
        (b"+0000", b"+2400"),
        (b"+0000", b"+0060"),
        (b"+0000", b"00000"),
        (b"200", b"20"),
        (b"200", b"2000"),
        (b" 7 ", b" 7b "),
        (b"/a/b", b'/a"b'),
        (b'"x"', b'"x'),
        (b'"x"', b'"x\\"'),
        (b'"x"', b'"x" 1'),
        (b' "x"', b""),
        (b"- - [", b"-  ["),
        (b"- - [", b"- ["),
        (b"1.2.3.4", b""),
        (b"/a/b", b"/" * truth.MAX_LINE_BYTES),
    ],
)
def test_what_is_not_a_line(old, new):
    with pytest.raises(Malformed):
        truth.parse(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"- - [", b"- a b [18/May] ] [ c ["),
        (b"18/May/2015", b"29/Feb/2016"),
        (b"+0000", b"-2359"),
        (b"/a/b", b'/\xe9\x00\\"\\\\'),
        (b' "-" "x"', b""),
        (b'"-" "x"', b'"" ""'),
        (b" 7 ", b" - "),
        (b"200", b"099"),
    ],
)
def test_what_is_a_line(old, new):
    assert truth.parse(GOOD.replace(old, new, 1)).host == b"1.2.3.4"


def test_a_line_of_the_longest_length_is_a_line():
    filler = b"a" * (truth.MAX_LINE_BYTES - len(GOOD))
    assert truth.parse(GOOD.replace(b'"x"', b'"x' + filler + b'"')).status == "200"


@pytest.mark.parametrize(
    ("request_line", "category"),
    [
        (b"GET /images/a.gif HTTP/1.1", b"/images"),
        (b"GET / HTTP/1.0", b"/"),
        (b"GET /a HTTP/2", b"/a"),
        (b"GET //favicon.ico HTTP/1.1", b"/"),
        (b"GET /a?u=http://h/b HTTP/1.1", b"/a"),
        (b"GET /?q=/x HTTP/1.1", b"/"),
        (b"GET /a#b/c HTTP/1.1", b"/a"),
        (b"GET http://h:80/a/b HTTP/1.1", b"/a"),
        (b"OPTIONS * HTTP/1.1", b"(not-a-path)"),
        (b"CONNECT h:443 HTTP/1.1", b"(not-a-path)"),
        (b"VERSION-CONTROL /%41/b HTTP/1.1", b"/%41"),
        (b"GET /a b HTTP/1.1", b"(bad-request-line)"),
        (b"get /a HTTP/1.1", b"(bad-request-line)"),
        (b"GET /a", b"(bad-request-line)"),
        (b"GET /a HTTP/1.10", b"(bad-request-line)"),
        (b"", b"(bad-request-line)"),
    ],
)
def test_category(request_line, category):
    line = truth.parse(GOOD.replace(b"GET /a/b HTTP/1.1", request_line))
    assert line.category == category


def test_servers_apart_and_together():
    other = GOOD.replace(b"09:05:59 +0000", b"11:05:59 +0200").replace(b" 200 ", b" 404 ")
    read = Truth({"a": GOOD + b"\r\n\n", "b": other})
    assert (read.lines("a"), read.lines("b"), read.malformed()) == (2, 1, 1)
    assert read.unique_hosts() == read.unique_hosts("b") == {"2015-05-18": 1}
    assert read.hours() == {9: 1, 11: 1}
    assert read.responses() == {"2015-05-18": {"success": 1, "failure": 1}}
    assert read.minutes("b") == {("2015-05-18", "11:05"): {"failure": 1}}
    end = read.latest()
    assert read.popularity(end) == {b"/a": 2}
    assert read.offenders(threshold=1) == {(end, b"1.2.3.4"): 2}
    assert [read.non_200("b", at) for at in (end - 1, end, end + 299, end + 300)] == [0, 1, 1, 0]


def test_the_product_reads_real_lines_the_same(real):
    _, read = real
    for raw in set(read.raw["weblog1"]):
        assert by_product(raw) == by_hand(raw)


WORDS = rb" \ [ ] / ? # :// http://h * - 0 9 31/Feb 24: +2400 GET get HTTP/1.1 HTTP/2 x".split()
BYTES = [b'"', b'\\"', b"", b" ", b"\x00", b"\xe9", b"\x85", b"\xb2", b"\r", b"\t", b"\x0b"]
PIECES = st.sampled_from([*WORDS, *BYTES, b" [18/May/2015:"])
CUTS = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 5), PIECES)


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(CUTS, min_size=1, max_size=4))
def test_the_product_reads_hostile_lines_the_same(cuts):
    raw = GOOD
    for start, length, piece in cuts:
        raw = raw[:start] + piece + raw[start + length :]
    assert by_product(raw) == by_hand(raw)


def by_hand(raw: bytes) -> tuple[object, ...] | None:
    try:
        line = truth.parse(raw)
    except Malformed:
        return None
    times = (line.day, line.hour, line.minute, line.instant, line.status)
    texts = (line.host, line.user, line.request, line.agent, line.category)
    return *times, *(text if text is None else text.decode("latin-1") for text in texts)


def by_product(raw: bytes) -> tuple[object, ...] | None:
    if weblog.judge(raw).reason is not None:
        return None
    line = weblog.parse(raw)
    times = (line.day, line.hour, line.minute, line.instant, line.status)
    return *times, line.host, line.user, line.request, line.agent, weblog.category(line.request)
