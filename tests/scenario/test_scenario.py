"""Generated logs: the plan's truth against an independent reading, and every promised feature."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from clickstream import weblog
from clickstream.errors import BadInput, UsageError
from clickstream.scenario import generate
from clickstream.scenario.site import BUSY_BUT_LEGAL, FLOOD, SPLIT_FLOOD
from tests.truth import ALL, Truth, ranked

SEEDS = (1, 2, 15)
WINDOW_S = 300
FAVOURITES = (b"/images", b"/sale")
TWO = ("weblog1", "weblog2")


class Made(NamedTuple):
    """A generated scenario: the logs' bytes, the plan's truth, the independent reading."""

    logs: dict[str, bytes]
    truth: dict[str, Any]
    read: Truth

    @property
    def reports(self) -> dict[str, list[dict[str, Any]]]:
        return self.truth["reports"]

    def raw(self) -> list[bytes]:
        return [line for lines in self.read.raw.values() for line in lines]


@cache
def made(scenario: str, seed: int, servers: tuple[str, ...]) -> Made:
    with TemporaryDirectory() as directory:
        generated = generate(Path(directory), seed, scenario, servers=servers)
        logs = {server: path.read_bytes() for server, path in generated.paths.items()}
    return Made(logs, generated.truth, Truth(logs))


more_seeds = pytest.mark.campaign("other seeds of a long story")
STORIES = [
    ("demo", SEEDS[0], TWO),
    *(pytest.param(("demo", seed, TWO), marks=more_seeds) for seed in SEEDS[1:]),
    *(("small", seed, TWO) for seed in SEEDS),
]
CASES = [
    *STORIES,
    ("small", 4, ("only",)),
    ("small", 5, ("c", "a", "b", "d")),
]


def named(case: tuple[str, int, tuple[str, ...]]) -> str:
    return f"{case[0]}-{case[1]}-{len(case[2])}"


@pytest.fixture(params=CASES, ids=named)
def any_made(request: pytest.FixtureRequest) -> Made:
    return made(*request.param)


@pytest.fixture(params=STORIES, ids=named)
def any_story(request: pytest.FixtureRequest) -> Made:
    return made(*request.param)


@pytest.fixture(scope="module")
def demo() -> Made:
    return made("demo", 1, TWO)


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(category: bytes) -> str:
    return category.decode("utf-8", "backslashreplace")


def each(read: Truth) -> list[str]:
    return sorted([ALL, *read.valid])


def daily(read: Truth, figure: Callable[[str], dict[str, Any]]) -> list[tuple[str, str, Any]]:
    """(day, server, figure of that day) in the order of the reports."""
    return sorted(
        ((day, name, value) for name in each(read) for day, value in figure(name).items()),
        key=lambda row: row[:2],
    )


def test_books(any_made):
    for server, counts in any_made.truth["logs"].items():
        reasons = Counter(weblog.judge(raw).reason for raw in any_made.read.raw[server])
        valid = reasons.pop(None)
        assert counts == {
            "lines": any_made.read.lines(server),
            "valid": any_made.read.lines(server) - any_made.read.malformed(server),
            "invalid": dict(reasons),
            "bytes": len(any_made.logs[server]),
        }
        assert counts["valid"] == valid


def test_visitors(any_made):
    read = any_made.read
    requests = [row[2] for row in daily(read, read.requests)]
    assert any_made.reports["visitors"] == [
        {"date": day, "server": name, "unique_visitors": unique, "requests": count}
        for (day, name, unique), count in zip(daily(read, read.unique_hosts), requests, strict=True)
    ]


def test_responses(any_made):
    read = any_made.read
    assert any_made.reports["responses"] == [
        {
            "date": day,
            "server": name,
            "success": seen["success"],
            "failure": seen["failure"],
            "other": seen["other"],
            "requests": seen.total(),
        }
        for day, name, seen in daily(read, read.responses)
    ]


def test_distribution(any_made):
    unique, requests = any_made.read.unique_hosts(), any_made.read.requests()
    changes = [None, *(after - before for before, after in pairwise(unique.values()))]
    assert any_made.reports["distribution"] == [
        {
            "date": day,
            "unique_visitors": unique[day],
            "requests": requests[day],
            "change": change,
        }
        for day, change in zip(unique, changes, strict=True)
    ]


def test_hourly(any_made):
    assert any_made.reports["hourly"] == [
        {"hour": hour, "server": ALL, "requests": requests}
        for hour, requests in sorted(any_made.read.hours().items())
    ]


def test_categories(any_made):
    read = any_made.read
    assert any_made.reports["categories"] == [
        {"date": day, "server": name, "category": shown(category), "requests": requests}
        for day, name, counts in daily(read, read.categories)
        for category, requests in ranked(counts)[:10]
    ]


def test_popularity(any_made):
    end = any_made.read.latest()
    top = ranked(any_made.read.popularity(end))[:10]
    assert any_made.reports["popularity"] == [
        {
            "rank": rank,
            "category": shown(category),
            "requests": requests,
            "server": ALL,
            "window_start": iso(end - WINDOW_S),
            "window_end": iso(end),
        }
        for rank, (category, requests) in enumerate(top, 1)
    ]


def test_ddos(any_made):
    assert any_made.reports["ddos"] == [
        {"ip": ip.decode(), "second": iso(second), "requests": requests}
        for (second, ip), requests in any_made.read.offenders().items()
    ]


def test_health(any_made):
    read = any_made.read
    ends = {server: read.latest(server) for server in sorted(read.valid)}
    counts = {server: read.non_200(server, end) for server, end in ends.items()}
    assert any_made.reports["health"] == [
        {
            "server": server,
            "window_end": iso(end),
            "non_200": counts[server],
            "state": "alert" if counts[server] > 10 else "ok",
        }
        for server, end in ends.items()
    ]


def test_floods_are_found_and_the_bound_is_no_offence(any_made):
    found = [(row["ip"], row["requests"]) for row in any_made.reports["ddos"]]
    assert found == [(FLOOD, 140), (FLOOD, 101), (SPLIT_FLOOD, 120)]
    seconds = any_made.read.host_seconds()
    bound = {ip: requests for (_, ip), requests in seconds.items() if requests == 100}
    assert bound == {BUSY_BUT_LEGAL.encode(): 100}


def test_a_flood_is_split_over_two_servers(demo):
    shares = [
        sum(line.host == SPLIT_FLOOD.encode() for line in demo.read.of(server))
        for server in demo.logs
    ]
    assert shares == [60, 60]


def test_an_outage_opens_and_resolves_and_another_lasts(any_story):
    read = any_story.read
    end = read.latest()
    states = {
        server: [read.non_200(server, at) > 10 for at in range(end - 1800, end + 1, 60)]
        for server in read.valid
    }
    assert flips(states["weblog1"]) == [False, True, False]
    assert flips(states["weblog2"]) == [False, True]


def flips(states: list[bool]) -> list[bool]:
    return [now for before, now in pairwise([None, *states]) if now != before]


def test_popularity_shifts(any_story):
    read = any_story.read
    end = read.latest()
    tops = [ranked(read.popularity(at))[0][0] for at in (end - WINDOW_S, end)]
    assert tuple(tops) == FAVOURITES


def test_visitors_are_shared_but_not_all(any_made):
    hosts = [{line.host for line in any_made.read.of(server)} for server in any_made.read.valid]
    union = set().union(*hosts)
    assert len(hosts) == 1 or max(map(len, hosts)) < len(union) < sum(map(len, hosts))


def test_three_days_of_ten_thousand_lines(demo):
    assert list(demo.read.requests()) == ["2015-05-16", "2015-05-17", "2015-05-18"]
    assert all(10_000 <= demo.read.lines(server) <= 12_000 for server in demo.logs)


def test_two_zones_and_days_that_differ_from_the_utc_day(demo):
    zones = {server: {line.zone for line in demo.read.of(server)} for server in demo.logs}
    assert zones == {"weblog1": {b"+0000"}, "weblog2": {b"+0200"}}
    lines = demo.read.of("weblog2")
    assert sum(line.day != iso(line.instant)[:10] for line in lines) > 50


def test_every_kind_of_bad_line(demo):
    expected = set(weblog.REASONS) - {"other-format"}  # the logs are of one format
    assert all(set(counts["invalid"]) == expected for counts in demo.truth["logs"].values())
    longest = sorted(map(len, demo.raw()))[-4:]
    assert longest == [weblog.MAX_LINE_BYTES] * 2 + [weblog.MAX_LINE_BYTES + 1] * 2


def test_identical_and_late_lines(demo):
    for lines in demo.read.valid.values():
        assert len(lines) - len(set(lines)) > 50
        instants = [line.instant for line in lines]
        steps = [before - after for before, after in pairwise(instants)]
        assert sum(step > 0 for step in steps) > 100
        assert max(steps) > 43_200


def test_line_ends(demo):
    assert not demo.logs["weblog1"].endswith((b"\n", b"\r"))
    assert demo.logs["weblog2"].endswith(b"\n")
    for log in demo.logs.values():
        assert 0 < log.count(b"\r\n") < log.count(b"\n") / 10


def test_the_last_line_counts_though_it_has_no_end(demo):
    last = max(demo.read.of("weblog1"), key=lambda line: line.instant)
    assert demo.read.valid["weblog1"][-1] == last


def test_fields_of_every_sort(demo):
    lines = list(demo.read.of(ALL))
    assert {"1", "2", "3", "4", "5"} == {line.status[0] for line in lines}
    assert any(line.agent is None for line in lines)
    assert any(b" " in line.user for line in lines)
    assert any(b":" in line.host for line in lines)
    for text in (b"caf\xc3\xa9", b"caf\xe9 ", b'\\"'):
        assert any(text in (line.agent or b"") for line in lines)
    for text in (b"?", b"#", b'\\"', b" http://", b"\xc3\xa9", b"caf\xe9/"):
        assert any(text in line.request for line in lines)


def test_categories_of_every_sort(demo):
    categories = set(sum(demo.read.categories().values(), Counter()))
    special = {b"(bad-request-line)", b"(not-a-path)", b"/", b"/caf\xe9", b"/caf\xc3\xa9"}
    assert special < categories
    listed = {row["category"] for row in demo.reports["categories"]}
    assert {"/caf\\xe9", "/café"} < listed


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, two, other = (
        generate(tmp_path / name, seed, "small") for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    files = [
        [path.read_bytes() for path in (*made.paths.values(), made.truth_path)]
        for made in (one, two, other)
    ]
    assert files[0] == files[1]
    assert all(mine != theirs for mine, theirs in zip(files[0], files[2], strict=True))


def test_the_truth_is_written_as_it_is_returned(tmp_path):
    generated = generate(tmp_path, 1, "small")
    assert json.loads(generated.truth_path.read_text("utf-8")) == generated.truth
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "truth.json",
        "weblog1.txt",
        "weblog2.txt",
    ]


def test_other_content_is_replaced_only_when_told(tmp_path):
    first = generate(tmp_path, 1, "small")
    generate(tmp_path, 1, "small")
    before = first.paths["weblog1"].read_bytes()
    with pytest.raises(UsageError, match="exists and holds something else"):
        generate(tmp_path, 2, "small")
    assert first.paths["weblog1"].read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3
    generate(tmp_path, 2, "small", overwrite=True)
    assert first.paths["weblog1"].read_bytes() != before


def test_one_changed_file_keeps_all_as_they_are(tmp_path):
    generated = generate(tmp_path, 1, "small")
    generated.paths["weblog2"].write_bytes(b"mine\n")
    generated.truth_path.unlink()
    with pytest.raises(UsageError, match="weblog2"):
        generate(tmp_path, 1, "small")
    assert not generated.truth_path.exists()


def test_load_is_plain_valid_lines_in_order(tmp_path):
    generated = generate(tmp_path, 3, "load", lines=12_345)
    read = Truth({server: path.read_bytes() for server, path in generated.paths.items()})
    assert (read.lines(), read.malformed()) == (12_345, 0)
    assert [read.lines(server) for server in generated.paths] == [6173, 6172]
    for server, path in generated.paths.items():
        counts = {"lines": read.lines(server), "valid": read.lines(server), "invalid": {}}
        assert generated.truth["logs"][server] == counts | {"bytes": path.stat().st_size}
        instants = [line.instant for line in read.of(server)]
        assert instants == sorted(instants)


def test_load_of_nothing_is_empty_logs(tmp_path):
    generated = generate(tmp_path, 3, "load", lines=0)
    assert [path.read_bytes() for path in generated.paths.values()] == [b"", b""]


def test_what_cannot_be_generated(tmp_path):
    with pytest.raises(UsageError, match="no scenario storm"):
        generate(tmp_path, 1, "storm")
    with pytest.raises(UsageError):
        generate(tmp_path, 1, "load", lines=-1)
    with pytest.raises(UsageError):
        generate(tmp_path, 1, servers=())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot write logs into"):
        generate(tmp_path / "file", 1, "small")
