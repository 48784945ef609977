"""One regular expression, three engines: Python, Flume and Spark give the same verdict and fields.

The lines: those of other parsers' tests where they are beside the checkout, hostile ones, and
seeded mutations of both; each of them in the shape of every format, and judged by every format.
"""

import json
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from clickstream import weblog
from clickstream.config import Settings
from clickstream.runtime.process import wait_until
from clickstream.views.realtime import counts
from clickstream.weblog import Format, categories, stamped
from clickstream.weblog.categories import Categories
from tests.stack import in_process
from tests.stack.homes import SHARED, fresh_home, runner
from tests.stack.stores import by_offset, closed_lines, offsets
from tests.weblog import server_formats

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SEED = 20150518
FILE = "0123456789abcdef"
MUTATIONS = 3000
STAMP = r"{server}\n{file}\n{offset}\n{ms}\n{day}\n"
MADE = STAMP + r"{host}\n{hour}\n{minute}\n{status}\n{agent}\n{request}"
TARGET = r"{target}\n{ms}"
FORMAT = b'1.2.3.4 - - [26/Feb/2024:00:00:00 +0000] "%s" 200 12 "-" "%s"'
REQUESTS = (
    rb"GET / HTTP/1.1",
    rb"GET  HTTP/1.1",
    rb"GET http://host HTTP/1.1",
    rb"GET http://host/x/y HTTP/1.0",
    rb"OPTIONS * HTTP/1.1",
    rb"",
    rb"-",
    rb"get / HTTP/1.1",
    rb"GET /a?x HTTP/2",
    rb"GET /a#x HTTP/1.1",
    rb"GET //x HTTP/1.1",
    rb"GET /a HTTP/1.10",
    rb"GET /$1\\n HTTP/1.1",
    rb"\"GET /a\" HTTP/1.1",
    b"GET /a\tb HTTP/1.1",
    b"GET /\xc2\x85 HTTP/1.1",
    b"GET /\xe9 HTTP/1.1\x85",
    b"GET /\xe8 HTTP/1.1",
)
OTHERS = (
    FORMAT % (b"GET /x HTTP/1.1", b"A" * 100_000),
    FORMAT % (b"GET /x HTTP/1.1", b"x") + b"\x85",
    FORMAT % (b"GET /x HTTP/1.1", b"x") + b"\xe2\x80\xa8",
    FORMAT % (b"GET /x HTTP/1.1", b"x") + b"\r",
    b'h\tx - u [x] y [26/Feb/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 -',
    b'h - "; id $(x) ][" [26/Feb/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 -',
    b'h -  [26/Feb/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 -',
    b'h - - [31/Feb/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 -',
    b'h - - [26/Feb/9999:00:00:00 +0000] "GET / HTTP/1.1" 200 -',
)
VHOST = b"www.example.org:443 "
MARK = b"\xef\xbb\xbf"
OTHER_SHAPES = (
    MARK + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    MARK + VHOST + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    VHOST + MARK + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    MARK + MARK + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    MARK[:2] + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    VHOST + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"[2001:db8::1]:80 " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"2001:db8::1 - u" + (FORMAT % (b"GET /x HTTP/1.1", b"x"))[9:],
    b":80 " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"h:80x " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"h::80 " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"h: " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    b"\x85\t:1 " + FORMAT % (b"GET /x HTTP/1.1", b"x"),
    VHOST + b'h - [31/Feb/2024: [26/Feb/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 - "" ""',
)
RANDOM = [server_formats.made(random.Random(seed)) for seed in range(SEED, SEED + 12)]
CLIENTS = {
    "listed": weblog.format_of("combined", "%h"),
    "behind": weblog.format_of("nginx_main", "$http_x_forwarded_for"),
}
FORMS = weblog.FORMATS | CLIENTS | {f"r{n}": weblog.format_of(w) for n, (w, _) in enumerate(RANDOM)}
"""Those with a name, those with a client, and formats at random."""
IN_FLUME = [*weblog.FORMATS, "r0", "r1"]
ODD_BYTES = b' "\\[]/-+:\x00\x85\xff\tA0\x0b\x1c\xa0'


def some_lines() -> list[bytes]:
    """Lines without line ends, none of which holds a line feed."""
    lines = [FORMAT % (request, b"agent") for request in REQUESTS] + [*OTHERS, *OTHER_SHAPES]
    for file in (SHARED / "corpora").glob("*.jsonl"):
        texts = (json.loads(text)["line"] for text in file.read_text().splitlines())
        lines += [text.rstrip("\r\n").encode() for text in texts if "\n" not in text.rstrip("\r\n")]
    lines += [VHOST + line for line in lines] + [line.partition(b' "-"')[0] for line in lines]
    lines += [line + behind for line in lines for behind in (b' "-"', b" 300 5000")]
    lines += [line for _, made in RANDOM for line, _ in made]
    chance = random.Random(SEED)
    short = [line for line in lines if 0 < len(line) < 1000]
    for _ in range(MUTATIONS):
        line = bytearray(chance.choice(short))
        for _ in range(chance.randint(1, 3)):
            line[chance.randrange(len(line))] = chance.choice(ODD_BYTES)
        lines.append(bytes(line))
    return lines


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """The same lines for every engine."""
    return some_lines()


def fields(line: bytes, form: Format) -> list[str] | None:
    """What Python makes of a line, as MADE orders it; None for an invalid one."""
    try:
        entry = weblog.parse(line, form)
    except weblog.InvalidLine:
        return None
    clock = [f"{entry.hour:02}", f"{entry.minute:02}"]
    agent = entry.agent or ""
    return [entry.host, *clock, entry.status, agent, entry.request]


def stored(settings: Settings, *roots: str) -> dict[str, dict[int, bytes]]:
    """Server -> offset -> line of what lies in closed files, below both roots unless named."""
    below = roots or (settings.hdfs.master, settings.hdfs.quarantine)
    return by_offset([line for root in below for line in closed_lines(settings, root)])


@pytest.fixture
def home(settings, tmp_path) -> Iterator[Settings]:
    """A home with a server, and so an edge agent, of each format IN_FLUME, called like it."""
    words = {name: name for name in weblog.FORMATS} | {f"r{n}": RANDOM[n][0] for n in range(2)}
    flags = {f"servers.{name}.agent": name for name in IN_FLUME}
    flags |= {f"servers.{name}.format": words[name] for name in IN_FLUME}
    yield from fresh_home(settings, tmp_path / "home", **flags)


def test_flume_agrees(home, tmp_path, lines):
    numbered = offsets(b"".join(line + b"\n" for line in lines))
    runner(home)("ingest", "start")
    forms = {name: FORMS[name] for name in IN_FLUME}
    for name, form in forms.items():
        stamped = (weblog.stamp(name, FILE, at, raw, form) for at, raw in numbered.items())
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in stamped))
        (tmp_path / name).rename(home.files.spool(name) / "chunk.log")
    total = len(forms) * len(numbered)
    wait_until(
        lambda: sum(map(len, stored(home).values())) >= total,
        120,
        "all lines in closed files",
        interval_s=1,
    )
    found, rest = stored(home, home.hdfs.master), stored(home, home.hdfs.quarantine)
    for name, form in forms.items():
        valid = {at for at, raw in numbered.items() if weblog.judge(raw, form).reason is None}
        assert found[name] == {at: numbered[at] for at in valid}
        assert found[name] | rest[name] == numbered
        assert min(len(found[name]), len(rest[name])) > (50 if name in weblog.FORMATS else 4)


@pytest.fixture
def spark() -> "SparkSession":
    """The shared Spark."""
    return in_process.session()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_spark_agrees(spark, lines, form):
    """Of a plain server and, as configured, of one with virtual hosts, in one query."""
    servers = ("plain", "virtual")
    rows = [(n, each, bytearray(line)) for n, line in enumerate(lines) for each in servers]
    frame = spark.createDataFrame(rows, "number int, server string, bytes binary")
    frame.createOrReplaceTempView("lines")
    readings = {"virtual": form} if form.reading != weblog.COMBINED.reading else {}
    prefix = f"'{weblog.STAMP_VERSION}:', server, ':{FILE}:', number, '\\t-7\\t2015-05-18\\t'"
    parsed = spark.sql(
        f"SELECT number, server, f, short, stamped RLIKE r'{form.stamped}' AS valid,"
        f" {stamped.category('get(short, 0)')} AS category,"
        f" {weblog.sql_category(weblog.sql_segment('get(f, 10)'))} AS in_steps FROM"
        f" (SELECT *, {stamped.fields('stamped', MADE, readings)} AS f,"
        f" {stamped.fields('stamped', TARGET, readings)} AS short"
        f" FROM (SELECT *, concat({prefix}, decode(bytes, 'ISO-8859-1')) AS stamped FROM lines))"
    ).collect()
    found = {(row.server, row.number): row for row in parsed}
    assert len(found) == 2 * len(lines)
    read = {"plain": weblog.COMBINED, "virtual": form if readings else weblog.COMBINED}
    for (server, number), row in found.items():
        assert len(row.f) in (1, 11)
        assert len(row.short) == min(len(row.f), 2)
        made = row.f[5:] if len(row.f) > 1 else None
        # The expression says nothing of the calendar: a line without a possible time never gets
        # here, nor does one that is not valid in the server's own format.
        raw, reading = lines[number], read[server]
        reason = weblog.judge(raw, form).reason
        assert row.valid == (form.timed.match(raw) is not None), raw
        if weblog.judge(raw, reading).reason is None:
            assert made == fields(raw, reading), raw
        elif reading.loose.match(raw) is None or (
            reading.reading == reading.line and reason != "impossible-time"
        ):
            assert made is None, raw
        if server == "virtual" and reason is None:
            assert made == fields(raw, form), raw
        if made is not None:
            assert row.f[:5] == [server, FILE, str(number), "-7", "2015-05-18"]
            assert row.category == row.in_steps == weblog.category(made[-1]), raw
            assert row.short[1] == "-7"


def test_spark_shortens_a_host_as_python_does(spark):
    hosts = [char * n for char in ("h", "\x85", "\xe9") for n in (1, 1000, 1001, 5000)]
    frame = spark.createDataFrame([(host,) for host in hosts], "host string")
    found = [row[0] for row in frame.selectExpr(counts.sql_named("host")).collect()]
    assert found == [counts.named(host) for host in hosts]
    assert sum(a != b for a, b in zip(found, hosts, strict=True)) == 6


PIECES = [*"ab/.?-_=&'\"$^|", r"\.", r"\d", r"\W", r"\x85", "(?:a|b)", "(?!a)", "(?=.)", "(b)?"]
PIECES += [
    "a*",
    ".+?",
    r"\s?",
    "[a-z/]{2}",
    "[^ab]{1,}",
    r"[?&]",
    r"[\xe8\-$]",
    "a{0,2}?",
    "[${x}]",
]
TARGET_CHARS = "ab/.?&=c-_$'\"\x85\xe9\xe8\xa0\t\r\x0bAB#"


def some_rules(chance: random.Random) -> list[dict[str, str]]:
    """Rules of the subset that Python takes, in no sensible shape."""
    rules: list[dict[str, str]] = []
    while len(rules) < 20:
        match = chance.choice(["", "(?i)"]) + "".join(
            chance.choices(PIECES, k=chance.randint(2, 5))
        )
        try:
            Categories(rules=[{"match": match, "name": "x"}])
        except ValueError:
            continue
        rules.append({"match": match, "name": f"${{{len(rules)}}}:é'"})
    return rules


def test_spark_maps_categories_as_python_does(spark):
    chance = random.Random(SEED)
    targets = ["".join(chance.choices(TARGET_CHARS, k=chance.randrange(14))) for _ in range(600)]
    targets += [f"/x?{'a' * n}&c={value}" for n in (0, 3, 2000) for value in ("toys", "", "\xe9'")]
    requests = [f"GET {target} HTTP/1.1" for target in targets] + ["", "GET /a?c=x"]
    mappings = [Categories(rules=[rule]) for rule in some_rules(chance)]
    every = [rule for mapping in mappings for rule in mapping.rules]
    mappings += [Categories(parameter="c"), Categories(parameter="c", rules=every)]
    frame = spark.createDataFrame(list(enumerate(requests)), "number int, request string")
    frame.createOrReplaceTempView("requests")
    columns = [categories.sql("segment", "request", mapping) for mapping in mappings]
    rows = spark.sql(
        f"SELECT number, array({', '.join(columns)}) AS found FROM"
        f" (SELECT *, {weblog.sql_segment('request')} AS segment FROM requests)"
    ).collect()
    mapped = 0
    for row in rows:
        request = requests[row.number]
        made = [categories.of(request, mapping) for mapping in mappings]
        assert row.found == made, (request, mappings)
        mapped += sum(name != weblog.category(request) for name in made)
    assert mapped > 500


def test_no_target_ends_the_job(spark):
    """What backtracks, at the longest target; a repeated group would overflow Java's stack here."""
    frame = spark.createDataFrame([("GET /" + "ab" * 130_000 + "! HTTP/1.1",)], "request string")
    frame.createOrReplaceTempView("requests")
    mapping = Categories(parameter="c", rules=[{"match": "a.*b.*!x", "name": "x"}])
    column = categories.sql("segment", "request", mapping)
    (row,) = spark.sql(
        f"SELECT {column} AS found FROM"
        f" (SELECT *, {weblog.sql_segment('request')} AS segment FROM requests)"
    ).collect()
    assert row.found == "/" + "ab" * 130_000 + "!"
