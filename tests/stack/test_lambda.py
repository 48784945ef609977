"""The whole path on real logs: every published figure, and every figure of an independent reader.

The four real sets go through as four servers of one configuration, by real drivers. Where they are
not beside the checkout, generated logs cover the same.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from clickstream import scenario
from clickstream.config import Settings
from clickstream.days import DAY_SECONDS, instant
from clickstream.explain import figure, identity
from clickstream.ledger import VALID, Ledger
from clickstream.serve import commands, reports
from clickstream.views.realtime import RealTime
from clickstream.views.realtime.reader import day_start
from clickstream.views.realtime.store import PART_S
from tests.dashboard.served import serving
from tests.stack.homes import SHARED, fresh_home, runner
from tests.stack.in_process import Submitted
from tests.stack.stores import closed_lines
from tests.stack.test_speed_rebuild import buckets, summed
from tests.truth import Truth, ranked

SETS = {
    "elastic": "elastic-apache-combined-2015-10k",
    "basjes": "basjes-hackers-combined-2015",
    "nasa": "nasa-http-1995-07-01-first4000",
    "nginx": "nginx-combined-2025-12-small-site",
}
BATCH_ROWS = (5_000, 500, 50_000)
EVERY = 1_000_000


class World(NamedTuple):
    """What went in, and how to ask what came out."""

    settings: Settings
    logs: dict[str, list[Path]]
    truth: dict[str, dict[str, Any]]

    def ask(self, *words: object) -> list[dict[str, Any]]:
        """The rows of `clickstream report ... --format json`."""
        done = runner(self.settings)("report", *words, "--format", "json")
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def independent(self) -> Truth:
        """The independent reader's figures over all servers."""
        return Truth({s: b"".join(map(Path.read_bytes, paths)) for s, paths in self.logs.items()})


@pytest.fixture(scope="module")
def world(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, jobs: Submitted
) -> Iterator[World]:
    """Every log through source, agents, Kafka and HDFS, and both layers."""
    directory = tmp_path_factory.mktemp("lambda")
    logs, truth = _real() if (SHARED / "logs").is_dir() else _generated(directory)
    servers = json.dumps({name: {"agent": f"edge-{name}"} for name in logs})
    for own in fresh_home(settings, directory / "home", servers=servers, collector="collector"):
        run = runner(own)
        for server, paths in logs.items():
            run("weblog", "put", *paths, "--server", server)
        run("ingest", "start")
        run("ingest", "replay", "--wait")
        run("ingest", "stop")
        with jobs():
            run("speed", "run", "--available-now", "--max-rows", BATCH_ROWS[0])
            run("batch", "run")
        yield World(own, logs, truth)


def _real() -> tuple[dict[str, list[Path]], dict[str, dict[str, Any]]]:
    logs, truth = {}, {}
    for server, name in SETS.items():
        path = SHARED / "logs" / name
        logs[server] = sorted(path.iterdir()) if path.is_dir() else [path.with_suffix(".log")]
        truth[server] = json.loads((SHARED / "logs" / f"{name}.truth.json").read_text())
    return logs, truth


def _generated(directory: Path) -> tuple[dict[str, list[Path]], dict[str, dict[str, Any]]]:
    made = scenario.generate(directory / "logs", seed=3, scenario="small")
    return {server: [path] for server, path in made.paths.items()}, {}


def published(world: World) -> dict[str, dict[str, Any]]:
    """The published truth by server; skips where the real logs are not there."""
    if not world.truth:
        pytest.skip("needs the shared real logs beside the checkout")
    return world.truth


def shown(category: bytes) -> str:
    """A category as a report prints it."""
    return category.decode("utf-8", "backslashreplace")


def test_lines_and_malformed(world):
    with Ledger.open(world.settings.files.ledger) as ledger:
        for server, truth in published(world).items():
            totals = ledger.totals(server)
            assert totals.total() == truth["lines"]
            assert totals.total() - totals[VALID] == truth["malformed"]
    quarantined = Counter(
        line.split(b":")[1].decode()
        for line in closed_lines(world.settings, world.settings.hdfs.quarantine)
    )
    assert quarantined == Counter({s: t["malformed"] for s, t in world.truth.items()})


def test_unique_hosts_and_requests_per_day(world):
    rows = world.ask("visitors")
    for server, truth in published(world).items():
        own = [row for row in rows if row["server"] == server]
        assert {row["date"]: row["unique_visitors"] for row in own} == truth["unique_hosts_per_day"]
        assert {row["date"]: row["requests"] for row in own} == truth["requests_per_day"]


def test_status_classes(world):
    rows = world.ask("responses")
    for server, truth in published(world).items():
        own = [row for row in rows if row["server"] == server]
        assert sum(row["success"] for row in own) == truth["status_2xx_3xx"]
        assert sum(row["failure"] for row in own) == truth["status_4xx_5xx"]
        assert sum(row["other"] for row in own) == truth["status_other_class"]


def test_hours(world):
    for server, truth in published(world).items():
        found = {f"{r['hour']:02}": r["requests"] for r in world.ask("hourly", "--server", server)}
        assert found == {hour: n for hour, n in truth["hits_per_hour_of_day"].items() if n}


def test_segments(world):
    for server, truth in published(world).items():
        summed: Counter[str] = Counter()
        for row in world.ask("categories", "--server", server, "--top", EVERY):
            summed[row["category"]] += row["requests"]
        assert len(summed) == truth["distinct_first_path_segments"]
        ranked = sorted(summed.items(), key=lambda pair: (-pair[1], pair[0]))
        assert [list(pair) for pair in ranked[:20]] == truth["hits_per_first_path_segment_top20"]


def test_no_address_is_over_the_limit_at_exactly_99(world):
    pairs = sum(truth["ip_second_pairs_over_100"] for truth in published(world).values())
    assert len(world.ask("ddos")) == pairs


def test_highest_trailing_non_200(world):
    peaks = {row["server"]: row for row in world.ask("health", "--peak")}
    for server, truth in published(world).items():
        assert peaks[server]["non_200"] == truth["max_non200_trailing_5min"]
        assert peaks[server]["window_end"] == truth["max_non200_trailing_5min_ends_at_utc"]


def test_against_the_independent_reader(world):
    """Figures that the published truth does not have: over all servers, windows, whole days."""
    truth = world.independent()
    visitors = {(r["date"], r["server"]): r["unique_visitors"] for r in world.ask("visitors")}
    assert visitors == {
        (day, server): n
        for server in [*world.logs, "all"]
        for day, n in truth.unique_hosts(server).items()
    }
    latest = truth.latest()
    rows = [(r["category"], r["requests"]) for r in world.ask("popularity")]
    expected = ranked(truth.popularity(latest))
    assert rows == [(shown(category), n) for category, n in expected[:10]]
    for server in world.logs:
        (row,) = world.ask("health", "--server", server)
        assert row["non_200"] == truth.non_200(server, truth.latest(server))


def speed_views(world: World) -> list[list[dict[str, Any]]]:
    """All that the speed layer answers."""
    latest = {server: world.ask("health", "--server", server) for server in world.logs}
    moments = [rows[0]["window_end"] for rows in latest.values()]
    windows = [world.ask("popularity", "--at", at, "--top", EVERY) for at in moments]
    return [*latest.values(), *windows, world.ask("ddos"), world.ask("health", "--peak")]


def test_every_bucket(world):
    assert buckets(world.settings) == summed(world.independent())


@pytest.mark.campaign("several batch sizes; each cut is tested by hand, too")
def test_the_batch_size_changes_nothing(world):
    run, truth = runner(world.settings), summed(world.independent())
    before = speed_views(world)
    for rows in BATCH_ROWS[1:]:
        run("speed", "reset", "--yes")
        run("speed", "run", "--available-now", "--max-rows", rows)
        assert speed_views(world) == before
        assert buckets(world.settings) == truth


def test_a_rebuilt_day_is_the_streamed_one(world):
    truth, before = world.independent(), speed_views(world)
    streamed = buckets(world.settings)
    ((day, _),) = Counter(line.day for line in truth.of("all")).most_common(1)
    with RealTime.connect(world.settings) as views:
        for part in range(day_start(day), day_start(day) + DAY_SECONDS, PART_S):
            views.run("DELETE FROM buckets WHERE part = ?", part)
    assert buckets(world.settings) < streamed
    runner(world.settings)("speed", "rebuild", "--date", day)
    assert buckets(world.settings) == streamed
    assert speed_views(world) == before


def test_a_second_batch_run_gives_the_same_rows(world):
    before = [world.ask(name) for name in ("visitors", "responses", "hourly", "categories")]
    assert "nothing to do" in runner(world.settings)("batch", "run").stderr
    runner(world.settings)("batch", "run", "--all")
    assert before == [world.ask(n) for n in ("visitors", "responses", "hourly", "categories")]


def minutes(world):
    """Every server's counts by printed minute, as both layers answer them together."""
    rows = world.ask("traffic", "--by", "minute")
    keys = ("success", "failure", "other")
    return {
        (row["server"], row["date"], row["minute"]): Counter({key: row[key] for key in keys})
        for row in rows
        if row["server"] != "all"
    }


def test_both_layers_are_one_answer_whatever_the_batch_layer_has_counted(world):
    """Nothing, half of the days, all of them: the same figures, and each difference explained."""
    run, truth = runner(world.settings), world.independent()
    expected = {
        (server, *when): Counter(classes)
        for server in world.logs
        for when, classes in truth.minutes(server).items()
    }
    days = sorted({date for _, date, _ in expected})
    hours = [(row["hour"], row["requests"]) for row in world.ask("hourly")]
    run("batch", "drop", "--yes")
    for batch in (None, ("--to", days[len(days) // 2]), ()):
        if batch is not None:
            run("batch", "run", *batch)
        assert minutes(world) == expected
        assert [(row["hour"], row["requests"]) for row in world.ask("hourly")] == hours
        proof = run("prove", "--format", "json")
        assert json.loads(proof.stdout) == []
        assert ("nothing to compare" in proof.stderr) == (batch is None)
    states = {row["state"] for row in world.ask("responses")}
    assert states == {"final"}


def test_a_figure_is_explained_down_to_its_lines(world):
    """The lines behind a figure are as many as an independent reader counts, each by its id."""
    truth = world.independent()
    ((server, day, hour), n), *_ = Counter(
        (server, line.day, line.hour) for server in world.logs for line in truth.of(server)
    ).most_common(1)
    asked = figure.Asked("hourly", day, server, hour)
    found = figure.explain(world.settings, asked, lines=2)
    assert (found.sum, found.answer.rows[0]["requests"]) == (n, n)
    assert found.lines.found == n
    of_day = figure.explain(world.settings, figure.Asked("visitors", day), lines=1)
    assert of_day.lines.visitors == truth.unique_hosts()[day]
    category, requests = ranked(truth.categories()[day])[0]
    asked = figure.Asked("categories", day, category=shown(category))
    assert figure.explain(world.settings, asked, lines=1).lines.found == requests
    end = truth.latest()
    category, requests = ranked(truth.popularity(end))[0]
    found = figure.explain(world.settings, figure.Asked("popularity", category=shown(category)), 1)
    assert (found.sum, found.lines.found) == (requests, requests)
    way = identity.trace(world.settings, identity.parse(found.lines.rows[0]["id"]))
    assert [stage.state for stage in way.stages] == [
        *("spooled", "here", "absent", "unknown", "unknown", "here", "closed file", "absent"),
        *("counted", "counted"),
    ]


def test_the_status_of_a_home(world):
    """Nothing is wrong but that the services are another home's."""
    run = runner(world.settings)
    told = json.loads(run("status", "--format", "json").stdout)
    assert {each["part"] for each in told["problems"] if each["wrong"]} == {"services"}
    truth = world.independent()
    assert {row["server"]: row["records"] for row in told["topic"]["rows"]} == {
        server: truth.lines(server) - truth.malformed(server) for server in world.logs
    }
    assert all(row["behind"] == 0 for row in told["topic"]["rows"])
    assert {row["state"] for row in told["days"]["rows"]} == {"fresh"}
    assert sum(row["waiting"] for row in told["source"]["rows"]) == 0
    assert {row["server"]: row["rejects"] for row in told["rejects"]["rows"]} == {
        server: truth.malformed(server) for server in world.logs
    }


def test_a_day_on_one_page(world):
    told = json.loads(runner(world.settings)("report", "all", "--format", "json").stdout)
    truth, day = world.independent(), told["date"]
    assert told["errors"] == {}
    visitors = {row["server"]: row["unique_visitors"] for row in told["visitors"]}
    assert visitors["all"] == truth.unique_hosts()[day]
    hours = {row["hour"]: row["requests"] for row in told["hourly"] if row["server"] == "all"}
    assert hours == Counter(line.hour for line in truth.of("all") if line.day == day)


def questions(world):
    """Words of `clickstream report`, and the dashboard's path: each report, each of its options."""
    truth = world.independent()
    days = sorted({line.day for line in truth.of("all")})
    values = {
        "date": [days[-1], days[0]],
        "first": [days[len(days) // 2]],
        "last": [days[len(days) // 2]],
        "span": ["7d"],
        "at": [instant(truth.latest() - 60)],
        "window": ["1h"],
        "server": ["all", *world.logs],
        "top": [3],
        "compare": ["previous"],
        "layer": ["batch", "speed"],
        "by": ["minute", "day"],
    }
    for name in sorted(reports.COLUMNS.keys() - {"alerts"}):
        yield [name], name
        for option in get_command(commands.app).commands[name].params:
            word, dates = option.opts[0], option.name in ("first", "last")
            if option.name in ("form", "watch", "prove"):
                continue
            if option.name == "alerts":
                yield [name, word], f"alerts?kind={name}"
                continue
            for value in [None] if option.is_flag else values[option.name]:
                words = [name, word] if value is None else [name, word, value]
                query = f"{word[2:].replace('-', '_')}={1 if value is None else value}"
                if option.name == "compare":
                    words, query = [*words, "--last", "7d"], f"{query}&last=7d"
                if name == "health" and dates:
                    yield [*words, "--alerts"], f"alerts?kind=health&{query}"
                else:
                    yield words, f"{name}?{query}"


def test_the_dashboard_answers_each_report_as_its_command(world):
    with serving(world.settings) as client:
        for words, path in questions(world):
            answer = client.get(f"/api/report/{path}")
            assert answer.status == 200, answer.text
            assert json.loads(answer.text)["rows"] == world.ask(*words), path
