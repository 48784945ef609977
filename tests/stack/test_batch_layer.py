"""The batch layer on real HDFS, Spark and MariaDB: the figures of the logs, whatever the files."""

import json
from collections.abc import Iterator

import pytest

from clickstream import config, weblog
from clickstream.batch import run as batch
from clickstream.batch.run import Choice
from clickstream.errors import BadInput, ClickstreamError, NoData, NotRunning, ServiceFailed
from clickstream.hdfs import Hdfs
from clickstream.views.batch import BatchViews, Book
from tests.truth import ALL, Truth, ranked

LINES = {
    "weblog1": b"""\
10.0.0.1 - - [18/May/2015:00:00:00 +0000] "GET /a/x HTTP/1.1" 200 1
10.0.0.1 - - [18/May/2015:00:00:00 +0000] "GET /a/x HTTP/1.1" 200 1
10.0.0.2 - - [18/May/2015:13:05:59 +0200] "GET /caf\xe9/1 HTTP/1.1" 404 1
10.0.0.2 - - [18/May/2015:13:05:59 +0200] "GET /caf\xe8/1 HTTP/1.1" 500 1 "-" "\xff\xfe"
10.0.0.3 - a b [18/May/2015:23:59:59 -0700] "GET /Blog HTTP/1.1" 304 - "a\\"b" "c\rd"
10.0.0.4 - - [18/May/2015:23:59:59 -0700] "GET /blog HTTP/1.1" 101 -
h\x85\xa0 - - [19/May/2015:01:00:00 +0000] "-" 400 0
10.0.0.1 - - [19/May/2015:01:00:00 +0000] "OPTIONS * HTTP/1.1" 200 0
host\twith-tab - - [31/Dec/9999:23:59:59 +0000] "GET /"""
    + b"z" * 8000
    + b""" HTTP/1.1" 200 1
""",
    "weblog2": b"""\
10.0.0.1 - - [18/May/2015:13:00:00 +0000] "GET http://x/a?b/c HTTP/1.0" 200 1
10.0.0.5 - - [18/May/2015:13:00:00 +0000] "GET /a\\"b HTTP/1.0" 599 1
10.0.0.6 - - [01/Jan/0001:13:00:00 +0000] "\\x16\\x03" 400 1
""",
}
DAYS = ["0001-01-01", "2015-05-18", "2015-05-19", "9999-12-31"]


def master_files(logs: dict[str, bytes], file: str = "0123456789abcdef") -> dict[str, bytes]:
    """The files of a master copy that hold the valid lines: path below it -> content."""
    files: dict[str, bytes] = {}
    for server, log in logs.items():
        offset = 0
        for raw in log.split(b"\n")[:-1]:
            day = weblog.judge(raw).day
            path = f"dt={day}/server={server}/part.1"
            files[path] = files.get(path, b"") + weblog.stamp(server, file, offset, raw) + b"\n"
            offset += len(raw) + 1
    return files


def lines_of(server: str) -> list[bytes]:
    """The lines of a log."""
    return LINES[server].split(b"\n")[:-1]


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


def figures(views: BatchViews) -> dict[str, list]:
    """Everything that the views hold, but for when it was computed."""
    return {
        "visitors": views.visitors(),
        "responses": views.responses(),
        "hourly": views.hourly(None, None, by_day=True),
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
            classes = {k: truth.responses(server)[day][k] for k in ("success", "failure", "other")}
            found["responses"].append(row | classes | {"requests": n})
            for category, count in ranked(truth.categories(server)[day]):
                name = category.decode("iso-8859-1")
                found["categories"].append(row | {"category": name, "requests": count})
        hours: dict[tuple[str, int], int] = {}
        for (day, minute), classes in truth.minutes(server).items():
            key = day, int(minute[:2])
            hours[key] = hours.get(key, 0) + sum(classes.values())
        found["hourly"] += [
            {"date": day, "hour": hour, "server": server, "requests": n}
            for (day, hour), n in hours.items()
        ]
    for name, keys in {"visitors": 2, "responses": 2, "hourly": 3, "categories": 2}.items():
        found[name].sort(key=lambda row: tuple(row.values())[:keys])
    return found


def test_every_figure_of_hostile_lines(master, views):
    rows = batch.run(master)
    assert [row["date"] for row in rows] == DAYS
    assert [row["lines"] for row in rows] == [1, 8, 2, 1]
    assert {row["copies"] for row in rows} == {0}
    assert figures(views) == expected(LINES)


def test_a_visitor_of_many_days_and_servers_is_one_of_the_range(master, views):
    batch.run(master)
    hosts = {server: {line.split(b" ")[0] for line in lines_of(server)} for server in LINES}
    unique = hosts | {ALL: hosts["weblog1"] | hosts["weblog2"]}
    rows = {row["server"]: row["unique_visitors"] for row in views.visitors_of_range(DAYS)}
    assert rows == {server: len(those) for server, those in unique.items()}
    assert rows[ALL] < sum(row["unique_visitors"] for row in views.visitors(server=ALL))


def test_again_and_with_every_line_twice_gives_the_same_rows(master, views):
    batch.run(master)
    before = figures(views)
    assert batch.run(master) == []
    for path, content in master_files(LINES).items():
        put(master, path.replace("part.1", "part.2"), content)
    assert {row["state"] for row in batch.status(master)} == {"dirty"}
    rows = batch.run(master, Choice(every=True))
    assert [row["copies"] for row in rows] == [1, 8, 2, 1]
    assert figures(views) == before


def test_a_late_file_makes_its_day_dirty_and_a_file_in_use_is_not_read(master, views):
    batch.run(master)
    late = {"weblog1": b'9.9.9.9 - - [19/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1\n'}
    (content,) = master_files(late, "f" * 16).values()
    put(master, "dt=2015-05-19/server=weblog1/_part.2.tmp", content)
    assert {row["state"] for row in batch.status(master)} == {"fresh"}
    put(master, "dt=2015-05-19/server=weblog1/part.2", content)
    states = {row["date"]: row["state"] for row in batch.status(master)}
    assert states.pop("2015-05-19") == "dirty"
    assert set(states.values()) == {"fresh"}
    assert [row["date"] for row in batch.run(master)] == ["2015-05-19"]
    both = LINES | {"weblog1": LINES["weblog1"] + late["weblog1"]}
    assert figures(views) == expected(both)


def test_a_day_is_final_when_the_books_say_so(master, views):
    batch.run(master, Choice(only="2015-05-18"))
    assert [run["final"] for run in views.runs()] == [False]
    books = [Book("weblog1", "a" * 16, "2015-05-18", 5), Book("weblog2", "b" * 16, "2015-05-18", 2)]
    views.publish_books(books)
    assert [run["final"] for run in views.runs()] == [False]
    views.publish_books([books[0]._replace(valid_lines=6)])
    assert [run["final"] for run in views.runs()] == [True]


def test_choosing_days(master):
    assert [row["date"] for row in batch.run(master, Choice(only="latest"))] == ["2015-05-19"]
    states = {row["date"]: row["state"] for row in batch.status(master)}
    assert [day for day, state in states.items() if state == "missing"] == [
        day for day in DAYS if day != "2015-05-19"
    ]
    with pytest.raises(NoData, match="no lines of 2015-05-20"):
        batch.run(master, Choice(only="2015-05-20"))
    assert batch.run(master, Choice(first="2015-05-20", last="2016-01-01")) == []


def test_a_visitor_may_be_a_host_with_a_user_agent(master, views):
    batch.run(master)
    assert [row["visitor"] for row in made_with(views)] == ["host"] * len(DAYS)
    late = {
        "weblog1": b"""\
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "One"
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "Two\tx"
10.0.0.1 - - [18/May/2015:02:00:00 +0000] "GET / HTTP/1.1" 200 1 "r" "One"
"""
    }
    ((path, content),) = master_files(late, "f" * 16).items()
    put(master, path.replace("part.1", "part.2"), content)
    batch.run(master)
    hosts = {row["server"]: row["unique_visitors"] for row in views.visitors(["2015-05-18"])}
    origin = master.origin
    agents = config.load(origin.file, master.home, origin.flags | {"batch.visitor": "host+agent"})
    status = batch.status(agents)
    assert {(row["state"], row["why"]) for row in status} == {("dirty", "a visitor was one host")}
    assert len(batch.run(agents)) == len(DAYS)
    assert {row["state"] for row in batch.status(agents)} == {"fresh"}
    assert [row["visitor"] for row in made_with(views)] == ["host+agent"] * len(DAYS)
    # 10.0.0.1 came without an agent, with "One" and with "Two", 10.0.0.2 without and with one.
    found = {row["server"]: row["unique_visitors"] for row in views.visitors(["2015-05-18"])}
    assert hosts == {"weblog1": 4, "weblog2": 2, ALL: 5}
    assert found == {"weblog1": 7, "weblog2": 2, ALL: 8}


def made_with(views: BatchViews) -> list[dict[str, str]]:
    """What each day was made with."""
    return [made.made_with for made in views.made().values()]


def test_a_damaged_line_is_told_and_nothing_is_written(master, views):
    batch.run(master)
    before = figures(views)
    put(master, "dt=2015-05-18/server=weblog1/part.2", b"torn\n")
    with pytest.raises(ClickstreamError, match="1 lines do not parse"):
        batch.run(master)
    assert figures(views) == before


def test_the_command_line(master, run):
    done = run("batch", "run", "--date", "2015-05-18", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["date"], row["lines"], row["unique_visitors"]) == ("2015-05-18", 8, 5)
    assert (
        "nothing to do" in run("batch", "run", "--from", "2015-05-20", "--to", "2015-05-21").stderr
    )
    assert "is no day" in run("batch", "run", "--date", "2015-02-30", code=2).stderr
    assert "no lines of 2015-05-20" in run("batch", "run", "--date", "2015-05-20", code=1).stderr
    assert "dirty" not in run("batch", "status").stdout
    assert len(json.loads(run("batch", "run", "--format", "json").stdout)) == len(DAYS) - 1
    assert "nothing to do" in run("batch", "run").stderr


def test_stores_that_are_down(master, views):
    batch.run(master, Choice(only="2015-05-18"))
    before = figures(views)
    origin = master.origin
    for key, value, told in (
        ("hdfs.web", "http://127.0.0.1:1", "HDFS does not answer"),
        ("hdfs.url", "hdfs://127.0.0.1:1", "Connection refused"),
        ("database.url", "mysql+pymysql://u:s3cret@127.0.0.1:1/x", "the database mysql"),
    ):
        down = config.load(origin.file, master.home, origin.flags | {key: value})
        with pytest.raises((NotRunning, ServiceFailed), match=told) as caught:
            batch.run(down)
        assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"
    assert figures(views) == before


def test_a_file_that_vanishes_is_told(master, views, monkeypatch):
    whole = batch.master.closed_files
    gone = batch.master.File("dt=2015-05-18/server=weblog1/part.9", 1, 1)
    monkeypatch.setattr(batch.master, "closed_files", lambda *a: [*whole(*a), gone])
    with pytest.raises((BadInput, ServiceFailed), match=r"part\.9"):
        batch.run(master, Choice(only="2015-05-18"))
    assert views.days() == []
