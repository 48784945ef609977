"""The stack's own rules, with small real children in the place of services."""

import json
import socket
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from clickstream import config
from clickstream.clients import endpoints
from clickstream.config import Settings, secured
from clickstream.errors import ClickstreamError, NoData, ServiceFailed, UsageError
from clickstream.home import exclusive
from clickstream.runtime.process import Child, running_children
from clickstream.stack import hdfs_security, kdc, local, log_files, mariadb, ports, security
from clickstream.stack.cassandra import Cassandra
from clickstream.stack.hdfs import Hdfs
from clickstream.stack.kafka import Kafka
from clickstream.stack.service import Commands, Processes, Service


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


LISTEN = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


class Small(Service):
    """A service that only listens."""

    name = "small"
    title = "Small"
    processes: ClassVar[Processes] = {"small": ("kafka",)}

    def external_address(self) -> str:
        return ""

    def prepare(self) -> None:
        self._make_once(self.directory / "data", lambda place: place.mkdir())

    def commands(self) -> Commands:
        return {"small": [*python(LISTEN), str(self.ports["kafka"])]}

    def ready(self, process: str) -> bool:
        return process == "small" and endpoints.port_open(self.ports["kafka"])


class Dying(Small):
    """A service that dies while it starts."""

    name = "dying"
    title = "Dying"
    processes: ClassVar[Processes] = {"dying": ("mariadb",)}

    def commands(self) -> Commands:
        return {"dying": python("print('no memory left'); raise SystemExit(5)")}

    def ready(self, process: str) -> bool:
        return process == "never"


class Slow(Small):
    """A service that is never ready."""

    name = "slow"
    title = "Slow"
    processes: ClassVar[Processes] = {"slow": ()}

    def commands(self) -> Commands:
        return {"slow": python("import time; time.sleep(600)")}

    def ready(self, process: str) -> bool:
        return process == "never"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load(home=tmp_path / "home")


@pytest.fixture
def small(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A stack of one small service."""
    monkeypatch.setattr(local, "SERVICES", (Small,))
    monkeypatch.setattr(log_files, "SERVICES", (Small,))
    yield settings
    for child in running_children(settings.files):
        Child(settings.files, child.name).stop(timeout_s=1)


def test_up_starts_status_shows_down_stops(small: Settings) -> None:
    assert local.up(small) == ["small"]
    (row,) = local.status(small)
    assert (row.state, row.port) == ("running", endpoints.remembered_ports(small.home)["kafka"])
    assert local.down(small) == ["small"]
    assert local.status(small) == [local.Row("small", "small", "stopped", None, None, None)]


def test_a_second_up_starts_nothing(small: Settings) -> None:
    local.up(small)
    before = local.status(small)
    assert local.up(small) == []
    assert [row.pid for row in local.status(small)] == [row.pid for row in before]


def test_one_that_dies_while_starting_takes_the_others_of_this_call_down(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SERVICES", (Slow, Small, Dying))
    with pytest.raises(ServiceFailed, match=r"dying ended with exit code 5\n  no memory left"):
        local.up(small)
    assert running_children(small.files) == []


def test_what_ran_before_survives_a_failed_up(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.up(small)
    monkeypatch.setattr(local, "SERVICES", (Small, Dying))
    with pytest.raises(ServiceFailed):
        local.up(small)
    assert [child.name for child in running_children(small.files)] == ["small"]


def test_down_goes_on_after_one_failure(small: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(Slow):
        name = "stubborn"

        def stop(self) -> bool:
            raise ServiceFailed("stubborn does not end")

    local.up(small)
    monkeypatch.setattr(local, "SERVICES", (Small, Stubborn))
    with pytest.raises(ServiceFailed, match="stubborn"):
        local.down(small)
    assert running_children(small.files) == []


def test_a_stale_state_file_does_not_stand_in_the_way(small: Settings) -> None:
    state = small.files.state("small")
    state.parent.mkdir(parents=True)
    stale = {"name": "small", "pid": 1, "created": 1.0, "log": "", "ports": {}}
    state.write_text(json.dumps(stale))
    assert local.up(small) == ["small"]


def test_down_of_a_home_that_never_was_makes_none(small: Settings) -> None:
    assert local.down(small) == []
    assert not small.home.exists()


def test_an_external_service_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load(home=tmp_path, flags={"kafka.bootstrap": "broker1:9092"})
    monkeypatch.setattr(local, "SERVICES", (Kafka,))
    assert local.up(settings) == []
    assert [row.state for row in local.status(settings)] == ["elsewhere: broker1:9092"]


def test_where_a_database_is_does_not_need_its_password(tmp_path):
    url = "mysql+pymysql://u@db/clickstream"
    flags = {"database.url": url, "database.password_file": "/of/another/host"}
    service = mariadb.MariaDB(config.load(home=tmp_path, flags=flags))
    assert service.external_address() == url


def test_other_children_of_the_home_are_named(small: Settings) -> None:
    Child(small.files, "agent1").start(python("import time; time.sleep(600)"))
    assert [child.name for child in local.others(small)] == ["agent1"]
    with pytest.raises(ClickstreamError, match="still running: agent1"):
        local.clean(small)


def test_an_unknown_service_is_refused_with_the_known_ones(small: Settings) -> None:
    with pytest.raises(UsageError, match="mongodb") as caught:
        local.up(small, ["mongodb"])
    assert "small" in caught.value.hint


def test_one_stack_command_at_a_time(small: Settings) -> None:
    with exclusive(small.files.stack_lock), pytest.raises(ClickstreamError, match="another"):
        local.up(small)


def test_half_a_store_is_made_again(settings: Settings) -> None:
    service = Small(settings)
    place = service.directory / "data"
    made = []

    def make(draft: Path) -> None:
        made.append(draft)
        draft.mkdir(parents=True)
        if len(made) == 1:
            raise ServiceFailed("killed in the middle")

    with pytest.raises(ServiceFailed):
        service._make_once(place, make)
    assert not place.exists()
    service._make_once(place, make)
    service._make_once(place, make)
    assert place.is_dir()
    assert len(made) == 2


# Ports


def test_automatic_ports_are_remembered(settings: Settings) -> None:
    given = ports.assign(settings, ["kafka", "mariadb"])
    assert len(set(given.values())) == 2
    assert ports.assign(settings, ["kafka", "mariadb"]) == given


def test_a_remembered_port_that_was_taken_is_given_up(settings: Settings) -> None:
    first = ports.assign(settings, ["kafka"])["kafka"]
    with socket.create_server(("127.0.0.1", first)):
        assert ports.assign(settings, ["kafka"])["kafka"] != first


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_a_configured_port_that_is_taken_is_named_with_its_owner(
    tmp_path: Path, address: str
) -> None:
    with socket.create_server((address, 0)) as holder:
        port = holder.getsockname()[1]
        settings = config.load(home=tmp_path, flags={"stack.ports.kafka": str(port)})
        with pytest.raises(ServiceFailed, match=rf"{port} \(stack.ports.kafka\) is taken by .*pid"):
            ports.assign(settings, ["kafka"])


def test_one_port_configured_twice_is_refused(tmp_path: Path) -> None:
    flags = {"stack.ports.kafka": "40123", "stack.ports.mariadb": "40123"}
    with pytest.raises(UsageError, match=r"kafka.*mariadb.*40123"):
        ports.assign(config.load(home=tmp_path, flags=flags), ["kafka", "mariadb"])


# What services are given


@pytest.fixture
def prepared(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Ports for every service, and neither Java nor jars asked for."""
    monkeypatch.setattr("clickstream.runtime.jars.classpath", lambda service: f"{service}.jar")
    monkeypatch.setattr("clickstream.runtime.jars.files", lambda _: [Path("x_jamm-0.jar")])
    monkeypatch.setattr("clickstream.stack.service.java", lambda: "java")
    monkeypatch.setattr(Service, "_make_once", lambda *_: None)
    ports.assign(settings, [name for each in local.chosen(settings) for name in each.port_names()])
    return settings


@pytest.mark.parametrize("kind", [Kafka, Hdfs, Cassandra])
def test_rendered_files_name_loopback_and_the_remembered_ports(
    prepared: Settings, kind: type[Service]
) -> None:
    service = kind(prepared)
    service.prepare()
    text = "\n".join(path.read_text() for path in service.directory.glob("conf/*"))
    assert all(str(port) in text for port in service.ports.values())
    assert "0.0.0.0" not in text


def test_hdfs_has_a_kdc_where_the_stack_has_kerberos(prepared: Settings) -> None:
    assert kdc.NAME not in Hdfs(prepared).running()
    security.make(prepared.files, kerberos=True)
    service = Hdfs(config.load(home=prepared.home))
    assert list(service.running()) == ["kdc", "namenode", "datanode"]
    ports.assign(prepared, service.port_names())
    hdfs_security.write_client(prepared.files, "hdfs://localhost:1")
    site = (secured.hadoop_conf(prepared.files) / "core-site.xml").read_text()
    assert "hadoop.security.authentication" in site
    hdfs_security.write_web_server(prepared.files, service.directory / "conf")
    server = (service.directory / "conf" / "ssl-server.xml").read_text()
    assert server.count(".jks<") == 2


@pytest.mark.parametrize("kind", [Kafka, Hdfs, Cassandra])
def test_heaps_are_as_configured(prepared: Settings, kind: type[Service]) -> None:
    for process, argv in kind(prepared).commands().items():
        assert f"-Xmx{getattr(prepared.stack.heap_mb, process)}m" in argv


def test_the_password_is_private_and_in_no_command_line(
    prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mariadb.Programs(Path("mariadbd"), Path("mariadb-install-db"), "")
    monkeypatch.setattr(mariadb, "programs", lambda: found)
    service = mariadb.MariaDB(prepared)
    service.prepare()
    file = endpoints.password_file(prepared.home)
    password = file.read_text().strip()
    (argv,) = service.commands().values()
    assert len(password) >= 24
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(password in argument for argument in argv)
    assert argv[1] == "--no-defaults"
    service.after_start()
    rest = [path for path in service.directory.rglob("*") if path.is_file() and path != file]
    assert not any(password in path.read_text() for path in rest)


def test_the_socket_path_of_a_deep_home_is_short_enough(tmp_path: Path) -> None:
    deep = config.load(home=tmp_path.joinpath(*["very-deep-indeed"] * 12))
    socket_path = mariadb.MariaDB(deep).socket()
    assert len(str(socket_path)) <= mariadb.SOCKET_PATH_LIMIT
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    socket_path.parent.rmdir()


# What is shown


def test_a_log_is_shown_with_its_controls_escaped(small: Settings) -> None:
    log = small.files.log("small")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\ntwo\nred \x1b[31m alert \xff\n")
    shown = list(log_files.log(small, "small", lines=2))
    assert shown[0] == "two"
    assert "\x1b" not in shown[1]
    assert "\\x1b[31m" in shown[1]


def test_no_log_yet_and_no_such_service_are_distinguished(small: Settings) -> None:
    with pytest.raises(NoData, match="small has no log"):
        list(log_files.log(small, "small", lines=5))
    with pytest.raises(UsageError, match="no service x"):
        list(log_files.log(small, "x", lines=5))


def test_following_a_log_shows_what_comes(small: Settings) -> None:
    log = small.files.log("small")
    log.parent.mkdir(parents=True)
    log.write_text("old\n")
    lines = log_files.log(small, "small", lines=1, follow=True)
    assert next(lines) == "old"
    writer = Child(small.files, "small")
    writer.start(python("import time; time.sleep(0.5); print('new'); time.sleep(600)"))
    assert next(lines) == "new"
