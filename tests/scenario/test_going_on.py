"""Traffic that ends now, and goes on: valid, with an attack and an outage in each cycle."""

from collections import Counter
from datetime import datetime
from itertools import islice

from clickstream import scenario
from clickstream.scenario import site, story

START = 1_800_000_000


def times(text):
    for line in text.splitlines():
        stamp = line.partition(b"[")[2].partition(b"]")[0].decode()
        yield int(datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z").timestamp())


def test_each_second_has_its_own_lines():
    for second, lines in enumerate(islice(scenario.going_on(7, START), 130), START):
        found = [
            time for text in lines.values() for time in times(text.replace(b"[night shift]", b""))
        ]
        assert set(found) <= {second}
        assert all(text == b"" or text.endswith(b"\n") for text in lines.values())


def test_a_cycle_has_an_attack_and_an_outage_that_is_over():
    servers = ("one", "two")
    seconds = list(islice(story.going_on(story.SHAPES["demo"], "x", servers, START), story.CYCLE_S))
    hosts = [Counter(line.host for log in logs for line in log.lines) for logs in seconds]
    assert [n for n, found in enumerate(hosts) if found[site.FLOOD] > 100] == [story.FLOOD_AT_S]
    failed = [
        n for n, (_, last) in enumerate(seconds) if any(r.status != "200" for r in last.lines)
    ]
    assert len(failed) > 10
    assert failed[-1] + 300 < story.CYCLE_S


def test_the_days_end_when_they_are_to(tmp_path):
    paths = scenario.until(tmp_path, 7, START)
    assert paths.keys() == set(scenario.SERVERS)
    logs = story.plan(story.SHAPES["demo"], "demo/7", scenario.SERVERS)
    last = max(line.instant for log in logs for line in log.lines if hasattr(line, "instant"))
    moved = [story.shifted(log, START - story.END) for log in logs]
    assert max(r.instant for log in moved for r in log.lines if hasattr(r, "instant")) == (
        last + START - story.END
    )
    assert [paths[log.server].read_bytes() for log in moved] == [log.written() for log in moved]
    assert all(log.written().endswith(b"\n") for log in moved)
