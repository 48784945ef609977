"""A line explained, held against what the two layers would count of it."""

import json
import os
from pathlib import Path

import pytest

from clickstream import cli, config, weblog
from clickstream.config import Settings
from clickstream.errors import UsageError
from clickstream.explain import line as lines

AT = b"18/May/2015:09:05:59 +0200"
VALID = b'1.2.3.4 - u [%b] "GET /blog/a?x=1 HTTP/1.1" %b 12 "-" "agent"'
NOW = 1_500_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    flags = {"servers": json.dumps({"plain": {"agent": "a"}, "v": {"agent": "b", "format": VHOST}})}
    return config.load(home=tmp_path, flags=flags)


VHOST = "vhost_combined"


def explained(settings: Settings, raw: bytes, server: str | None = "plain") -> lines.Explanation:
    return lines.explain(settings, raw, server, NOW)


def counts(found: lines.Explanation) -> dict[str, dict[str, str]]:
    return {row["report"]: row for row in found.counts}


def test_a_valid_line(settings: Settings) -> None:
    found = explained(settings, VALID % (AT, b"200"))
    assert (found.reason, found.why) == ("", "")
    assert (found.instant, found.printed) == ("2015-05-18T07:05:59Z", AT.decode())
    assert (found.day, found.category, found.visitor) == ("2015-05-18", "/blog", "1.2.3.4")
    assert found.fields["request"] == "GET /blog/a?x=1 HTTP/1.1"
    assert found.fields["agent"] == "agent"
    assert found.as_dict()["verdict"] == "valid"


def test_the_counts_it_enters_go_by_both_clocks(settings: Settings) -> None:
    """Near midnight the day as printed is not the UTC day."""
    found = counts(explained(settings, VALID % (b"19/May/2015:00:10:00 +0200", b"404")))
    assert found["hourly"]["of"] == "2015-05-19, hour 00"
    assert found["responses"]["adds"] == "1 failure"
    assert found["categories"]["of"] == "2015-05-19, category /blog"
    assert found["ddos"]["of"] == "second 2015-05-18T22:10:00Z, address 1.2.3.4"
    assert "2015-05-18T22:10:00Z to 2015-05-18T22:14:59Z" in found["health"]["of"]
    assert found["health"]["server"] == "plain"


@pytest.mark.parametrize(("status", "kind"), [(b"304", "success"), (b"500", "failure")])
def test_other_than_200_is_a_matter_of_health(settings: Settings, status: bytes, kind: str) -> None:
    found = counts(explained(settings, VALID % (AT, status)))
    assert found["responses"]["adds"] == f"1 {kind}"
    assert found["health"]["adds"] == "1 non-200 response"
    assert counts(explained(settings, VALID % (AT, b"200")))["health"]["adds"] == "nothing"


@pytest.mark.parametrize(
    "at", [b"01/Jan/1970:00:00:00 +0000", b"31/Dec/9999:23:59:59 +0000"], ids=["early", "ahead"]
)
def test_what_the_speed_layer_sets_aside_the_batch_layer_has(settings: Settings, at: bytes) -> None:
    found = counts(explained(settings, VALID % (at, b"500")))
    assert found["responses"]["adds"] == "1 failure"
    for name in ("popularity", "ddos", "health"):
        assert found[name]["adds"] == "nothing"
        assert found[name]["of"].startswith("set aside")


INVALID = [
    b"",
    b"x" * (weblog.MAX_LINE_BYTES + 1),
    b"\x00\xff",
    b"example.org:80 " + VALID % (AT, b"200"),
    b"a, " + VALID % (AT, b"200"),
    b"web1 nginx: " + VALID % (AT, b"200"),
    (VALID % (AT, b"200")).replace(b"- u", b"- - u"),
    VALID % (AT, b"200") + b" 0.1",
    VALID % (b"31/Feb/2015:09:05:59 +0200", b"200"),
    (VALID % (AT, b"200")).replace(b"agent", b'a"b'),
    VALID % (AT, b"2x0"),
    b"no log line",
]


@pytest.mark.parametrize(("raw", "reason"), list(zip(INVALID, weblog.REASONS, strict=True)))
def test_every_reason_is_explained_and_counts_nothing(
    settings: Settings, raw: bytes, reason: str
) -> None:
    raw = raw if reason != "other-format" else b"example.org:80 " + VALID % (AT, b"200")
    server = "v" if reason == "other-format" else "plain"
    raw = VALID % (AT, b"200") if reason == "other-format" else raw
    found = explained(settings, raw, server)
    assert found.reason == reason
    assert found.why
    assert found.counts == []
    assert found.as_dict()["verdict"] == "invalid"


def test_an_impossible_time_is_shown_as_printed(settings: Settings) -> None:
    found = explained(settings, VALID % (b"31/Feb/2015:09:05:59 +0200", b"200"))
    assert (found.instant, found.printed) == (None, "31/Feb/2015:09:05:59 +0200")


def test_a_clock_at_the_end_of_the_calendar(settings: Settings) -> None:
    found = explained(settings, VALID % (b"01/Jan/0001:00:00:00 +0200", b"200"))
    assert (found.day, found.instant) == ("0001-01-01", "-62135604000 s since 1970")


def test_a_line_of_another_format_says_which(settings: Settings) -> None:
    vhost = b"example.org:80 " + VALID % (AT, b"200")
    assert explained(settings, VALID % (AT, b"200"), "v").valid_as == ["combined"]
    assert explained(settings, vhost, "v").fields["vhost"] == "example.org:80"


def test_a_stamped_line_is_read_behind_its_stamp(settings: Settings) -> None:
    stamped = weblog.stamp("v", "0" * 16, 7, b"example.org:80 " + VALID % (AT, b"200"))
    found = explained(settings, stamped, None)
    assert (found.server, found.reason, found.instant) == ("v", "", "2015-05-18T07:05:59Z")


def test_the_configured_visitor_and_categories(tmp_path: Path) -> None:
    flags = {
        "batch.visitor": "host+agent",
        "categories.rules": json.dumps([{"match": "^/blog", "name": "Blög"}]),
    }
    found = explained(config.load(home=tmp_path, flags=flags), VALID % (AT, b"200"), "weblog1")
    assert (found.visitor, found.category) == ("1.2.3.4 agent", "Blög")


def test_an_unknown_server(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no server x"):
        explained(settings, b"", "x")


def test_the_command_shows_hostile_bytes_and_never_obeys_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = (VALID % (AT, b"200")).replace(b"agent", b"\x1b[31m\xe9")
    assert cli.main(["--home", str(tmp_path), "explain", "line", os.fsdecode(raw)]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\\x1b[31m\\xe9" in text
    assert "2015-05-18T07:05:59Z" in text


def test_each_line_of_the_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_given = [VALID % (AT, b"200"), b"", VALID % (AT, b"404")]
    file = tmp_path / "log"
    file.write_bytes(b"\r\n".join(lines_given))
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        words = ["--home", str(tmp_path), "explain", "line", "-", "--format", "json"]
        assert cli.main(words) == 0
    rows = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [row["reason"] for row in rows] == ["", "blank", ""]
    assert [row["fields"].get("status") for row in rows] == ["200", None, "404"]
