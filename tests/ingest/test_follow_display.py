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
    done = Following(lines=12, invalid=1, waiting_for="access\x1b.log to appear")
    assert display._line(done, 3.4) == (
        "12 lines · 1 invalid · 3/s · waiting for access\\x1b.log to appear"
    )
    assert display._line(Following(), 0) == "0 lines · 0 invalid · 0/s"


def test_plain_lines_come_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    plain = display._Plain()

    def said(after_s, **done):
        now[0] += after_s
        plain.observe(Following(**done))
        return capsys.readouterr().err

    assert said(0, lines=1) == "1 lines spooled, 0 invalid\n"
    assert said(1, lines=2) == ""
    assert said(9, lines=2, invalid=1) == "2 lines spooled, 1 invalid\n"
    assert said(9, lines=2) == ""
    assert said(0, lines=2, waiting_for="HDFS") == ""
    assert said(2, lines=2, waiting_for="HDFS") == "waiting for HDFS\n"
    assert said(2, lines=2, waiting_for="HDFS") == ""


def test_the_end_is_one_sentence():
    assert display.summary(Following(lines=5, invalid=2)) == "5 lines spooled, 2 invalid"
