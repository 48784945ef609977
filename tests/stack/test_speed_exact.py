"""The speed layer is exact whatever the batches, the order and the silence of a server; and no
record of the topic, however odd, stops it or changes a figure.
"""

import json
import random
from collections import Counter

import pytest

from clickstream.clients import kafka
from clickstream.config import Settings
from clickstream.views.realtime import RealTime
from tests.stack.stores import kafka_producer
from tests.stack.test_speed_layer import (
    BASE,
    EVERY,
    FILE,
    SET_ASIDE,
    answers,
    attacks,
    expected,
    filler,
    iso,
    line,
    log_of,
    produce,
    stamped,
)
from tests.stack.test_speed_rebuild import buckets, summed
from tests.truth import Truth, ranked

SEED = 5
SMALL = 500
LARGEST = 2 * 2**20 - 4096
GOOD = b'h - - [18/May/2015:09:00:01 +0000] "GET /odd HTTP/1.1" 404 1'
ODD_NUMBERS = [
    b"",
    b"-",
    b"+1",
    b" 1 ",
    b"1e3",
    b"NaN",
    b"0x1",
    b"-0",
    b"9" * 18,
    b"9" * 19,
    b"9" * 400,
]
ODD_NUMBERS += [b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"\xb2"]
ODD_DAYS = [
    b"",
    b"-",
    b"2015-13-01",
    b"2015-5-8",
    b"+99999-01-01",
    b"-0001-01-01",
    b"today",
    b"\x00",
]
ODD_IDS = [
    b"v1:weblog1:%s:" % (b"f" * 16),
    b"v1:all:%s:" % (b"f" * 16),
    b"v2:weblog1:%s:1" % FILE.encode(),
]
ODD_IDS += [
    b"v1:" + b"s" * 300 + b":%s:1" % (b"f" * 16),
    b"v1:weblog1:%s:1:1" % FILE.encode(),
    b"v1:::",
]


def odd_records(chance: random.Random) -> list[bytes]:
    """None of them is a stamped valid line: each must be skipped, and change nothing else.

    Many have the id of a real log's line far ahead, which would make the log's own lines copies.
    """
    ahead = f"v1:weblog1:{FILE}:{10**17}".encode()
    odd = [b"%s\t%s\t2015-05-18\t%s" % (ahead, number, GOOD) for number in ODD_NUMBERS[:6]]
    odd += [b"%s\t%s\t2015-05-18\t%s" % (ahead, n, GOOD) for n in (b"9" * 19, b"9" * 400, b"\xb2")]
    odd += [
        b"%s%s\t1431939601000\t2015-05-18\t%s" % (ODD_IDS[0], n, GOOD)
        for n in ODD_NUMBERS
        if not n.isdigit() or len(n) > 18
    ]
    odd += [b"%s\t1431939601000\t%s\t%s" % (ahead, day, GOOD) for day in ODD_DAYS]
    odd += [b"%s\t1431939601000\t2015-05-18\t%s" % (name, GOOD) for name in ODD_IDS]
    head = ahead + b"\t1431939601000\t2015-05-18\t"
    odd += [head, head[:-1], head + GOOD[:30], head + GOOD + b"\x00", head + b"\xff\xfe" * 500]
    odd += [
        head + b"\t" * 100_000,
        head + b'"' * 300_000,
        head + b"x" * (LARGEST - len(head)),
        b"\n" * 9,
        head + b"\n" * 9,
        b"v1:x\n1\n2" + head[len(ahead) :] + GOOD,
    ]
    odd += [head + GOOD.replace(b" 404 ", b" 40x "), head + GOOD.replace(b"[", b"[" * 1000)]
    odd += [chance.randbytes(chance.randrange(400)) for _ in range(300)]
    for _ in range(300):
        torn = bytearray(head + GOOD)
        for _ in range(chance.randint(3, 9)):
            torn[chance.randrange(len(ahead))] = chance.choice(b"\x00\t\n \xff:;v9-")
        torn[chance.randrange(len(ahead))] = chance.choice(b"\x00\n \xff;")
        odd.append(bytes(torn))
    return odd


def produce_any(settings: Settings, values: list[bytes]) -> None:
    """Records of any size, over both partitions."""
    producer = kafka_producer(settings, **{"message.max.bytes": 2 * 2**20})
    for number, value in enumerate(values):
        producer.produce(settings.kafka.topic, value, partition=number % 2)
        producer.poll(0)
    assert producer.flush(60) == 0


def popularity(run, at: int) -> list[tuple[int, int]]:
    rows = run("report", "popularity", "--at", iso(at), "--top", EVERY, "--format", "json").stdout
    return [(row["rank"], row["requests"]) for row in json.loads(rows)]


def ranks(truth: Truth, at: int) -> list[tuple[int, int]]:
    return [(rank, n) for rank, (_, n) in enumerate(ranked(truth.popularity(at)), 1)]


SIZES = ((SMALL, 12), (EVERY, 1))
"""Records of a batch, and how many batches there are then at least."""


@pytest.mark.parametrize(
    "again",
    [(), pytest.param(SIZES, marks=pytest.mark.campaign("several batch sizes"))],
    ids=["once", "several"],
)
def test_batches_order_and_silence_change_nothing_and_nothing_odd_stops_it(fresh, run, again):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    kafka.ensure_topic(fresh)
    lines = {server: own + filler(2700, 7) for server, own in attacks().items()}
    for own in lines.values():
        chance.shuffle(own)
    lines["weblog1"][450:450] = [line(BASE + 7, b"cut")] * 101  # over the end of a first batch
    lines["weblog2"] += [line(BASE - 3 * 3600 + n, b"behind", status=404) for n in range(400)]
    logs = {server: log_of(own) for server, own in lines.items()}

    produce(fresh, "weblog1", stamped("weblog1", lines["weblog1"]))
    run("speed", "run", "--available-now", "--max-rows", SMALL)
    silent = {"weblog1": logs["weblog1"]}
    found = answers(fresh, ["weblog1"])
    assert found == expected(silent)
    assert found["offenders"][BASE + 7, "cut"] == 101
    assert popularity(run, BASE + 400) == ranks(Truth(silent), BASE + 400)

    two, odd = stamped("weblog2", lines["weblog2"]), odd_records(random.Random(SEED))
    produce(fresh, "weblog2", [*two[:700], *two[300:600]])
    produce_any(fresh, odd)
    produce(fresh, "weblog2", stamped("weblog2", lines["weblog2"] + SET_ASIDE)[700:])
    produce(fresh, "weblog1", stamped("weblog1", [*lines["weblog1"], line(BASE + 3)])[-1:])
    logs["weblog1"] += log_of([line(BASE + 3)])
    run("speed", "run", "--available-now", "--max-rows", 10 * SMALL)
    whole, sums = expected(logs), summed(Truth(logs))
    assert (answers(fresh, list(logs)), buckets(fresh)) == (whole, sums)
    assert len({key[1] for key in sums if key[0] == "ip" and key[3] == "both"}) == 2
    assert popularity(run, BASE + 400) == ranks(Truth(logs), BASE + 400)
    line_counts = json.loads(run("speed", "status", "--format", "json").stdout)["servers"]
    assert Counter({s: each["skipped"] for s, each in line_counts.items()}).total() == len(odd)
    assert {s: each["set_aside"] for s, each in line_counts.items() if each["set_aside"]} == {
        "weblog2": 4
    }
    assert line_counts["weblog2"]["copies"] == 300
    footer = run("report", "popularity").stdout.splitlines()[-1]
    assert "; weblog2 4 set aside" in footer
    assert f"not counted: ? {line_counts['?']['skipped']} skipped; " in footer

    for rows, batches in again:
        run("speed", "reset", "--yes")
        run("speed", "run", "--available-now", "--max-rows", rows)
        assert (answers(fresh, list(logs)), buckets(fresh)) == (whole, sums)
        with RealTime.connect(fresh) as views:
            status = views.status()
        assert status["servers"] == line_counts
        assert status["batch"] + 1 >= batches
