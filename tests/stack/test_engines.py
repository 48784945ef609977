"""One regular expression, three engines: Python, Flume and Spark give the same verdict and fields.

The lines: those of other parsers' tests where they are beside the checkout, hostile ones, and
seeded mutations of both.
"""

import json
import os
import random

import pytest

from clickstream import weblog
from clickstream.java import java_home_env
from tests.stack.homes import SHARED
from tests.stack.stores import by_offset, closed_lines, offsets

SEED = 20150518
MUTATIONS = 2000
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
ODD_BYTES = b' "\\[]/-+:\x00\x85\xff\tA0\x0b\x1c\xa0'


def some_lines() -> list[bytes]:
    """Lines without line ends, none of which holds a line feed."""
    lines = [FORMAT % (request, b"agent") for request in REQUESTS] + list(OTHERS)
    for file in (SHARED / "corpora").glob("*.jsonl"):
        texts = (json.loads(text)["line"] for text in file.read_text().splitlines())
        lines += [text.rstrip("\r\n").encode() for text in texts if "\n" not in text.rstrip("\r\n")]
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


def fields(line: bytes) -> list[str] | None:
    """What Python makes of a line, as `weblog.sql_line` orders it; None for an invalid one."""
    try:
        entry = weblog.parse(line)
    except weblog.Reject:
        return None
    clock = [f"{entry.hour:02}", f"{entry.minute:02}"]
    return [entry.host, *clock, entry.status, weblog.category(entry.request)]


def test_flume_agrees(fresh, run, lines, tmp_path):
    content = b"".join(line + b"\n" for line in lines)
    (tmp_path / "odd.log").write_bytes(content)
    run("weblog", "put", tmp_path / "odd.log", "--server", "weblog1")
    run("ingest", "start")
    run("ingest", "replay", "--wait")
    found = by_offset(closed_lines(fresh, fresh.hdfs.master))["weblog1"]
    numbered = offsets(content)
    assert found == {at: raw for at, raw in numbered.items() if weblog.judge(raw).reason is None}
    rest = by_offset(closed_lines(fresh, fresh.hdfs.quarantine))["weblog1"]
    assert found | rest == numbered
    assert len(found) > 300
    assert len(rest) > 300


def test_spark_agrees(lines, monkeypatch):
    from pyspark.sql import SparkSession

    for key, value in java_home_env(os.environ).items():
        monkeypatch.setenv(key, value)
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    try:
        rows = [(number, bytearray(line)) for number, line in enumerate(lines)]
        session.createDataFrame(rows, "number int, bytes binary").createOrReplaceTempView("lines")
        line = weblog.sql_line("decode(bytes, 'ISO-8859-1')")
        parsed = session.sql(
            f"SELECT number, f, {weblog.sql_category('segment')} AS category FROM (SELECT *,"
            f" {weblog.sql_segment('get(f, 5)')} AS segment FROM ("
            f"SELECT number, {line} AS f FROM lines))"
        ).collect()
    finally:
        session.stop()
    found = {
        row.number: [row.f[0], *row.f[2:5], row.category] if len(row.f) == 6 else None
        for row in parsed
    }
    # The expression says nothing of the calendar: a line without a possible time never gets here.
    timeless = {n for n, line in enumerate(lines) if weblog.judge(line).reason == "impossible-time"}
    assert {n: found[n] for n in found if n not in timeless} == {
        n: fields(line) for n, line in enumerate(lines) if n not in timeless
    }
