# ruff: noqa: F401, F811
"""The batch views on MariaDB: the very tests that SQLite passes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from clickstream import config
from clickstream.clients import endpoints
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.stack.mariadb import MariaDB
from clickstream.views.batch import BatchViews
from tests.stack.homes import runner
from tests.views.test_batch_views import (
    day_rows,
    everything,
    test_a_day_is_final_when_every_server_has_the_lines_of_its_logs,
    test_a_day_is_not_final_once_the_ledger_has_a_line_more,
    test_a_day_that_another_run_has_written_since_is_left_to_it,
    test_a_failing_write_leaves_the_day_as_it_was,
    test_a_home_publishes_its_line_counts,
    test_a_reader_makes_no_tables,
    test_a_writer_that_is_killed_leaves_the_old_day_or_the_new_one,
    test_another_schema_number_is_refused_until_dropped,
    test_any_day,
    test_names_that_differ_in_a_byte_stay_apart,
    test_replacing_a_day_twice_gives_the_same_rows_and_touches_no_other,
    test_servers_differ_by_case,
    test_traffic_by_minute_hour_and_day,
    test_writers_at_once_take_their_turns_and_a_reader_sees_whole_days,
    views,
)

OTHERS = (
    "SELECT id FROM information_schema.processlist WHERE user = substring_index(user(), '@', 1)"
    " AND id <> connection_id()"
)


@pytest.fixture
def store(fresh):
    """A home of its own on the shared stack, its database empty."""
    return fresh


def test_the_reader_of_the_local_stack_only_reads(store, views):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    with BatchViews.connect(store, reader=True) as reader:
        assert len(reader.visitors()) == 2
        with pytest.raises(
            ClickstreamError, match=r"'clickstream_reader'@.* has no right to UPDATE"
        ):
            reader.replace_day("2015-05-18", day_rows("2015-05-18", ["/x"]))
    assert len(views.categories(server="all", top=None)) > 1


def certificate(file: Path) -> Path:
    """A new certificate of this address, signed by itself, and beside it its key (.key)."""
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]
    made += ["ec_paramgen_curve:prime256v1", "-out", file, "-keyout", file.with_suffix(".key")]
    made += ["-subj", "/CN=test", "-addext", f"subjectAltName=IP:{endpoints.LOOPBACK}"]
    subprocess.run(made, check=True, capture_output=True)
    return file


class Encrypted(MariaDB):
    """The local stack's server with a certificate."""

    def commands(self):
        argv = [word for word in super().commands()["mariadb"] if word != "--skip-ssl"]
        own = certificate(self.directory / "server.pem")
        return {"mariadb": [*argv, f"--ssl-cert={own}", f"--ssl-key={own.with_suffix('.key')}"]}


@pytest.fixture
def encrypted(tmp_path) -> Iterator[Encrypted]:
    endpoints.remember_ports(tmp_path / "home", endpoints.free_ports(["mariadb"]))
    server = Encrypted(config.load(home=tmp_path / "home"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def trusting(settings: config.Settings, ca: Path) -> config.Settings:
    """The same settings, with a URL that asks for TLS and names whom it trusts."""
    return config.load(home=settings.home, flags=flags_for(settings, ssl_ca=str(ca)))


def flags_for(settings: config.Settings, **options: str) -> dict[str, str]:
    """The URL with these options, and its password's file."""
    url = endpoints.database_url(settings).set(query=options)._replace(password=None)
    file = endpoints.password_file(settings.home)
    return {"database.url": str(url), "database.password_file": str(file)}


def test_the_url_s_tls_options_reach_the_server(encrypted, tmp_path):
    own = trusting(encrypted.settings, encrypted.directory / "server.pem")
    with BatchViews.connect(own) as views:
        (row,) = views._all(sa.text("SHOW STATUS LIKE 'Ssl_cipher'"))
    assert row["Value"]
    wrong = trusting(encrypted.settings, certificate(tmp_path / "other.pem"))
    lines = runner(wrong)("batch", "status", code=1).stderr.splitlines()
    assert [line for line in lines if line.startswith("Error:")] == lines[:1]
    assert f"its certificate was not issued by {tmp_path / 'other.pem'}" in lines[0]
    password = endpoints.password_file(encrypted.settings.home).read_text().strip()
    assert password not in "".join(lines)


def test_tls_that_the_url_asks_for_is_insisted_on(store):
    """The local MariaDB has none, so a connection with these options must not come about."""
    plain = endpoints.database_url(store)
    flags = store.origin.flags | flags_for(store, ssl_check_hostname="false")
    with pytest.raises(ClickstreamError, match="it does not speak TLS") as refused:
        BatchViews.connect(config.load(home=store.home, flags=flags))
    assert (plain.password or "?") not in str(refused.value)


def test_a_database_that_loses_the_connection_amid_a_write_keeps_the_day(store, views, monkeypatch):
    views.replace_day("2015-05-18", day_rows("2015-05-18"))
    old = everything(views)

    def cut(point):
        if point == "batch-inserted":
            with engine.begin() as connection:
                for number in connection.scalars(sa.text(OTHERS)).all():
                    connection.execute(sa.text(f"KILL {number}"))

    engine = sa.create_engine(endpoints.database_url(store))
    monkeypatch.setattr("clickstream.faultpoints.reached", cut)
    with pytest.raises(NotRunning, match="cannot be used"):
        views.replace_day("2015-05-18", day_rows("2015-05-18", ["/x"]))
    engine.dispose()
    assert everything(views) == old
