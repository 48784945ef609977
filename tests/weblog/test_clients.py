"""Only a client can be a visitor: what a client's column holds, and what stands in no column."""

import pytest

from clickstream import weblog

LINE = b'%b - - [05/Mar/2024:10:00:00 +0000] "GET /a HTTP/1.1" 200 512 "-" "agent"'
COLUMNS = b'%b [05/Mar/2024:10:00:00 +0000] "GET /a HTTP/1.1" 200 512 "-" "agent"'
VALID = "valid"


def reason(raw: bytes, form: weblog.Format = weblog.COMBINED) -> str:
    return weblog.judge(raw, form).reason or VALID


@pytest.mark.parametrize(
    "host",
    [
        "203.0.113.230",
        "0.0.0.0",
        "255.255.255.255",
        "010.001.000.007",
        "203.0.113.xxx",
        "203.0.113.*",
        "203.0.113.2**",
        "203.0.x.x",
        "2001:db8::1",
        "2001:0DB8:0:0:0:0:0:1",
        "2001:db8:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx",
        "2001:db8::*",
        "::",
        "::1",
        "1::",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "::ffff:203.0.113.230",
        "::FFFF:203.0.113.230",
        "0:0:0:0:0:ffff:203.0.113.230",
        "[::ffff:203.0.113.230]",
        "[2001:db8::1]",
        "[fe80::1%eth0]",
        "fe80::1%eth0",
        "fe80::1%25en0.1",
        "client.example.org",
        "CLIENT.example.org",
        "client.example.org.",
        "localhost",
        "h-1_2.net",
        "4.example.org",
        "203.0.113.7.dsl.example.net",
        "xn--bcher-kva.example",
        "d41d8cd98f00b204e9800998ecf8427e",
        "-",
        "unix:",
    ],
)
def test_a_client(host):
    raw = LINE % host.encode()
    assert reason(raw) == VALID
    assert weblog.parse(raw).host == host


@pytest.mark.parametrize(
    "host",
    [
        "203.0.113.230:50000",
        "[2001:db8::1]:443",
        "client.example.org:80",
        "localhost:1",
        "unix:1",
        "::ffff:203.0.113.230:50000",
        "2001:db8::1:50000",
        "fe80::1%eth0:50000",
        "203.0.113.20,",
        "203.0.113.20,198.51.100.1",
        "203.0.113.20;",
        "(203.0.113.20)",
        '"203.0.113.20"',
        "<134>1",
        "203.0.113.20/24",
        "203.0.113.256",
        "203.0.113",
        "203.0.113.20.50000",
        "1.2.3.4.",
        "12345",
        "1710756000.123",
        "2024-03-18",
        "10:00:00",
        "2024-03-18T10:00:00Z",
        "2024-03-18T10:00:00.123+00:00",
        "00:1a:2b:3c:4d:5e",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "1:2:3:4::5:6:7:8",
        ":::",
        "[203.0.113.20",
        "203.0.113.20]",
        "access.log:203.0.113.1",
        "12:203.0.113.1",
        "web1:",
        "a..b",
        ".example.org",
        "h\x1b[31m",
        "h\x00",
        "\x7f",
        "\xef\xbb203.0.113.50",
        "\xef\xbb\xbf\xef\xbb\xbf203.0.113.50",
        "h\xe4user.example",
        "=1+1",
        "a@b",
        "--",
    ],
)
def test_no_client(host):
    raw = LINE % host.encode("latin-1")
    assert reason(raw) == "not-a-client"
    verdict = weblog.judge(raw)
    assert (verdict.day, verdict.instant) == ("2024-03-05", 1709632800)
    if host[-1:].isdigit() and host != "unix:1" and host.endswith(("50000", ":443", ":80", ":1")):
        reported = weblog.explain(raw, weblog.COMBINED, "not-a-client")
        assert ("port" in reported) == (host not in {"203.0.113.20.50000"})


@pytest.mark.parametrize("form", weblog.FORMATS.values(), ids=weblog.FORMATS)
def test_a_byte_order_mark_belongs_to_no_column(form):
    raw = LINE % b"203.0.113.50"
    raw = raw[: raw.index(b' "-"')] if form is weblog.COMMON else raw
    raw = b"www.example.org:80 " + raw if form is weblog.VHOST_COMBINED else raw
    raw += {"nginx_main": b' "-"', "combinedio": b" 300 5000"}.get(form.name, b"")
    marked = b"\xef\xbb\xbf" + raw
    assert weblog.parse(marked, form) == weblog.parse(raw, form)
    with pytest.raises(weblog.InvalidLine):
        weblog.parse(b" " + marked, form)


@pytest.mark.parametrize("host", ["203.0.113.20, 198.51.100.1, 192.0.2.10", "a,b"])
def test_a_list_is_no_client(host):
    raw = LINE % host.encode()
    assert reason(raw) == "not-a-client"
    assert "list" in weblog.explain(raw, weblog.COMBINED, "not-a-client")


@pytest.mark.parametrize(
    "prefix",
    [
        "Mar  5 10:00:00 web1 nginx:",
        "Mar 18 10:00:00 web1 nginx:",
        "Mar 18 10:00:00 web1 nginx[123]:",
        "<190>Mar 18 10:00:00 web1 nginx:",
        "<134>1 2024-03-18T10:00:00.123Z web1 nginx - - -",
        "2024-03-18T10:00:00+00:00 web1 nginx:",
        "2024-03-18 10:00:00",
        "1710756000",
        "2024-03-18T10:00:00.123456789Z stdout F",
        "web1",
        "web1 nginx",
        "web-1 |",
        "web-1  |",
        "\x1b[36mweb_1  |\x1b[0m",
        "[pod/web-0/nginx]",
        "INFO",
        "access.log.1",
        "www.example.org",
        "www.example.org:80",
        "198.51.100.7",
        "-",
        "     7",
        "  7\t",
        "nginx:",
        "nginx: access:",
    ],
)
@pytest.mark.parametrize(
    "columns",
    [
        "203.0.113.1 - -",
        "203.0.113.1 - bob",
        "2001:db8::1 - -",
        "c.example.org - -",
        "h - -",
        "c.example.org - bob",
        "[::1] ident -",
    ],
)
@pytest.mark.parametrize("form", [weblog.COMMON, weblog.COMBINED], ids=["common", "combined"])
def test_words_before_a_line(prefix, columns, form):
    raw = COLUMNS % f"{prefix} {columns}".encode()
    raw = raw if form is weblog.COMBINED else raw[: raw.index(b' "-"')]
    assert reason(raw, form) in ("prefix", "other-format")
    if reason(raw, form) == "prefix":
        assert ascii(prefix.split()[0])[1:-1] in weblog.explain(raw, form, "prefix")


@pytest.mark.parametrize(
    "columns",
    [
        "203.0.113.1 - - 0.123",
        "203.0.113.1 - bob -",
        "203.0.113.1 - - bob",
        "203.0.113.1 198.51.100.2 -",
        "203.0.113.1 - 198.51.100.2",
        "203.0.113.1 [::1] -",
        "203.0.113.1 fe80::1%eth0 -",
        "203.0.113.1 198.51.100.2:443 -",
        "203.0.113.1 - bob 10:00:00",
        "203.0.113.1 10.0.0.1 bob",
    ],
)
def test_words_between_the_columns(columns):
    assert reason(COLUMNS % columns.encode()) in ("shifted-columns", "prefix")


@pytest.mark.parametrize(
    "columns",
    [
        "203.0.113.1 - bob the builder",
        "203.0.113.1 - bob \xc3\xa4",
        '203.0.113.1 - "bob"',
        "203.0.113.1 - John - Admin",
        "203.0.113.1 ident a b",
        "203.0.113.1 - bob@example.org",
        "203.0.113.1 - DOMAIN\\bob",
        "203.0.113.1 - Dr. No",
        "203.0.113.1 - v1.2.3",
        "203.0.113.1 - 12:30",
        "203.0.113.1 - /C=DE/O=x y/CN=z",
        "203.0.113.1 -  bob",
        "203.0.113.1 unknown -",
        "203.0.113.1 - a [1] b",
    ],
)
def test_liberal_columns(columns):
    host, ident, user = columns.split(" ", 2)
    entry = weblog.parse(COLUMNS % columns.encode("latin-1"))
    assert (entry.host, entry.ident, entry.user) == (host, ident, user)


@pytest.mark.parametrize(
    "behind", [' "-"', " 0.123", ' "a" "b"', " 300 5000", " -", ' "-" 0.1 x=1']
)
def test_more_fields(behind):
    raw = LINE % b"203.0.113.1"
    assert reason(raw + behind.encode()) == "more-fields"
    reported = weblog.explain(raw + behind.encode(), weblog.COMBINED, "more-fields")
    assert "user agent" in reported
    common = raw[: raw.index(b' "-"')]
    assert reason(common + b" 0.123") == "more-fields"
    assert reason(common + b" 0.123", weblog.COMMON) == "more-fields"
    vhost = b"h:80 " + raw + behind.encode()
    assert reason(vhost, weblog.VHOST_COMBINED) == "more-fields"


@pytest.mark.parametrize("agent", [b'a "quoted" b', b'tail"', b'a " b', b"cut\\"])
def test_unescaped_quotes_are_no_more_fields(agent):
    assert reason((LINE % b"203.0.113.1").replace(b"agent", agent)) == "bad-quoting"


def test_a_long_host_ends_no_engine_and_is_judged_at_once():
    for host in (b"a." * 100_000 + b"a", b"1:" * 100_000, b"-" * 100_000, b"1." * 100_000):
        assert reason(LINE % host) in (VALID, "not-a-client")


@pytest.mark.parametrize(
    ("printed", "instant"),
    [
        ("30/Jun/2015:23:59:60 +0000", 1435708800),
        ("01/Jul/2015:05:29:60 +0530", 1435708800),
        ("30/Jun/2015:19:59:60 -0400", 1435708800),
        ("30/Jun/1972:23:59:60 +0000", 78796800),
        ("31/Dec/2016:23:59:60 +0000", 1483228800),
        ("01/Jan/2017:00:59:60 +0100", 1483228800),
        ("01/Jul/2015:12:00:60 +0000", None),
        ("30/Jun/2014:23:59:60 +0000", None),
        ("30/Jun/2015:23:59:60 +0200", None),
        ("01/Jul/2015:23:59:60 +0000", None),
        ("30/Jun/2015:23:59:61 +0000", None),
        ("31/Dec/2017:23:59:60 +0000", None),
    ],
)
def test_leap_seconds(printed, instant):
    raw = (LINE % b"203.0.113.1").replace(b"05/Mar/2024:10:00:00 +0000", printed.encode())
    verdict = weblog.judge(raw)
    if instant is None:
        assert verdict.reason == "impossible-time"
    else:
        entry = weblog.parse(raw)
        assert (verdict.reason, entry.instant) == (None, instant)
        assert (f"{entry.hour:02}:{entry.minute:02}") == printed[12:17]
        assert verdict.stamp.startswith(b"%d\t" % (instant * 1000))
