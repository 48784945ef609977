"""`speed rebuild`: the same buckets from the master dataset, whatever the stored ones became."""

import json
import random
import time
from calendar import timegm
from collections import Counter

import pytest

from clickstream.clients import kafka
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.days import DAY_SECONDS
from clickstream.views.realtime import RealTime, counts
from clickstream.views.realtime.rebuild import Recount
from clickstream.views.realtime.store import PART_S, part_of
from clickstream.views.realtime.writer import stamp_of
from tests.stack.test_speed_layer import (
    BASE,
    SET_ASIDE,
    answers,
    attacks,
    expected,
    filler,
    line,
    log_of,
    produce,
    stamped,
)
from tests.truth import ALL, Truth, success_class

DAY = "2015-05-18"
MIDNIGHT = BASE - 9 * 3600


def printed_at(second: int, zone_h: int) -> bytes:
    """A line of that instant, as a clock in that zone prints it."""
    clock = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(second + 3600 * zone_h)).encode()
    return b'h - - [%s %+03d00] "GET /zone HTTP/1.1" 404 1' % (clock, zone_h)


def lines_of(server: str) -> list[bytes]:
    """Attacks among others, lines around both midnights in far zones, lines to be set aside."""
    end = DAY_SECONDS
    zones = [(-1, 23), (0, 23), (0, -23), (end - 1, 23), (end, -23), (end - 1, -23)]
    lines = attacks()[server] + filler(300, len(server))
    lines += [printed_at(MIDNIGHT + second, zone_h) for second, zone_h in zones] + SET_ASIDE
    random.Random(server).shuffle(lines)
    return lines


def put(settings: Settings, server: str, name: str, values: list[bytes]) -> None:
    """Closed files of the master dataset with these stamped lines."""
    days: dict[bytes, list[bytes]] = {}
    for value in values:
        days.setdefault(value.split(b"\t")[2], []).append(value + b"\n")
    hdfs = Hdfs.connect(settings)
    for day, lines in days.items():
        directory = f"{settings.hdfs.master}/dt={day.decode()}/server={server}"
        hdfs.write(f"{directory}/{name}", lines)


def buckets(settings: Settings) -> Counter:
    """The sums of all partials, read by hand: by metric, server, second and key."""
    found: Counter = Counter()
    with RealTime.connect(settings) as views:
        for row in views.run("SELECT metric, counts FROM buckets"):
            for server, seconds in json.loads(row.counts).items():
                for second, keys in seconds.items():
                    leaves = {(row.metric, server, int(second), key): n for key, n in keys.items()}
                    found.update(leaves)
    return found


def summed(truth: Truth) -> Counter:
    """What `buckets` must be, by the independent reader."""
    found: Counter = Counter()
    for server in truth.valid:
        for each in truth.of(server):
            clock = timegm((*map(int, each.day.split("-")), each.hour, each.minute, 0))
            found["minute", server, clock, success_class(each.status)] += 1
            found["ip", server, each.instant, each.host.decode("latin-1")] += 1
            found["category", server, each.instant, each.category.decode("latin-1")] += 1
            found["non_200", server, each.instant, each.status] += each.status != "200"
    return +found


def rebuild(run) -> dict[str, object]:
    (row,) = json.loads(run("speed", "rebuild", "--date", DAY, "--format", "json").stdout)
    return row


def lose_the_offenders(settings: Settings) -> None:
    with RealTime.connect(settings) as views:
        stamp = stamp_of(views.status()["batch"])
        views.run(f"DELETE FROM ddos USING TIMESTAMP {stamp} WHERE day = ?", DAY)
        assert views.offenders(None) == []


def spoil(settings: Settings) -> None:
    """Minutes lost, minutes grown, a minute that never was."""
    with RealTime.connect(settings) as views:
        batch, part = views.status()["batch"], part_of(BASE)
        views.run("DELETE FROM buckets WHERE part = ? AND metric = 'ip'", part)
        more = json.dumps({"weblog1": {str(BASE + 5): {"both": 900, "404": 900}}})
        insert = "INSERT INTO buckets (part, metric, slot, batch_id, piece, counts) VALUES"
        for metric in (counts.CATEGORY, counts.NON_200):
            views.run(f"{insert} (?,?,?,?,0,?)", part, metric, BASE, batch, more)
        views.run(f"{insert} (?,'ip',?,0,7,?)", part + PART_S, part + PART_S, more)
        views.run("INSERT INTO present (metric, part) VALUES ('ip', ?)", part + PART_S)


def a_rebuild_that_is_killed_half_way(settings: Settings) -> None:
    with Recount.connect(settings) as views:
        views.begin()
        half = iter([((counts.IP, BASE), {"weblog1": {BASE + 5: {"both": 1}}})])

        def minutes():
            yield from half
            raise InterruptedError

        with pytest.raises(InterruptedError):
            views.replace_day(DAY, minutes())


def test_a_day_is_made_again_from_the_master_dataset(fresh, run, jobs):
    kafka.ensure_topic(fresh)
    logs, rest = {}, {}
    for server in ("weblog1", "weblog2"):
        lines = lines_of(server)
        values = stamped(server, [*lines, line(BASE + 5, b"both"), line(BASE + 9, b"later")])
        read, rest[server] = values[:-2], values[-2:]
        produce(fresh, server, [*read, *read[100:200]])
        put(fresh, server, "one", [*values, *values[5:50]])
        put(fresh, server, "two", values[20:60])
        logs[server] = [each for each in lines if each not in SET_ASIDE]
    run("speed", "run", "--available-now", "--max-rows", 500)
    streamed = answers(fresh, list(logs))
    assert streamed == expected({server: log_of(lines) for server, lines in logs.items()})
    whole = buckets(fresh)
    assert whole == summed(Truth({server: log_of(lines) for server, lines in logs.items()}))

    lose_the_offenders(fresh)
    with jobs():
        row = rebuild(run)
    truth = Truth({server: log_of(lines) for server, lines in logs.items()})
    in_day = sum(MIDNIGHT <= each.instant < MIDNIGHT + DAY_SECONDS for each in truth.of(ALL))
    assert (row["date"], row["lines"]) == (DAY, in_day)
    assert (answers(fresh, list(logs)), buckets(fresh)) == (streamed, whole)

    spoil(fresh)
    assert answers(fresh, list(logs)) != streamed
    a_rebuild_that_is_killed_half_way(fresh)
    rebuild(run)
    assert (answers(fresh, list(logs)), buckets(fresh)) == (streamed, whole)

    for server, values in rest.items():
        produce(fresh, server, values)
        logs[server] += [value.split(b"\t", 3)[3] for value in values]
    run("speed", "run", "--available-now")
    whole = expected({server: log_of(lines) for server, lines in logs.items()})
    assert answers(fresh, list(logs)) == whole
    assert whole["offenders"][BASE + 5, "both"] == 122
    what_cannot_be_rebuilt_is_refused(fresh, run)
    assert answers(fresh, list(logs)) == whole


def what_cannot_be_rebuilt_is_refused(settings: Settings, run) -> None:
    (last,) = sorted(
        (settings.files.checkpoint / "commits").glob("[0-9]*"),
        key=lambda path: int(path.name),
    )[-1:]
    last.rename(last.with_name(f"kept-{last.name}"))
    failed = run("speed", "rebuild", "--date", DAY, code=1).stderr
    assert "was cut off" in failed
    assert "speed run --available-now" in failed
    hdfs = Hdfs.connect(settings)
    hdfs.write(f"{settings.hdfs.master}/dt=2015-05-19/server=weblog1/_part.tmp", [b"x"])
    assert "being written" in run("speed", "rebuild", "--date", DAY, code=1).stderr
    assert "no lines of" in run("speed", "rebuild", "--date", "2016-01-01", code=1).stderr


def test_a_rebuild_before_anything_was_counted_is_refused(fresh, run):
    failed = run("speed", "rebuild", "--date", DAY, code=1).stderr
    assert failed.startswith("Error: the speed layer has counted nothing yet")
