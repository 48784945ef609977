"""Formats in the server's own words: what they read, what they refuse, and what is proposed."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream import weblog
from clickstream.weblog import format_of
from tests.weblog import server_formats

LINE = (
    b'203.0.113.7 - bob [20/Mar/2024:10:00:00 +0000] "GET /main HTTP/1.1" 200 512 "-" "Mozilla/5.0"'
)
NGINX = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
NGINX_COMBINED = f'{NGINX} "$http_referer" "$http_user_agent"'
APACHE = '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'
XFF = '%{X-Forwarded-For}i %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"'


@given(st.integers(0, 2**32))
def test_random_formats_read_what_a_server_wrote(seed):
    words, lines = server_formats.made(random.Random(seed))
    form = format_of(words)
    for raw, fields in lines:
        entry = weblog.parse(raw, form)
        assert entry.host == fields["client"]
        assert f"{entry.hour:02}:{entry.minute:02}" == fields["minute"]
        found = (entry.request, entry.status, entry.user, entry.size, entry.referer, entry.agent)
        names = ("request", "status", "user", "size", "referer", "agent")
        assert found == tuple(fields.get(name) for name in names), words
        stamped = weblog.stamp("w", "0" * 16, 1, raw, form).decode("latin-1")
        assert re.match(form.stamped, stamped)


@given(st.integers(0, 2**32), st.data())
def test_random_lines_are_judged_alike_by_every_expression(seed, data):
    words, lines = server_formats.made(random.Random(seed))
    form = format_of(words)
    raw, _ = lines[0]
    at = data.draw(st.integers(0, len(raw)))
    cut = data.draw(st.sampled_from([b"", b" ", b'"', b"\\", b",", b"\xe9", b"\x85", b"\r", b"- "]))
    raw = raw[:at] + cut + raw[at + data.draw(st.integers(0, 3)) :]
    verdict = weblog.judge(raw, form)
    stamped = weblog.stamp("w", "0" * 16, 1, raw, form).decode("latin-1")
    assert (verdict.reason is None) == bool(re.match(form.stamped, stamped))
    quick = form.simple.match(raw + b"\n")
    if quick and weblog.BACKSLASH not in raw and not raw.endswith(b"\r"):
        assert (verdict.reason is None) == bool(weblog.valid_at(quick[1]))


@pytest.mark.parametrize(
    ("words", "behind"),
    [
        (NGINX_COMBINED, b""),
        (APACHE, b""),
        (APACHE.replace('"', '\\"'), b""),
        (f'LogFormat "{APACHE.replace(chr(34), chr(92) + chr(34))}" mine', b""),
        (f"log_format main '{NGINX} '\n    '\"$http_referer\" \"$http_user_agent\"';", b""),
        ("nginx_main", b' "-"'),
        ("nginx_main", b' "203.0.113.9, 198.51.100.1"'),
        ("combinedio", b" 300 5000"),
        (f"{NGINX_COMBINED} $request_time", b" 0.123"),
        (f"{NGINX_COMBINED} rt=$request_time urt=$upstream_response_time", b" rt=0.1 urt=0.1, 0.2"),
        (f"{APACHE} %D %{{c}}a %^FB", b" 12 10.0.0.1 7"),
        (APACHE.replace("%t", "%{[%d/%b/%Y:%H:%M:%S %z]}t"), b""),
        (APACHE.replace("%t", "[%{begin:%d/%b/%Y:%H:%M:%S %z}t]"), b""),
        (APACHE.replace("%{User-Agent}i", "%!200,304,302{User-agent}i"), b""),
        (APACHE.replace("%r", "%m %U%q %H"), b""),
    ],
)
def test_words_of_a_server(words, behind):
    entry = weblog.parse(LINE + behind, format_of(words))
    assert (entry.host, entry.user, entry.day) == ("203.0.113.7", "bob", "2024-03-20")
    assert (entry.request, entry.status, entry.size) == ("GET /main HTTP/1.1", "200", "512")
    assert (entry.referer, entry.agent) == ("-", "Mozilla/5.0")


def test_a_format_without_bytes_user_and_agent():
    entry = weblog.parse(
        b'26/Feb/2024:00:00:00 +0000|200|"GET / HTTP/1.1"|h.example.org',
        format_of('$time_local|$status|"$request"|$remote_addr'),
    )
    assert (entry.host, entry.status) == ("h.example.org", "200")
    assert (entry.ident, entry.user, entry.size, entry.referer, entry.agent) == (None,) * 5


def test_json_is_a_format_like_any_other():
    form = format_of(
        """{"t":"$time_local","c":"$remote_addr","r":"$request","s":$status,"a":"$http_user_agent"}"""
    )
    raw = b'{"t":"26/Feb/2024:00:00:00 +0000","c":"::1","r":"GET / HTTP/1.1","s":200,"a":"\\"x\\""}'
    entry = weblog.parse(raw, form)
    assert (entry.host, entry.request, entry.agent) == ("::1", "GET / HTTP/1.1", '\\"x\\"')


def test_blanks_and_quotes_of_nginx():
    raw = LINE.replace(b"bob", b"bob the b\xc3\xa4r").replace(b"Mozilla", rb"a\x22b")
    entry = weblog.parse(raw, format_of(NGINX_COMBINED))
    assert (entry.user, entry.agent) == ("bob the b\xc3\xa4r", r"a\x22b/5.0")
    prefixed = b"Mar 18 10:00:00 web1 nginx: " + LINE
    assert weblog.judge(prefixed, format_of(NGINX_COMBINED)).reason == "prefix"
    assert weblog.judge(LINE, format_of("nginx_main")).reason == "other-format"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nosuch", "neither common, combined, .* nor"),
        (
            '$remote_addr$status [$time_local] "$request"',
            r"nothing between them, \$remote_addr\$status, at character 1",
        ),
        ('%h %t "%r" %>s%b', "nothing between them, %s%b"),
        ('%a%h %t "%r" %s', "nothing between them, %a%h, at character 1"),
        ('%t "%r" %s', "no client"),
        ('%h "%r" %s', "no time"),
        ("%h %t %s", "no request"),
        ('%h %t "%r"', "no status"),
        ("%h %t %r %s", "double quotes"),
        ('%h %{%Y-%m-%d}t "%r" %s', r"%\{%Y-%m-%d\}t at character 4 cannot be read"),
        ('%h %{sec}t "%r" %s', "cannot be read"),
        ('$remote_addr $time_iso8601 "$request" $status', "write .time_local"),
        ('%h %t "%r" %s %Z', "no field '%Z'"),
        ('%h %t "%r" %s %', "no field '%'"),
        ('%h %t "%r"\n%s', "line feed"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(words, told):
    with pytest.raises(ValueError, match=told):
        format_of(words)


def test_the_client_is_the_first_address_of_the_field_that_is_named():
    form = format_of(XFF, "%{X-Forwarded-For}i")
    for client, host in [
        (b"203.0.113.20, 198.51.100.1, 192.0.2.10", "203.0.113.20"),
        (b"203.0.113.20,198.51.100.1", "203.0.113.20"),
        (b"203.0.113.20:50000, 198.51.100.1:1", "203.0.113.20"),
        (b"[2001:db8::1]:443", "[2001:db8::1]"),
        (b"::ffff:203.0.113.20:50000", "::ffff:203.0.113.20"),
        (b"-", "-"),
    ]:
        assert weblog.parse(LINE.replace(b"203.0.113.7", client), form).host == host
    assert weblog.judge(LINE.replace(b"203.0.113.7", b"x y, 203.0.113.7"), form).reason
    behind = format_of("nginx_main", "$http_x_forwarded_for")
    assert weblog.parse(LINE + b' "198.51.100.1, 10.0.0.1"', behind).host == "198.51.100.1"
    assert weblog.judge(LINE + b' "<script>"', behind).reason
    plain = format_of("nginx_main")
    assert weblog.parse(LINE + b' "198.51.100.1, 10.0.0.1"', plain).host == "203.0.113.7"
    ported = LINE.replace(b"203.0.113.7", b"203.0.113.7:50000")
    assert weblog.judge(ported).reason == "not-a-client"
    assert weblog.parse(ported, format_of("combined", "%h")).host == "203.0.113.7"


def test_a_client_that_the_format_has_not_is_refused():
    with pytest.raises(ValueError, match=r"\$http_x is not in .* its fields: \$remote_addr"):
        format_of("nginx_main", "$http_x")


PROPOSED = [
    (LINE, "combined", ""),
    (LINE[: LINE.index(b' "-"')], "common", ""),
    (b"h:80 " + LINE, "vhost_combined", ""),
    (LINE + b' "-"', "nginx_main", ""),
    (LINE + b" 300 5000", "combinedio", ""),
    (LINE.replace(b"203.0.113.7", b"203.0.113.7, 10.0.0.1"), "combined", "%h"),
    (LINE.replace(b"203.0.113.7", b"203.0.113.7:50000"), "combined", "%h"),
]


@pytest.mark.parametrize(("raw", "words", "client"), PROPOSED)
def test_a_format_with_a_name_is_proposed(raw, words, client):
    found = weblog.propose([raw] * 3 + [b"junk"])
    assert found is not None
    assert (found.format, found.client, found.valid, found.lines) == (words, client, 3, 4)


@pytest.mark.parametrize(
    "raw",
    [
        LINE + b" 0.123",
        LINE + b' "-" 0.123 "a b"',
        b"www.example.org " + LINE,
        b'[20/Mar/2024:10:00:00 +0000] 203.0.113.7 "GET / HTTP/1.1" 200 "x y"',
    ],
)
def test_other_formats_are_proposed_in_words_that_read_them(raw):
    found = weblog.propose([raw, raw])
    assert found is not None
    entry = weblog.parse(raw, format_of(found.format, found.client))
    assert (entry.host, entry.status) == ("203.0.113.7", "200")


def test_nothing_is_proposed_for_what_is_no_log():
    assert weblog.propose([b"junk", b"", b"\x00"]) is None
    assert weblog.propose([]) is None
