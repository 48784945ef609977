"""The whole path on a secured cluster, with no more rights than docs/cluster.md gives; mistakes."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from clickstream import config, scenario
from clickstream.clients import kafka
from clickstream.clients.endpoints import LOOPBACK, remembered_ports
from clickstream.errors import ClickstreamError
from clickstream.ingest.flume import agents
from clickstream.views.batch import BatchViews
from clickstream.views.realtime import RealTime
from tests.certificates import Authority
from tests.stack import secured
from tests.stack.homes import forget_environment, left_running, runner, stop_children
from tests.stack.in_process import Submitted

pytestmark = pytest.mark.campaign("a cluster of its own, secured")
LINES = 2_000
USERS = ("collector", "reader", "nobody", "clickstream", "clickstream_reader")


class Cluster(NamedTuple):
    """A secured cluster, and the home of one who uses it by its configuration file."""

    home: Path
    authority: Authority
    other: Authority
    passwords: dict[str, str]

    def settings(self, **flags: Any) -> config.Settings:
        """As configured; flags are `section__key`."""
        given = {key.replace("__", "."): str(value) for key, value in flags.items()}
        return config.load(home=self.home, flags=given)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    forget_environment()
    base = tmp_path_factory.mktemp("secured")
    passwords = {user: secrets.token_urlsafe(16) for user in USERS}
    made = Cluster(
        base / "home", Authority(base / "tls"), Authority(base / "tls", "other"), passwords
    )
    running = secured.services(config.load(home=made.home), made.authority, passwords)
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.start(), running))
        _configure(made, base)
        yield made
    finally:
        stop_children(config.load(home=made.home))
        for service in running:
            service.stop()
    assert left_running(base) == []


def _configure(cluster: Cluster, base: Path) -> None:
    for user, password in cluster.passwords.items():
        file = base / f"{user}.password"
        file.touch(mode=0o600)
        file.write_text(password + "\n")
    ours = cluster.authority.issue("collector")
    ports = remembered_ports(cluster.home)
    url = f"@{LOOPBACK}:{ports['mariadb']}/clickstream?ssl_ca={cluster.authority.ca}"
    (cluster.home / "clickstream.toml").write_text(f"""
[tls]
ca = "{cluster.authority.ca}"
[kafka]
bootstrap = "{LOOPBACK}:{ports["kafka"]}"
security = "SASL_SSL"
username = "reader"
password_file = "{base}/reader.password"
[cassandra]
hosts = ["{LOOPBACK}"]
port = {ports["cassandra"]}
tls = true
username = "clickstream"
password_file = "{base}/clickstream.password"
reader_username = "clickstream_reader"
reader_password_file = "{base}/clickstream_reader.password"
[database]
url = "mysql+pymysql://clickstream{url}"
password_file = "{base}/clickstream.password"
reader_url = "mysql+pymysql://clickstream_reader{url}"
reader_password_file = "{base}/clickstream_reader.password"
[flume]
collector_tls = true
collector_certificate = "{ours.certificate}"
collector_key = "{ours.key}"
collector_allow = ["{LOOPBACK}"]
idle_timeout_seconds = 1
""")


def as_collector(cluster: Cluster) -> config.Settings:
    file = cluster.home.parent / "collector.password"
    return cluster.settings(kafka__username="collector", kafka__password_file=file)


@pytest.fixture(scope="module")
def counted(cluster: Cluster, tmp_path_factory, jobs: Submitted) -> Cluster:
    """The cluster once logs went through both layers; the agents run."""
    logs = tmp_path_factory.mktemp("logs")
    scenario.generate(logs, 5, "load", lines=LINES)
    collect, run = runner(as_collector(cluster)), runner(cluster.settings())
    for server in ("weblog1", "weblog2"):
        run("weblog", "put", *sorted(logs.glob(f"*{server}*")), "--server", server)
    collect("ingest", "start")
    collect("ingest", "replay", "--wait")
    with jobs():
        run("speed", "run", "--available-now")
    run("batch", "run")
    return cluster


def test_the_whole_path_with_the_rights_of_the_page(counted: Cluster) -> None:
    run = runner(counted.settings())
    run("audit")
    for layer in ("batch", "speed"):
        rows = json.loads(run("report", "traffic", "--layer", layer, "--format", "json").stdout)
        assert sum(row["requests"] for row in rows if row["server"] == "all") == LINES
    states = runner(as_collector(counted))("ingest", "status").stdout
    assert "down" not in states


def test_no_password_is_where_somebody_could_read_it(counted: Cluster) -> None:
    markers = [password.encode() for password in counted.passwords.values()]
    lines = (
        "\0".join(process.info["cmdline"] or []).encode()
        for process in psutil.process_iter(["cmdline"])
    )
    assert not [line for line in lines if any(marker in line for marker in markers)]
    written = [path for path in counted.home.rglob("*") if path.is_file()]
    own = [path for path in written if not path.is_relative_to(counted.home / "kafka" / "conf")]
    assert len(own) > 50
    assert [str(path) for path in own if any(m in path.read_bytes() for m in markers)] == []


def ask_kafka(settings: config.Settings) -> object:
    return kafka.offsets(settings)


def ask_cassandra(settings: config.Settings) -> object:
    return RealTime.connect(settings, reader=True).close()


def ask_database(settings: config.Settings) -> object:
    return BatchViews.connect(settings, reader=True).close()


NOBODY = {"KAFKA__USERNAME": "nobody", "KAFKA__PASSWORD": "nobody"}
NO_LOGIN = {"CASSANDRA__READER_USERNAME": "", "CASSANDRA__USERNAME": ""}
PLAIN, TLS_ALONE = (
    {"KAFKA__SECURITY": security, "KAFKA__USERNAME": ""} for security in ("PLAINTEXT", "SSL")
)
ROLE = "CASSANDRA__READER_USERNAME"
ROLE_PASSWORD = "CASSANDRA__READER_PASSWORD"
MISTAKES = [
    (ask_kafka, {"KAFKA__PASSWORD": "wrong"}, "refuses the login of reader: wrong password"),
    (ask_kafka, {"KAFKA__USERNAME": "ghost"}, "refuses the login of ghost"),
    (ask_kafka, NOBODY, "gives User:nobody no right to use topic clickstream"),
    (ask_kafka, {"KAFKA__MECHANISM": "SCRAM-SHA-256"}, "takes no login by SCRAM-SHA-256"),
    (ask_kafka, {"KAFKA__MECHANISM": "PLAIN"}, "takes no login by PLAIN"),
    (ask_kafka, {"KAFKA__SECURITY": "SASL_PLAINTEXT"}, "speaks TLS"),
    (ask_kafka, PLAIN, "speaks TLS"),
    (ask_kafka, TLS_ALONE, "does not answer what comes as SSL"),
    (ask_kafka, {"TLS__CA": "other"}, "its certificate was not issued by"),
    (ask_kafka, {"TLS__CA": "/no/ca.pem"}, "tls.ca: there is no file /no/ca.pem"),
    (ask_cassandra, {ROLE_PASSWORD: "wrong"}, "login of clickstream_reader: wrong password"),
    (ask_cassandra, {ROLE: "ghost"}, "login of ghost: wrong password, or no such role"),
    (ask_cassandra, NO_LOGIN, "asks for a login"),
    (ask_cassandra, {"CASSANDRA__TLS": "false"}, "it speaks TLS"),
    (ask_cassandra, {"TLS__CA": "other"}, "its certificate was not issued by"),
    (ask_database, {"DATABASE__READER_URL": "w:wrong@"}, "login of 'w'@'127.0.0.1': wrong"),
    (ask_database, {"DATABASE__READER_URL": "other"}, "its certificate was not issued by"),
]


@pytest.mark.parametrize(("ask", "wrong", "sentence"), MISTAKES)
def test_a_mistake_is_told(
    counted: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[config.Settings], object],
    wrong: dict[str, str],
    sentence: str,
) -> None:
    ask(counted.settings())
    for key, value in wrong.items():
        monkeypatch.setenv(f"CLICKSTREAM_{key}", _value(counted, key, value))
    with pytest.raises(ClickstreamError) as told:
        ask(counted.settings())
    assert sentence in told.value.message
    text = f"{told.value} {told.value.hint} {told.value.__cause__}"
    assert "stack up" not in text
    assert not [each for each in counted.passwords.values() if each in text]


def _value(cluster: Cluster, key: str, value: str) -> str:
    other = str(cluster.other.ca)
    if key == "DATABASE__READER_URL":
        port = remembered_ports(cluster.home)["mariadb"]
        login, ca = (value, cluster.authority.ca) if value != "other" else ("w:x@", other)
        return f"mysql+pymysql://{login}{LOOPBACK}:{port}/clickstream?ssl_ca={ca}"
    if value == "nobody" and key.endswith("PASSWORD"):
        return cluster.passwords["nobody"]
    return other if value == "other" else value


def test_an_agent_is_not_started_that_may_not_write(counted: Cluster) -> None:
    kafka.require_write(as_collector(counted))
    with pytest.raises(ClickstreamError, match="gives User:reader no right to write to topic"):
        kafka.require_write(counted.settings())


def test_an_agent_is_not_started_without_tls_into_a_port_with_it(counted: Cluster) -> None:
    runner(counted.settings())("ingest", "stop", "agent3")
    wrong = counted.settings(kafka__security="PLAINTEXT", kafka__username="")
    with pytest.raises(ClickstreamError, match="speaks TLS"):
        agents.start(wrong, ["agent3"], print)


def test_a_right_that_a_reader_has_not(counted: Cluster) -> None:
    os.environ.pop("CLICKSTREAM_CASSANDRA__USERNAME", None)
    reader = counted.settings(
        cassandra__username="clickstream_reader",
        cassandra__password_file=counted.home.parent / "clickstream_reader.password",
    )
    with (
        RealTime.connect(reader) as views,
        pytest.raises(
            ClickstreamError, match="role clickstream_reader has no right to MODIFY"
        ) as told,
    ):
        views.clear()
    assert "GRANT MODIFY ON KEYSPACE clickstream TO clickstream_reader;" in told.value.hint
