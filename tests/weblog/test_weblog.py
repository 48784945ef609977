"""The log line: verdicts, fields, time, category, stamp."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import weblog
from clickstream.errors import BadInput

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LINE = b'1.2.3.4 - bob [18/May/2015:09:05:59 +0200] "GET /blog/a?b HTTP/1.1" 404 12 "-" "agent"'
AGENTLESS = LINE[: LINE.index(b' "-"')]
VHOST = b"www.example.org:80 203.0.113.9 " + LINE[LINE.index(b"- bob") :]


def with_(old: bytes, new: bytes) -> bytes:
    """LINE with one part replaced."""
    assert old in LINE
    return LINE.replace(old, new)


def test_fields_of_a_combined_line():
    entry = weblog.parse(LINE)
    assert entry == weblog.Entry(
        host="1.2.3.4",
        ident="-",
        user="bob",
        day="2015-05-18",
        hour=9,
        minute=5,
        instant=1431932759,
        request="GET /blog/a?b HTTP/1.1",
        status="404",
        size="12",
        referer="-",
        agent="agent",
    )


def test_a_common_line_has_no_agent():
    entry = weblog.parse(LINE[: LINE.index(b' "-"')])
    assert (entry.status, entry.referer, entry.agent) == ("404", None, None)


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        (b"bob", b"bob the builder", "user", "bob the builder"),
        (b"bob", b'"; id $(x) ][', "user", '"; id $(x) ]['),
        (b"bob", b"a [1] b", "user", "a [1] b"),
        (b" 12 ", b" - ", "size", "-"),
        (b"agent", rb"say \"hi\" \\", "agent", r"say \"hi\" \\"),
        (b"agent", b"caf\xe9 \xc2\x85 \x00", "agent", "caf\xe9 \xc2\x85 \x00"),
        (b"/blog/a?b", b"/a\tb", "request", "GET /a\tb HTTP/1.1"),
        (b"1.2.3.4", b"2001:db8::1", "host", "2001:db8::1"),
        (b" 12 ", b" " + b"9" * 5000 + b" ", "size", "9" * 5000),
    ],
)
def test_odd_but_valid(old, new, field, value):
    assert getattr(weblog.parse(with_(old, new)), field) == value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "blank"),
        (b"  \t", "blank"),
        (b"hello", "not-a-log-line"),
        (b"\x00\x00\x00", "binary"),
        (LINE[:60], "bad-quoting"),
        (LINE[:-1], "bad-quoting"),
        (LINE + b" more", "more-fields"),
        (LINE + b"\r", "bad-quoting"),
        (LINE + b"\xc2\x85", "bad-quoting"),
        (with_(b"agent", b'a"b'), "bad-quoting"),
        (with_(b"agent", b"end\\"), "bad-quoting"),
        (with_(b" 404 ", b" 40x "), "bad-status"),
        (with_(b" 404 12", b" - 12"), "bad-status"),
        (with_(b"18/May/2015", b"31/Feb/2015"), "impossible-time"),
        (with_(b"18/May/2015", b"29/Feb/2023"), "impossible-time"),
        (with_(b"18/May/2015", b"18/May/0000"), "impossible-time"),
        (with_(b"18/May/2015", b"18/Mai/2015"), "impossible-time"),
        (with_(b"09:05:59", b"24:00:00"), "impossible-time"),
        (with_(b"09:05:59", b"12:00:60"), "impossible-time"),
        (with_(b"+0200", b"+2500"), "impossible-time"),
        (with_(b"+0200", b"+0260"), "impossible-time"),
        (with_(b"agent", b"a" * weblog.MAX_LINE_BYTES), "too-long"),
        (with_(b" - bob ", b" -  "), "not-a-log-line"),
    ],
)
def test_reasons(line, reason):
    with pytest.raises(weblog.InvalidLine) as caught:
        weblog.parse(line)
    assert caught.value.reason == reason
    assert weblog.judge(line).reason == reason
    assert reason in weblog.REASONS


def test_the_longest_line_is_valid():
    pad = b"a" * (weblog.MAX_LINE_BYTES - len(LINE) + len(b"agent"))
    assert len(with_(b"agent", pad)) == weblog.MAX_LINE_BYTES
    assert weblog.judge(with_(b"agent", pad)).reason is None


def test_a_line_of_the_year_9999_is_valid():
    assert weblog.parse(with_(b"2015", b"9999")).day == "9999-05-18"


@pytest.mark.parametrize(
    ("zone", "instant"), [(b"+0000", 1431939959), (b"-1200", 1431983159), (b"+1400", 1431889559)]
)
def test_instant_is_wall_clock_minus_offset(zone, instant):
    entry = weblog.parse(with_(b"+0200", zone))
    assert (entry.instant, entry.hour) == (instant, 9)


@pytest.mark.parametrize(
    ("request_line", "category"),
    [
        ("GET /images/a.gif HTTP/1.0", "/images"),
        ("GET / HTTP/1.1", "/"),
        ("GET /a?b/c HTTP/1.1", "/a"),
        ("GET /a#b HTTP/2", "/a"),
        ("GET /%7Ebob/x HTTP/1.1", "/%7Ebob"),
        ("GET /Blog HTTP/1.1", "/Blog"),
        ("GET http://host/a/b HTTP/1.1", "/a"),
        ("GET http://host HTTP/1.1", "(not-a-path)"),
        ("OPTIONS * HTTP/1.1", "(not-a-path)"),
        ("GET index.html HTTP/1.0", "(not-a-path)"),
        ("GET //x HTTP/1.0", "/"),
        ("GET /a b HTTP/1.0", "(bad-request-line)"),
        ("GET /a", "(bad-request-line)"),
        ("get /a HTTP/1.1", "(bad-request-line)"),
        ("GET  HTTP/1.1", "(bad-request-line)"),
        ("GET /a HTTP/1.10", "(bad-request-line)"),
        ("-", "(bad-request-line)"),
        ("", "(bad-request-line)"),
    ],
)
def test_category(request_line, category):
    assert weblog.category(request_line) == category


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("200", "success"),
        ("304", "success"),
        ("404", "failure"),
        ("500", "failure"),
        ("100", "other"),
        ("600", "other"),
        ("000", "other"),
    ],
)
def test_status_class(status, kind):
    assert weblog.status_class(status) == kind


def test_stamp_keeps_the_line():
    stamped = weblog.stamp("weblog1", "0123456789abcdef", 42, LINE)
    assert stamped == b"v1:weblog1:0123456789abcdef:42\t1431932759000\t2015-05-18\t" + LINE
    assert re.match(weblog.COMBINED.stamped, stamped.decode("latin-1"))


@pytest.mark.parametrize("line", [LINE, b"", b"\t\n", LINE.replace(b"18/May", b"31/Feb")])
def test_every_stamp_is_read_from_a_stored_line(line):
    stamped = weblog.stamp("web.log-1", "0123456789abcdef", 10**18 - 1, line)
    found = re.match(weblog.STORED_STAMP, stamped.decode("latin-1"))
    _, ms, day, _ = stamped.decode("latin-1").split("\t", 3)
    dated = (ms, day) if day != "-" else (None, None)
    assert found.group("server", "file", "offset", "ms", "day") == (
        *("web.log-1", "0123456789abcdef", "999999999999999999"),
        *dated,
    )
    assert found[0] == stamped[: -len(line) - 1 or None].decode("latin-1")


@pytest.mark.parametrize(
    "stamp",
    [
        "v2:w:0123456789abcdef:1\t1\t2015-05-18",
        "v1:w:0123456789abcde:1\t1\t2015-05-18",
        "v1:w:0123456789abcdef:1000000000000000000\t1\t2015-05-18",
        f"v1:{'w' * 256}:0123456789abcdef:1\t1\t2015-05-18",
        "v1:w:0123456789abcdef:1\t1\t-",
        "v1:w:0123456789abcdef:1\t-\t2015-05-18",
        "v1:w:0123456789abcdef:1",
    ],
)
def test_what_is_no_stamp_of_a_stored_line(stamp):
    assert not re.match(weblog.STORED_STAMP, stamp)


def test_stamp_of_a_line_without_a_possible_time():
    line = with_(b"18/May", b"31/Feb")
    stamped = weblog.stamp("weblog1", "0123456789abcdef", 0, line)
    assert stamped == b"v1:weblog1:0123456789abcdef:0\t-\t-\t" + line
    assert not re.match(weblog.COMBINED.stamped, stamped.decode("latin-1"))


def test_a_bad_line_with_a_time_keeps_it():
    verdict = weblog.judge(LINE[:-1])
    assert (verdict.reason, verdict.day, verdict.instant) == (
        "bad-quoting",
        "2015-05-18",
        1431932759,
    )


PUNCTUATION = st.lists(st.sampled_from([b'"', b"\\", b" ", b"a", b"[", b"200"])).map(b"".join)
BYTES = st.binary(max_size=200).filter(lambda raw: b"\n" not in raw)


@given(BYTES | PUNCTUATION)
def test_judge_and_parse_and_the_stamped_pattern_agree(raw):
    lines = [raw, with_(b"agent", raw), with_(b"bob", raw), with_(b"/blog/a?b", raw)]
    lines += [AGENTLESS.replace(b"/blog", raw), VHOST.replace(b"www", raw)]
    for line, form in itertools.product(lines, weblog.FORMATS.values()):
        agree(line, form)


OTHER_FORMATS = (weblog.COMBINED, weblog.VHOST_COMBINED)


def agree(line, form):
    """The result of a format for a line, by four ways."""
    verdict = weblog.judge(line, form)
    stamped = weblog.stamp("w", "0" * 16, 1, line, form).decode("latin-1")
    assert (verdict.reason is None) == bool(re.match(form.stamped, stamped))
    if verdict.reason is None:
        entry = weblog.parse(line, form)
        assert (verdict.day, verdict.instant) == (entry.day, entry.instant)
    else:
        with pytest.raises(weblog.InvalidLine, match=verdict.reason):
            weblog.parse(line, form)
    for end in (b"\n", b"\r\n"):
        quick = form.simple.match(line + end)
        if quick and weblog.BACKSLASH not in line:
            assert (verdict.reason is None) == bool(weblog.valid_at(quick[1]))
    # A line that only goes on behind the agent is told as such, whichever format has such a field.
    known = any(weblog.judge(line, each).reason is None for each in (form, *OTHER_FORMATS))
    assert known == (verdict.reason in (None, "other-format"))


COMMON, COMBINED, VHOSTS = weblog.COMMON, weblog.COMBINED, weblog.VHOST_COMBINED


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        (AGENTLESS, {"common", "combined"}),
        (LINE, {"combined"}),
        (VHOST, {"vhost_combined"}),
        (VHOST[: VHOST.index(b' "-"')], set()),
        (VHOST.replace(b":80 ", b" "), set()),
        (VHOST.replace(b":80 ", b": "), set()),
        (VHOST.replace(b":80 ", b":80x "), set()),
        (VHOST.replace(b"www.example.org:80", b":80"), set()),
        (VHOST.replace(b"www.example.org", b"[2001:db8::1]"), {"vhost_combined"}),
        (VHOST.replace(b"18/May", b"31/Feb"), set()),
        (VHOST + b" more", set()),
        (b"", set()),
    ],
)
def test_which_formats_a_line_has(line, valid):
    found = {name for name, form in weblog.FORMATS.items() if not weblog.judge(line, form).reason}
    assert found == valid


def test_a_line_of_another_format_is_told_and_keeps_its_time():
    for line, form in ((LINE, COMMON), (VHOST, COMMON), (LINE, VHOSTS), (AGENTLESS, VHOSTS)):
        verdict = weblog.judge(line, form)
        assert (verdict.reason, verdict.day, verdict.instant) == (
            "other-format",
            "2015-05-18",
            1431932759,
        )


@pytest.mark.parametrize("form", weblog.FORMATS.values(), ids=lambda form: form.name)
def test_the_reason_of_a_broken_line_is_the_same_in_every_format(form):
    broken = VHOST if form is VHOSTS else AGENTLESS
    assert weblog.judge(broken.replace(b"18/May", b"31/Feb"), form).reason == "impossible-time"
    assert weblog.judge(broken.replace(b" 404 ", b" 40x "), form).reason == "bad-status"
    assert weblog.judge(broken.replace(b"/blog", b'"'), form).reason == "bad-quoting"
    assert weblog.judge(broken + b" " * weblog.MAX_LINE_BYTES, form).reason == "too-long"


def test_the_visitor_of_a_virtual_host_is_the_client():
    entry = weblog.parse(VHOST, VHOSTS)
    assert (entry.vhost, entry.host, entry.ident) == ("www.example.org:80", "203.0.113.9", "-")
    assert weblog.parse(LINE, COMBINED).vhost is None
    assert entry._replace(vhost=None, host="1.2.3.4") == weblog.parse(LINE)


def test_common_and_combined_are_read_alike():
    assert COMMON.reading == COMBINED.reading != VHOSTS.reading


def test_sniff_refuses_vhost_combined():
    with pytest.raises(BadInput, match="vhost_combined") as caught:
        weblog.sniff([VHOST] * 6 + [LINE] * 5, "log")
    assert 'format = "vhost_combined"' in caught.value.hint
    with pytest.raises(BadInput, match="vhost_combined"):
        weblog.sniff([VHOST] * 6 + [LINE] * 5, "log", COMMON)
    weblog.sniff([VHOST] * 6 + [LINE] * 5, "log", VHOSTS)


def test_sniff_offers_no_format_to_a_host_without_port():
    with pytest.raises(BadInput, match="vhost_combined") as caught:
        weblog.sniff([VHOST.replace(b":80 ", b" ")], "log")
    assert "column off" in caught.value.hint


def test_sniff_takes_what_is_mostly_combined():
    weblog.sniff([VHOST] * 5 + [LINE] * 5 + [b"junk"] * 50, "log")


def test_corpora_of_other_parsers():
    if not SHARED.is_dir():
        pytest.skip("needs the shared corpora beside the checkout")
    disagreed = []
    for file in ("apachelogs.jsonl", "logstash-httpd.jsonl"):
        for text in (SHARED / "corpora" / file).read_text().splitlines():
            case = json.loads(text)
            line = case["line"].rstrip("\n").removesuffix("\r").encode()
            if case["format"] in ("common", "combined") and case["accepted_by_origin"]:
                expected = case["expect"]
                try:
                    entry = weblog.parse(line)
                except weblog.InvalidLine as error:
                    disagreed.append((error.reason, line))
                    continue
                assert entry.status == str(expected.get("status", entry.status))
                assert entry.host == expected.get("host", entry.host)
                assert entry.request == expected.get("request", entry.request)
    # Theirs are looser: a status of `-`, and quotes that are not escaped.
    assert {reason for reason, _ in disagreed} <= {"bad-status", "bad-quoting"}
