"""What two web shops serve, who visits them, and how their logs go wrong.

All text stands for bytes (ISO-8859-1).
"""

from clickstream.scenario.plan import Page

CAFE_UTF8 = "/caf\xc3\xa9"
CAFE_LATIN1 = "/caf\xe9"

PAGES = {
    "/images": ("GET /images/logo.png HTTP/1.1", "GET /images/shoes/red%20shoe.jpg HTTP/1.1"),
    "/": ("GET / HTTP/1.1", "GET /?next=/blog/all HTTP/1.1", "HEAD / HTTP/1.0"),
    "/blog": (
        "GET /blog/2015/05/lambda.html HTTP/1.1",
        "GET http://www.example.org/blog/feed?format=rss HTTP/1.1",
        "GET /blog?see=http://www.example.org/images/a.gif HTTP/1.1",
    ),
    "/sale": ("GET /sale/may.html HTTP/1.1", "GET /sale?page=2#top HTTP/1.1"),
    "/shop": ("POST /shop/basket HTTP/1.1", "GET /shop/hats/17 HTTP/2.0"),
    "/static": ("GET /static/site.css HTTP/1.1", "GET /static/site.js HTTP/1.1"),
    CAFE_UTF8: (f"GET {CAFE_UTF8}/men\xc3\xbc.html HTTP/1.1",),
    "/search": (r"GET /search?q=\"red+shoes\" HTTP/1.1",),
    CAFE_LATIN1: (f"GET {CAFE_LATIN1}/carte HTTP/1.0",),
    "/api": ("PUT /api/v1/stock HTTP/1.1", "GET /api//v2 HTTP/2"),
    "/about.html": ("GET /about.html HTTP/1.1",),
    "/Blog": ("GET /Blog/ HTTP/1.1",),
    "(bad-request-line)": ("GET /legacy.html", "-", r"\x16\x03\x01\x02", "GET /a b HTTP/1.1", ""),
    "(not-a-path)": ("OPTIONS * HTTP/1.0", "CONNECT mail.example.org:25 HTTP/1.1"),
}
"""Category -> request lines, the most asked for first."""

LOGIN = Page("/login", "POST /login HTTP/1.1")

USERS = ("-",) * 30 + ("alice", "Mary Ann", "ops [night shift] x")

TAILS = (
    ' "-" "Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 Firefox/38.0"',
    ' "http://www.example.org/" "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36"',
    ' "http://search.example.com/?q=lambda+shop" "Mozilla/5.0 (iPad; CPU OS 8_3 like Mac OS X)"',
    ' "-" "Googlebot/2.1 (+http://www.google.com/bot.html)"',
    ' "" "curl/7.38.0"',
    r' "-" "the \"quoted\" agent with a \\ at its end\\"',
    ' "-" "agent caf\xc3\xa9 in UTF-8, caf\xe9 in latin-1"',
    "",
)
"""What follows the size: referer and agent, or nothing in the Common format."""

STATUSES = {
    "200": 92.0,
    "304": 3.0,
    "301": 1.0,
    "302": 0.5,
    "206": 0.5,
    "204": 0.2,
    "404": 2.0,
    "403": 0.2,
    "400": 0.2,
    "500": 0.2,
    "101": 0.1,
    "100": 0.1,
}
"""Status -> its share on a quiet day, in percent."""

TROUBLE = ("503", "500", "502", "503", "404")

FLOOD = "203.0.113.250"
SPLIT_FLOOD = "203.0.113.251"
BUSY_BUT_LEGAL = "203.0.113.252"

BAD_LINES = (
    ("blank", ""),
    ("blank", "\r"),
    ("not-a-client", '{host}, 10.0.9.1 - - [{time}] "GET /a HTTP/1.1" 200 5 "-" "x"'),
    ("prefix", 'May 18 10:00:00 web1 nginx: {host} - - [{time}] "GET /a HTTP/1.1" 200 5'),
    ("shifted-columns", '{host} - - 0.005 [{time}] "GET /a HTTP/1.1" 200 5 "-" "x"'),
    ("bad-quoting", '{host} - - [{time}] "GET /a HTTP/1.1" 200 5 "-" "said "hello" twice"'),
    ("bad-quoting", '{host} - - [{time}] "GET /cut/off HTTP/1.1" 200 5 "-" "Mozilla/5.0 (X1'),
    ("more-fields", '{host} - - [{time}] "GET /more HTTP/1.1" 200 5 "-" "x" "y"'),
    ("not-a-log-line", "{host} - - [18/May/2015:1"),
    ("not-a-log-line", "java.lang.OutOfMemoryError: Java heap space"),
    ("not-a-log-line", "[{time}] [error] [client {host}] File does not exist: /var/www/a"),
    ("impossible-time", '{host} - - [31/Feb/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 5'),
    ("impossible-time", '{host} - - [17/May/2015:24:00:00 +0000] "GET /a HTTP/1.1" 200 5'),
    ("impossible-time", '{host} - - [17/May/2015:10:00:00 +2500] "GET /a HTTP/1.1" 200 5'),
    ("bad-status", '{host} - - [{time}] "GET /a HTTP/1.1" - 7908 "-" "x"'),
    ("bad-status", '{host} - - [{time}] "GET /a HTTP/1.1" 2OO 5 "-" "x"'),
    ("binary", "\x00\x00\x00\x00\x00\x00\x00\x00\x16\x03\x01\xff\xfe\x7f{host}"),
)
"""Reason -> a line; its host and a time that exists are filled in."""
