"""How a follow is shown."""

from clickstream.ingest.follow import display
from clickstream.ingest.follow.follower import Following


def test_the_rate_is_that_of_the_last_seconds():
    rate = display.Rate()
    assert rate.of(0, 100.0) == 0
    assert rate.of(400, 104.0) == 100
    assert rate.of(400, 106.0) == 0
    assert rate.of(900, 109.0) == 100


def test_the_live_line():
    done = Following(lines=12, invalid=1, waiting_for="access.log to appear")
    assert display._live_line(done, 3.4) == (
        "12 lines · 1 invalid · 3/s · waiting for access.log to appear"
    )
    assert display._live_line(Following(), 0) == "0 lines · 0 invalid · 0/s"


def test_a_file_gets_what_was_done_and_what_it_waits_for(capsys):
    with display.shown() as watch:
        watch.observe(Following(lines=2, invalid=1, waiting_for="HDFS\x1b"))
        watch.notify("rotated")
    assert capsys.readouterr().err == "2 lines spooled, 1 invalid; waiting for HDFS\\x1b\nrotated\n"


def test_the_end_is_one_sentence():
    assert display.summary(Following(lines=5, invalid=2)) == "5 lines spooled, 2 invalid"
