"""The batch views on SQLite: slices that are replaced whole, text kept apart, schema refused."""

import pytest
import sqlalchemy as sa

from clickstream import config
from clickstream.batch import slices
from clickstream.batch.slices import CATEGORIES, HOSTS, TRAFFIC
from clickstream.errors import ClickstreamError, NotRunning, UsageError
from clickstream.views import batch
from clickstream.views.batch import BatchViews, Book

LONG = "/" + "\xe9" * 300_000
NAMES = ["/a", "/A", "/a ", "/a\t", "/a\x00", "/\xe4", LONG, LONG + "x", "/'; DROP TABLE books; --"]


def settings_for(tmp_path, url):
    return config.load(home=tmp_path, flags={"database.url": url})


@pytest.fixture
def settings(tmp_path):
    return settings_for(tmp_path, f"sqlite:///{tmp_path}/views.db")


@pytest.fixture
def views(settings):
    with BatchViews.connect(settings) as views:
        yield views


def day_rows(day, names=NAMES, server="weblog1"):
    n = len(names)
    counts = [
        {"g": HOSTS, "servers": [server], "hosts": 2, "n": n, "digests": ""},
        {"g": TRAFFIC, "servers": [server], "minute": "09:30", "status": "200", "n": n, "seen": n},
    ]
    for name in names:
        counts.append({"g": CATEGORIES, "servers": [server], "category": name, "n": 1})
    return slices.rows(slices.Run(day, [], 0, 1, "map"), counts)


def everything(views):
    return [views.visitors(), views.responses(), views.hourly(), views.categories(top=None)]


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
    assert [row["requests"] for row in views.hourly([day], None)] == [len(NAMES)] * 2


def test_a_failing_write_leaves_the_day_as_it_was(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    before = everything(views)
    broken = day_rows("2015-05-18", ["/x"])
    broken["batch_runs"] *= 2
    with pytest.raises(ClickstreamError, match="refuses"):
        views.replace_day("2015-05-18", broken)
    assert everything(views) == before


def test_hours_are_summed_over_days_or_told_by_day(views):
    for day in ("2015-05-18", "2015-05-19"):
        views.replace_day(day, day_rows(day, ["/x"]))
    assert views.hourly() == [{"hour": 9, "server": "all", "requests": 2}]
    assert [row["date"] for row in views.hourly(by_day=True)] == ["2015-05-18", "2015-05-19"]
    assert views.hourly([]) == []


def test_a_day_is_final_when_every_server_has_the_lines_of_the_books(views):
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x", "/y"]))

    def final():
        return [run["final"] for run in views.runs()]

    assert final() == [False]
    views.publish_books([Book("weblog1", "a" * 16, "2015-05-18", 1)])
    assert final() == [False]
    views.publish_books([Book("weblog1", "b" * 16, "2015-05-18", 1)])
    assert final() == [True]
    views.publish_books([Book("weblog2", "c" * 16, "2015-05-18", 1)])
    assert final() == [False]


def test_a_home_publishes_its_books(views, settings, capsys):
    from clickstream.cli import main
    from clickstream.ledger import Ledger, LogFile

    assert batch.publish(settings, views) == []
    with Ledger.open(settings.path("ledger.db")) as ledger:
        log = LogFile("weblog1", "a" * 16, "/source/weblog1/a", 9, "", False)
        ledger.plan(log, 0, {("2015-05-18", ""): 2, ("2015-05-18", "binary"): 1}, b"", 3)
    views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x", "/y"]))
    url = settings.database.url.get_secret_value()
    argv = ["--home", str(settings.home), "--set", f"database.url={url}"]
    assert main([*argv, "ingest", "ledger", "publish"]) == 0
    assert capsys.readouterr().out == "2 valid lines of 1 days\n"
    assert [run["final"] for run in views.runs()] == [True]


def test_another_schema_number_is_refused_until_dropped(views, settings, tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/views.db")
    with engine.begin() as connection:
        connection.execute(sa.update(batch.batch_schema).values(number=batch.SCHEMA + 1))
    with pytest.raises(ClickstreamError, match="schema") as refused:
        BatchViews.connect(settings)
    assert "batch run --all" in refused.value.hint
    batch.drop(settings)
    BatchViews.connect(settings).close()


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path):
    settings = settings_for(tmp_path, "mysql+pymysql://me:s3cret@127.0.0.1:1/x?charset=utf8mb4")
    with pytest.raises(NotRunning, match=r"mysql\+pymysql://me:\*\*\*@127.0.0.1:1/x") as caught:
        BatchViews.connect(settings)
    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_a_database_without_driver_is_a_wrong_setting(tmp_path):
    with pytest.raises(UsageError, match="no driver for nosuch"):
        BatchViews.connect(settings_for(tmp_path, "nosuch://u@h/x"))
