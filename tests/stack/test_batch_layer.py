"""The batch layer on real HDFS, Spark and MariaDB: the figures of the logs, whatever the files."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from clickstream import config, weblog
from clickstream.batch import run as batch
from clickstream.batch import view_rows
from clickstream.clients.hdfs import Hdfs
from clickstream.days import DaySelection
from clickstream.errors import BadInput, ClickstreamError, NotRunning, ServiceFailed
from clickstream.master import closed_files
from clickstream.views.batch import BatchViews, LineCount
from tests.truth import ALL, Truth, ranked
from tests.views.test_batch_views import day_rows

LINES = {
    "weblog1": b"""\
10.0.0.1 - - [18/May/2015:00:00:00 +0000] "GET /a/x HTTP/1.1" 200 1
10.0.0.1 - - [18/May/2015:00:00:00 +0000] "GET /a/x HTTP/1.1" 200 1
10.0.0.2 - - [18/May/2015:13:05:59 +0200] "GET /caf\xe9/1 HTTP/1.1" 404 1
10.0.0.2 - - [18/May/2015:13:05:59 +0200] "GET /caf\xe8/1 HTTP/1.1" 500 1 "-" "\xff\xfe"
10.0.0.3 - a b [18/May/2015:23:59:59 -0700] "GET /Blog HTTP/1.1" 304 - "a\\"b" "c\rd"
10.0.0.4 - - [18/May/2015:23:59:59 -0700] "GET /blog HTTP/1.1" 101 -
h-1 - u\x85\xa0 [19/May/2015:01:00:00 +0000] "-" 400 0
10.0.0.1 - - [19/May/2015:01:00:00 +0000] "OPTIONS * HTTP/1.1" 200 0
host i\twith-tab u\twith-tab [31/Dec/9999:23:59:59 +0000] "GET /"""
    + b"z" * 8000
    + b""" HTTP/1.1" 200 1
""",
    "weblog2": b"""\
10.0.0.1 - - [18/May/2015:13:00:00 +0000] "GET http://x/a?b/c HTTP/1.0" 200 1
10.0.0.5 - - [18/May/2015:13:00:00 +0000] "GET /a\\"b HTTP/1.0" 599 1
10.0.0.6 - - [01/Jan/0001:13:00:00 +0000] "\\x16\\x03" 400 1
""",
}
LATE = b'9.9.9.9 - - [19/May/2015:02:00:00 +0000] "GET /late HTTP/1.1" 200 1\n'
LATE_PATH = "dt=2015-05-19/server=weblog1/part.2"
CLASSES = ("success", "failure", "other")
DAYS = ["0001-01-01", "2015-05-18", "2015-05-19", "9999-12-31"]


def master_files(logs: dict[str, bytes], file: str = "0123456789abcdef") -> dict[str, bytes]:
    """The files of a master dataset that hold the valid lines: path below it -> content."""
    files: dict[str, bytes] = {}
    for server, log in logs.items():
        offset = 0
        for raw in log.split(b"\n")[:-1]:
            day = weblog.judge(raw).day
            path = f"dt={day}/server={server}/part.1"
            files[path] = files.get(path, b"") + weblog.stamp(server, file, offset, raw) + b"\n"
            offset += len(raw) + 1
    return files


def put(settings: config.Settings, path: str, content: bytes) -> None:
    Hdfs.connect(settings).write(f"{settings.hdfs.master}/{path}", [content])


@pytest.fixture
def master(fresh) -> config.Settings:
    for path, content in master_files(LINES).items():
        put(fresh, path, content)
    return fresh


@pytest.fixture
def views(master) -> Iterator[BatchViews]:
    with BatchViews.connect(master) as views:
        yield views


@pytest.fixture
def computed(master, views) -> dict[str, list]:
    """What the views hold once a run without Spark has put some rows of each day there."""
    hdfs, made_with = Hdfs.connect(master), view_rows.made_with(master)
    for day, manifest in closed_files(hdfs, master.hdfs.master, DAYS).items():
        rows = day_rows(day, ["/x"], manifest=manifest, made_with=made_with)
        views.replace_day(day, rows)
    return figures(views)


def figures(views: BatchViews) -> dict[str, list]:
    """Everything that the views hold, but for when it was computed."""
    return {
        "visitors": views.visitors(),
        "responses": sorted(views.traffic(None, None, "day")),
        "hourly": sorted(views.traffic(None, None, "hour")),
        "categories": views.categories(top=None),
    }


def expected(logs: dict[str, bytes]) -> dict[str, list]:
    """The same of the logs themselves, by the independent reader."""
    truth = Truth(logs)
    found: dict[str, list] = {"visitors": [], "responses": [], "hourly": [], "categories": []}
    for server in (*logs, ALL):
        unique, requests = truth.unique_hosts(server), truth.requests(server)
        for day, n in requests.items():
            row = {"date": day, "server": server}
            found["visitors"].append(row | {"unique_visitors": unique[day], "requests": n})
            classes = [truth.responses(server)[day][k] for k in CLASSES]
            found["responses"].append((day, server, None, *classes, n))
            for category, count in ranked(truth.categories(server)[day]):
                name = category.decode("iso-8859-1")
                found["categories"].append(row | {"category": name, "requests": count})
        hours: dict[tuple[str, int], Counter[str]] = {}
        for (day, minute), classes in truth.minutes(server).items():
            hours.setdefault((day, int(minute[:2])), Counter()).update(classes)
        found["hourly"] += [
            (day, server, hour, *(n[k] for k in CLASSES), n.total())
            for (day, hour), n in hours.items()
        ]
    for name in ("visitors", "categories"):
        found[name].sort(key=lambda row: (row["date"], row["server"]))
    return found | {name: sorted(found[name]) for name in ("responses", "hourly")}


def states(settings: config.Settings) -> dict[str, str]:
    """How each day stands."""
    return {row["date"]: row["state"] for row in batch.status(settings)}


def test_missing_days_then_dirty_ones_and_every_figure(master, views, run):
    (row,) = json.loads(run("batch", "run", "--date", "latest", "--format", "json").stdout)
    assert (row["date"], row["lines"], row["unique_visitors"]) == ("2015-05-19", 2, 2)
    assert states(master) == dict.fromkeys(DAYS, "missing") | {"2015-05-19": "fresh"}
    line_counts = [
        LineCount("weblog1", "a" * 16, "2015-05-18", 6),
        LineCount("weblog2", "b" * 16, "2015-05-18", 2),
    ]
    views.publish_line_counts(line_counts)
    rows = [(row["date"], row["lines"], row["copies"], row["final"]) for row in batch.run(master)]
    assert rows == [(DAYS[0], 1, 0, False), (DAYS[1], 8, 0, True), (DAYS[3], 1, 0, False)]
    assert figures(views) == expected(LINES)
    assert batch.run(master) == []
    late = {"weblog1": LATE}
    (content,) = master_files(late, "f" * 16).values()
    put(master, "dt=2015-05-19/server=weblog1/_part.2.tmp", content)
    assert set(states(master).values()) == {"fresh"}
    put(master, LATE_PATH, content)
    for path, content in master_files(LINES).items():
        if "2015-05-18" in path:
            put(master, path.replace("part.1", "part.2"), content)
    assert states(master) == dict.fromkeys(DAYS, "fresh") | dict.fromkeys(DAYS[1:3], "dirty")
    rows = [(row["date"], row["lines"], row["copies"], row["final"]) for row in batch.run(master)]
    assert rows == [(DAYS[1], 8, 8, True), (DAYS[2], 3, 0, False)]
    both = LINES | {"weblog1": LINES["weblog1"] + LATE}
    assert figures(views) == expected(both)
    hosts = {s: {line.split(b" ")[0] for line in log.split(b"\n")[:-1]} for s, log in both.items()}
    unique = {ALL: set().union(*hosts.values())} | hosts
    found = {row["server"]: row["unique_visitors"] for row in views.visitors_of_range(DAYS)}
    assert found == {server: len(those) for server, those in unique.items()}
    assert found[ALL] < sum(row["unique_visitors"] for row in views.visitors(server=ALL))


def test_a_visitor_may_be_a_host_with_a_user_agent(master, views, computed):
    origin = master.origin
    agents = config.load(origin.file, master.home, origin.flags | {"batch.visitor": "host+agent"})
    status = batch.status(agents)
    assert {(row["state"], row["why"]) for row in status} == {("dirty", "a visitor was one host")}
    late = {
        "weblog1": b"""\
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "One"
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "Two\tx"
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "r" "One"
"""
    }
    ((path, content),) = master_files(late, "f" * 16).items()
    put(master, path.replace("part.1", "part.2"), content)
    assert len(batch.run(agents)) == len(DAYS)
    assert set(states(agents).values()) == {"fresh"}
    assert {made.made_with["visitor"] for made in views.inputs().values()} == {"host+agent"}
    # 10.0.0.1 came without an agent, with "One" and with "Two", 10.0.0.2 without and with one.
    found = {row["server"]: row["unique_visitors"] for row in views.visitors(["2015-05-18"])}
    assert found == {"weblog1": 7, "weblog2": 2, ALL: 8}


def test_a_damaged_line_is_reported_and_nothing_is_written(master, views, computed):
    put(master, "dt=2015-05-18/server=weblog1/part.2", b"torn\n")
    with pytest.raises(ClickstreamError, match="1 lines do not parse"):
        batch.run(master)
    assert figures(views) == computed


def test_the_command_line(master, run, computed):
    assert [*states(master).values()] == ["fresh"] * len(DAYS)
    assert "dirty" not in run("batch", "status").stdout
    nothing = run("batch", "run", "--format", "json")
    assert ("nothing to do" in nothing.stderr, json.loads(nothing.stdout)) == (True, [])
    span = ("--from", "2015-05-20", "--to", "2016-01-01")
    assert "nothing to do" in run("batch", "run", *span).stderr
    assert "is not a valid date" in run("batch", "run", "--date", "2015-02-30", code=2).stderr
    assert "no lines of 2015-05-20" in run("batch", "run", "--date", "2015-05-20", code=1).stderr


def test_stores_that_are_down(master, views, computed, monkeypatch):
    origin = master.origin
    for key, value, message in (
        ("hdfs.web", "http://127.0.0.1:1", "HDFS does not answer"),
        ("hdfs.url", "hdfs://127.0.0.1:1", r"localhost:1 failed: .*refused"),
        ("database.url", "mysql+pymysql://u:s3cret@127.0.0.1:1/x", "the database mysql"),
    ):
        with monkeypatch.context() as environment:  # a secret is no flag
            environment.setenv("CLICKSTREAM_" + key.replace(".", "__").upper(), value)
            down = config.load(origin.file, master.home, origin.flags)
            with pytest.raises((NotRunning, ServiceFailed), match=message) as caught:
                batch.run(down, DaySelection(every=True))
        assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"
    assert figures(views) == computed


def test_a_file_that_vanishes_is_reported(master, views, computed, monkeypatch):
    gone = batch.master.File("dt=2015-05-18/server=weblog1/part.9", 1, 1)
    monkeypatch.setattr(batch.master, "closed_files", lambda *_: {"2015-05-18": [gone]})
    with pytest.raises((BadInput, ServiceFailed), match=r"part\.9"):
        batch.run(master, DaySelection(only="2015-05-18"))
    assert figures(views) == computed
