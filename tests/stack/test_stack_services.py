"""The local stack, for real: what listens, what answers, and what goes wrong at a start."""

import json
import os
import signal
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pymysql
import pytest

from clickstream import config
from clickstream.clients import endpoints
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, ServiceFailed
from clickstream.home import Home
from clickstream.runtime import jars
from clickstream.runtime.process import running_children
from clickstream.stack import local
from tests.stack.homes import runner

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def listening(home: Path) -> dict[str, set[str]]:
    """Each child of a home -> the addresses it listens on, datagram sockets too."""
    return {
        child.name: {
            connection.laddr.ip
            for process in family(child.pid)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        }
        for child in running_children(Home(home))
    }


def test_everything_listens_on_loopback_only(settings: Settings) -> None:
    found = listening(settings.home)
    assert {"kafka", "namenode", "datanode", "cassandra", "mariadb"} <= set(found)
    assert all(addresses <= LOOPBACK for addresses in found.values()), found
    assert all(found[row.process] for row in local.status(settings))


def test_status_names_process_port_and_memory(settings: Settings) -> None:
    for row in local.status(settings):
        assert row.state == "running"
        assert endpoints.port_open(row.port)
        assert row.memory_mb > 50


def test_a_second_up_starts_nothing(settings: Settings) -> None:
    before = local.status(settings)
    assert local.up(settings) == []
    assert [row.pid for row in local.status(settings)] == [row.pid for row in before]


def test_a_running_stack_is_not_cleaned(settings: Settings) -> None:
    with pytest.raises(ClickstreamError, match=r"still running: .*kafka"):
        local.clean(settings)


def test_hdfs_knows_its_users(settings: Settings) -> None:
    stranger = Hdfs(endpoints.hdfs_web(settings), "mallory")
    with pytest.raises(ClickstreamError, match="Permission denied"):
        stranger.write("/tmp-of-mallory", [b""])


def test_mariadb_wants_the_password_and_tells_case_and_blanks_apart(settings: Settings) -> None:
    url = endpoints.database_url(settings)
    login = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(**login, password="")
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host=url.host, port=url.port, user="root", password="")
    connection = pymysql.connect(**login, password=url.password)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE paths (path VARCHAR(10) PRIMARY KEY)")
        # A primary key refuses what it takes for equal.
        assert cursor.execute("INSERT INTO paths VALUES ('/a'), ('/A'), ('/a '), ('/á')") == 4


def test_the_password_is_in_no_command_line_and_no_log(settings: Settings) -> None:
    file = endpoints.password_file(settings.home)
    password = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    for child in running_children(settings.files):
        assert not any(password in argument for argument in psutil.Process(child.pid).cmdline())
    for log in settings.files.logs.iterdir():
        assert password not in log.read_text(errors="replace")


# A home of their own, with MariaDB alone; each test finds it up, with whatever was written before.


@pytest.fixture(scope="module")
def _second(tmp_path_factory: pytest.TempPathFactory):
    settings = config.load(home=tmp_path_factory.mktemp("services") / "second")
    yield settings
    local.down(settings)


@pytest.fixture
def second(_second: Settings) -> Settings:
    local.up(_second, ["mariadb"])
    return _second


def test_data_outlives_a_restart_and_a_lost_port(second: Settings) -> None:
    execute(second, "CREATE TABLE kept (n INT)")
    port = endpoints.remembered_ports(second.home)["mariadb"]
    local.down(second)
    with socket.create_server(("127.0.0.1", port)):
        local.up(second, ["mariadb"])
        assert endpoints.remembered_ports(second.home)["mariadb"] != port
    execute(second, "INSERT INTO kept VALUES (1)")


def execute(settings: Settings, statement: str) -> None:
    url = endpoints.database_url(settings)
    with pymysql.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
        autocommit=True,
    ) as connection:
        connection.cursor().execute(statement)


def test_a_killed_service_is_told_and_started_again(second: Settings) -> None:
    (child,) = running_children(second.files)
    os.kill(child.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(child.pid)] if psutil.pid_exists(child.pid) else [], 10)
    states = {row.process: row.state for row in local.status(second)}
    assert states["mariadb"] == "stopped"
    assert local.up(second, ["mariadb"]) == ["mariadb"]


def test_a_configured_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        flags = {"stack.ports.mariadb": str(holder.getsockname()[1])}
        settings = config.load(home=tmp_path, flags=flags)
        with pytest.raises(ServiceFailed, match=rf"stack.ports.mariadb\).*pid {os.getpid()}"):
            local.up(settings, ["mariadb"])
    assert running_children(settings.files) == []


def test_a_service_that_cannot_start_says_why_and_a_cleaned_home_starts_afresh(
    second: Settings,
) -> None:
    local.down(second)
    (second.files.service("mariadb") / "data" / "ibdata1").write_bytes(b"not a tablespace")
    with pytest.raises(ServiceFailed, match=r"mariadb ended with exit code (.|\n)*ibdata1"):
        local.up(second, ["mariadb"])
    assert running_children(second.files) == []
    local.clean(second)
    assert not second.home.exists()
    assert local.up(second, ["mariadb"]) == ["mariadb"]
    execute(second, "CREATE TABLE recreated (n INT)")


def test_a_home_starts_in_which_ingest_ran_first(tmp_path: Path) -> None:
    fresh = config.load(home=tmp_path / "home")
    run = runner(fresh)
    log = tmp_path / "access.log"
    log.write_bytes(b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n')
    run("ingest", "follow", "--server", "weblog1", log, "--until-idle", "0")
    assert "is not running" in run("ingest", "start", code=1).stderr
    before = {path for path in fresh.home.rglob("*") if path.is_file()}
    assert fresh.files.ledger in before
    run("stack", "up", "mariadb")
    try:
        assert [child.name for child in running_children(fresh.files)] == ["mariadb"]
        assert all(path.exists() for path in before)
    finally:
        run("stack", "down")


# Jars, by the real Ivy from a mirror of one jar.


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A repository that holds Jolokia's jar as the cache has it; yields the file."""
    (jar,) = jars.locked("jolokia")
    content = jars.jolokia().read_bytes()
    name = jar.coordinate
    folder = tmp_path.joinpath("mirror", *name.organisation.split("."), name.name, name.revision)
    folder.mkdir(parents=True)
    file = folder / f"{name.name}-{name.revision}-{name.classifier}.jar"
    file.write_bytes(content)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CLICKSTREAM_REPOSITORY", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("CLICKSTREAM_CACHE", str(tmp_path / "cache"))
    yield file
    server.shutdown()
    server.server_close()


def test_jars_come_from_a_mirror_verified(mirror: Path) -> None:
    jars.fetch("jolokia")
    assert jars.jolokia().read_bytes() == mirror.read_bytes()
    assert json.loads((jars.cache_dir() / "verified" / "jolokia.json").read_text())


def test_a_mirror_that_lies_is_found_out(mirror: Path) -> None:
    mirror.write_bytes(b"PK but not the jar")
    with pytest.raises(ClickstreamError, match=r"jolokia-agent-jvm:.*wrong checksum"):
        jars.fetch("jolokia")
    assert jars.absent("jolokia")


def test_a_mirror_without_the_jar_is_told_with_ivys_reason(mirror: Path) -> None:
    mirror.unlink()
    with pytest.raises(ClickstreamError, match=r"jolokia-agent-jvm"):
        jars.fetch("jolokia")
