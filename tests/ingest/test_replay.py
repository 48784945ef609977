"""Pace, order and the lock of a replay, without a stack."""

import hashlib

import pytest

from clickstream import config
from clickstream.errors import ClickstreamError
from clickstream.ingest import flow, replay, replay_display
from clickstream.ingest.flow import Backlog
from clickstream.ingest.replay import Pace
from clickstream.ingest.spool.chunks import PendingChunk
from clickstream.ingest.spool.logs import Recognition
from clickstream.ingest.spool.spooler import OpenLog


def chunk(first, last, lines=1):
    made = PendingChunk(0, 1, first, last)
    made.counts["2015-05-18", ""] = lines
    return made


def piece(server, first):
    log = OpenLog(server, "0" * 16, server, Recognition(None, 0, hashlib.sha256()))
    return replay._Piece(log, chunk(first, first))


@pytest.fixture
def settings(tmp_path):
    return config.load(home=tmp_path / "home")


def test_unpaced_chunks_are_as_large_as_configured(settings):
    limits = Pace().limits(settings)
    assert limits == (settings.replay.chunk_lines, settings.replay.chunk_bytes, 0)


def test_paced_chunks_are_half_a_second_of_the_replay(settings):
    assert Pace(rate=100).limits(settings).lines == 50
    assert Pace(rate=0.5).limits(settings).lines == 1
    assert Pace(speed=60).limits(settings).span_s == 30
    assert Pace(speed=0.5).limits(settings).span_s == 1


def gaps(pace, *chunks):
    clock = replay._Clock(pace)
    return [clock._gap_s(each) for each in chunks]


def test_a_rate_is_lines_per_second():
    assert gaps(Pace(rate=100), chunk(0, 9, 50), chunk(9, 9, 200)) == [0.5, 2.0]


def test_event_time_runs_so_many_times_as_fast():
    assert gaps(Pace(speed=10), chunk(100, 120), chunk(120, 150)) == [2.0, 3.0]


def test_a_silence_is_shortened():
    pace = Pace(speed=10, max_gap_s=60)
    assert gaps(pace, chunk(0, 10), chunk(3600, 3600), chunk(3600, 3610)) == [1.0, 6.0, 1.0]


def test_time_that_goes_back_waits_for_nothing():
    assert gaps(Pace(speed=1), chunk(100, 100), chunk(50, 50), chunk(100, 101)) == [0, 0, 1.0]


def test_as_fast_as_possible_waits_for_nothing():
    assert gaps(Pace(), chunk(0, 10**9)) == [0]


def test_servers_are_merged_by_event_time_and_keep_their_own_order():
    one = [piece("one", second) for second in (10, 40, 20)]
    two = [piece("two", second) for second in (5, 15, 45)]
    merged = replay._merged([iter(one), iter(two)])
    found = [(each.log.server, each.chunk.first) for each in merged]
    assert found == [("two", 5), ("one", 10), ("two", 15), ("one", 40), ("one", 20), ("two", 45)]


def test_a_backlog_that_stands_still_is_an_error():
    watch = flow._Watch(timeout_s=-1, reason=lambda: "; because of Kafka")
    watch.see(Backlog("the spools to empty", 3, 0))
    watch.see(Backlog("the spools to empty", 2, 0))
    with pytest.raises(ClickstreamError, match="moved for -1 s; because of Kafka"):
        watch.see(Backlog("the spools to empty", 2, 0))


@pytest.mark.parametrize(
    ("lines", "said"),
    [(0, "nothing new"), (5, "5 lines of 2 logs spooled, 1 invalid")],
)
def test_summary(lines, said):
    done = replay.Progress(lines=lines, invalid=1, logs=2)
    assert said in replay_display.summary(done)
