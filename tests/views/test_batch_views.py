"""The batch views (SQLite here): days replaced whole, text kept apart, schema refused."""

import base64
import signal

import pymysql
import pytest
import sqlalchemy as sa

from clickstream import config
from clickstream.batch import view_rows
from clickstream.batch.view_rows import CATEGORIES, TRAFFIC, VISITORS
from clickstream.clients import endpoints
from clickstream.errors import ClickstreamError, NoData, NotRunning, UsageError
from clickstream.ledger import Ledger, LogFile
from clickstream.views import batch
from clickstream.views.batch import BatchViews, LineCount
from clickstream.views.batch_tables import DIGEST_BYTES
from tests.certificates import Authority
from tests.children import child, ended, replace_day
from tests.examples import examples
from tests.stack.homes import runner

LONG = "/" + "\xe9" * 300_000
NAMES = [
    "/a",
    "/A",
    "/a ",
    "/a\t",
    "/a\x00",
    "/\xe4",
    LONG,
    LONG + "x",
    "/'; DROP TABLE batch_runs; --",
]

WITH = {"visitor": "host", "categories": ""}
TWO_VISITORS = base64.b64encode(bytes(range(2 * DIGEST_BYTES))).decode()


def settings_for(tmp_path, url):
    return config.load(home=tmp_path, flags={"database.url": url})


@pytest.fixture
def store(tmp_path):
    """The settings of an empty database; on the stack the same tests have MariaDB's."""
    return settings_for(tmp_path / "home", f"sqlite:///{tmp_path}/views.db")


@pytest.fixture
def views(store):
    with BatchViews.connect(store) as views:
        yield views


def day_rows(day, names=NAMES, server="weblog1", run="r", manifest=(), made_with=WITH):
    n = len(names)
    counts = [
        {"g": VISITORS, "server": server, "n": n, "digests": TWO_VISITORS},
        {"g": TRAFFIC, "server": server, "minute": "09:30", "status": "200", "n": n, "seen": n},
    ]
    for name in names:
        counts.append({"g": CATEGORIES, "server": server, "category": name, "n": 1})
    return view_rows.rows(view_rows.Run(day, manifest, 0, 1, made_with, run), counts)


def everything(views):
    traffic = [sorted(views.traffic(None, None, grain)) for grain in ("minute", "hour", "day")]
    return [views.visitors(), *traffic, views.categories(top=None)]


def test_replacing_a_day_twice_gives_the_same_rows_and_touches_no_other(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    views.replace_day("2015-05-19", day_rows("2015-05-19"))
    before = everything(views)
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x"]))
    assert everything(views) != before
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    assert everything(views) == before


def test_names_that_differ_in_a_byte_stay_apart(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    rows = views.categories(server="all", top=None)
    assert [row["category"] for row in rows] == sorted(NAMES)
    assert len(views.categories(server="all", top=3)) == 3


def test_servers_differ_by_case(views):
    for server in ("Web", "web"):
        rows = day_rows("2015-05-18", ["/x"], server)
        views.replace_day("2015-05-18", rows)
        assert [row["server"] for row in views.visitors()] == sorted(["all", server])


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_any_day(views, day):
    views.replace_day(day, day_rows(day))
    assert views.days() == [day]
    assert [row.requests for row in views.traffic([day], None, "hour")] == [len(NAMES)] * 2


def test_a_failing_write_leaves_the_day_as_it_was(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    before = everything(views)
    broken = day_rows("2015-05-18", ["/x"])
    broken["batch_runs"] *= 2
    with pytest.raises(ClickstreamError, match="refuses"):
        views.replace_day("2015-05-18", broken)
    assert everything(views) == before


def test_traffic_by_minute_hour_and_day(views):
    for day in ("2015-05-18", "2015-05-19"):
        views.replace_day(day, day_rows(day, ["/x"]))

    def slots(days, server, grain):
        return sorted(
            (row.date, row.server, row.slot) for row in views.traffic(days, server, grain)
        )

    assert slots(None, "all", "hour") == [("2015-05-18", "all", 9), ("2015-05-19", "all", 9)]
    assert slots(["2015-05-19"], None, "minute") == [("2015-05-19", "weblog1", "09:30")]
    assert slots(["2015-05-19"], "weblog1", "day") == [("2015-05-19", "weblog1", None)]
    assert views.traffic([], None, "hour") == []
    assert (views.last_minute("2015-05-18"), views.last_minute("2015-05-20")) == ("09:30", None)


def test_a_day_is_final_when_every_server_has_the_lines_of_its_logs(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x", "/y"]))

    def final():
        return [run["final"] for run in views.runs()]

    assert final() == [False]
    views.publish_line_counts([LineCount("weblog1", "a" * 16, "2015-05-18", 1)])
    assert final() == [False]
    views.publish_line_counts([LineCount("weblog1", "b" * 16, "2015-05-18", 1)])
    assert final() == [True]
    views.publish_line_counts([LineCount("weblog2", "c" * 16, "2015-05-18", 1)])
    assert final() == [False]


def test_a_day_is_not_final_once_the_ledger_has_a_line_more(views, store):
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x", "/y"]))
    views.publish_line_counts([LineCount("weblog1", "a" * 16, "2015-05-18", 2)])
    assert [run["final"] for run in views.runs()] == [True]
    store.home.mkdir(exist_ok=True)
    with Ledger.open(store.files.ledger) as ledger:
        log = LogFile("weblog1", "a" * 16, "/source/weblog1/a", 9, "", False)
        ledger.plan(log, 0, {("2015-05-18", ""): 2, ("2015-05-18", "binary"): 9}, b"", 3)
        assert [run["final"] for run in views.runs()] == [True]
        ledger.plan(log, 9, {("2015-05-18", ""): 1}, b"", 1)
    assert [run["final"] for run in views.runs()] == [False]


def test_a_home_publishes_its_line_counts(views, store):
    assert batch.publish(store, views) == []
    store.home.mkdir(exist_ok=True)
    with Ledger.open(store.files.ledger) as ledger:
        log = LogFile("weblog1", "a" * 16, "/source/weblog1/a", 9, "", False)
        ledger.plan(log, 0, {("2015-05-18", ""): 2, ("2015-05-18", "binary"): 1}, b"", 3)
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x", "/y"]))
    assert runner(store)("ingest", "ledger", "publish").stdout == "2 valid lines of 1 days\n"
    assert views.rejects() == {"2015-05-18": 1}
    assert [run["final"] for run in views.runs()] == [True]


def test_another_schema_number_is_refused_until_dropped(views, store):
    engine = sa.create_engine(endpoints.database_url(store))
    with engine.begin() as connection:
        connection.execute(sa.update(batch.batch_schema).values(number=batch.SCHEMA + 1))
        connection.execute(sa.text("CREATE TABLE books (server INTEGER)"))
    engine.dispose()
    with pytest.raises(ClickstreamError, match="schema") as refused:
        BatchViews.connect(store)
    assert "batch run --all" in refused.value.hint
    batch.drop(store)
    engine = sa.create_engine(endpoints.database_url(store))
    assert not sa.inspect(engine).has_table("books"), "a table of an earlier schema is left"
    engine.dispose()
    BatchViews.connect(store).close()


def test_a_day_that_another_run_has_written_since_is_left_to_it(views):
    known = {day: each.run for day, each in views.inputs().items()}
    views.replace_day("2015-05-18", day_rows("2015-05-18", run="first"), known)
    before = everything(views)
    with pytest.raises(ClickstreamError, match="another batch run has written 2015-05-18"):
        views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x"], run="second"), known)
    assert everything(views) == before
    views.replace_day("2015-05-19", day_rows("2015-05-19", run="second"), known)
    known = {day: each.run for day, each in views.inputs().items()}
    assert known == {"2015-05-18": "first", "2015-05-19": "second"}
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x"], run="third"), known)
    assert everything(views) != before


WRITERS = 4


def replacing(store, name, times=1, fault=""):
    """A process that replaces a day."""
    rows = day_rows("2015-05-18", [name], run=name[1:])
    arguments = (store.home, store.origin.flags, "2015-05-18", rows, times)
    return child(replace_day, *arguments, fault=fault)


def test_writers_at_once_take_their_turns_and_a_reader_sees_whole_days(views, store):
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/0"]))
    writers = [replacing(store, f"/{n}", examples(8)) for n in range(WRITERS)]
    while any(writer.is_alive() for writer in writers):
        assert len(views.categories(server="all")) == 1
        assert len(views.visitors()) == 2
    assert [ended(writer) for writer in writers] == [0] * WRITERS


@pytest.mark.parametrize(
    "point", ["batch-deleted:1", "batch-deleted:4", "batch-inserted", "batch-committed"]
)
def test_a_writer_that_is_killed_leaves_the_old_day_or_the_new_one(views, store, point):
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/old", "/older"]))
    old = everything(views)
    assert ended(replacing(store, "/new", fault=point)) == -signal.SIGKILL
    found = everything(views)
    if point == "batch-committed":
        assert [row["category"] for row in views.categories()] == ["/new"] * 2
    else:
        assert found == old
    assert ended(replacing(store, "/new")) == 0
    assert [row["category"] for row in views.categories()] == ["/new"] * 2


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path, monkeypatch):
    url = "mysql+pymysql://me:s3cret@127.0.0.1:1/x?charset=utf8mb4"
    monkeypatch.setenv("CLICKSTREAM_DATABASE__URL", url)
    settings = config.load(home=tmp_path)
    with pytest.raises(NotRunning, match=r"mysql\+pymysql://me:\*\*\*@127.0.0.1:1/x") as caught:
        BatchViews.connect(settings)
    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_a_database_without_driver_is_a_wrong_setting(tmp_path):
    with pytest.raises(UsageError, match="no driver for nosuch"):
        BatchViews.connect(settings_for(tmp_path, "nosuch://u@h/x"))


def test_what_the_url_says_of_tls_reaches_the_driver(tmp_path, monkeypatch):
    given = {}

    def connect(**arguments):
        given.update(arguments)
        raise pymysql.OperationalError(2003, "enough")

    monkeypatch.setattr(pymysql, "connect", connect)
    ca, cert, key = Authority(tmp_path).ca, *Authority(tmp_path).issue("ours")
    url = f"mysql+pymysql://u@h/x?ssl_ca={ca}&ssl_cert={cert}&ssl_key={key}&ssl_check_hostname=true"
    with pytest.raises(NotRunning):
        BatchViews.connect(settings_for(tmp_path, url))
    files = {"ca": str(ca), "cert": str(cert), "key": str(key)}
    assert given["ssl"] == files | {"check_hostname": True}


def test_a_reader_makes_no_tables(store):
    with pytest.raises(NoData, match="has not run yet"):
        BatchViews.connect(store, reader=True)
    BatchViews.connect(store).close()
    BatchViews.connect(store, reader=True).close()


def test_reports_read_as_the_reader_where_there_is_one(tmp_path):
    urls = {f"database.{key}": f"sqlite:///{tmp_path}/{key}" for key in ("url", "reader_url")}
    settings = config.load(home=tmp_path, flags=urls)
    writer, reader = (endpoints.database_url(settings, reader) for reader in (False, True))
    assert (writer.database, reader.database) == (f"{tmp_path}/url", f"{tmp_path}/reader_url")
    assert endpoints.database_url(settings_for(tmp_path, "sqlite:///x"), True).database == "x"
