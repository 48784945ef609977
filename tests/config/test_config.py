"""Settings: precedence, refusal of unknown keys, and where each value came from."""

import json
import tomllib
from pathlib import Path

import pytest

from clickstream import config
from clickstream.config import layers
from clickstream.errors import UsageError
from clickstream.home import Home
from clickstream.weblog import formats

DEFAULTS_FILE = Path(__file__).parents[2] / "configs" / "clickstream.toml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text('[kafka]\ntopic = "from-file"\n')
    return path


def _source(settings: config.Settings, key: str) -> tuple[str, str]:
    row = next(row for row in config.shown(settings) if row.key == key)
    return row.value, row.source


def test_default(home: Path) -> None:
    assert _source(config.load(None, home), "kafka.topic") == ("clickstream", "default")


def test_file_over_default(home: Path, file: Path) -> None:
    settings = config.load(file, home)
    assert _source(settings, "kafka.topic") == ("from-file", "file")
    assert _source(settings, "kafka.replication_factor") == ("1", "default")


def test_environment_over_file(home: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_KAFKA__TOPIC", "from-environment")
    settings = config.load(file, home)
    assert _source(settings, "kafka.topic") == ("from-environment", "environment")


def test_flag_over_environment(home: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_KAFKA__TOPIC", "from-environment")
    settings = config.load(file, home, {"kafka.topic": "from-flag"})
    assert settings.kafka.topic == "from-flag"
    assert _source(settings, "kafka.topic") == ("from-flag", "flag")


def test_the_home_has_a_file_of_its_own(home: Path) -> None:
    home.mkdir()
    Home(home).configuration.write_text("[kafka]\ntopic = 'own'\n")
    assert config.load(None, home).kafka.topic == "own"


def test_file_named_by_the_environment(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKSTREAM_CONFIG", str(file))
    monkeypatch.setenv("CLICKSTREAM_HOME", str(home))
    settings = config.load()
    assert (settings.kafka.topic, settings.home) == ("from-file", home)


def test_nested_tables_of_several_sources_meet(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKSTREAM_STACK__HEAP_MB__KAFKA", "300")
    file.write_text("[stack.heap_mb]\ncassandra = 400\n")
    heap = config.load(file, home, {"stack.heap_mb.namenode": "200"}).stack.heap_mb
    assert (heap.kafka, heap.cassandra, heap.namenode) == (300, 400, 200)


def test_lists_and_tables_are_json_on_the_command_line(home: Path) -> None:
    flags = {"cassandra.hosts": '["a", "b"]', "spark.conf": '{"spark.executor.cores": "2"}'}
    settings = config.load(None, home, flags)
    assert settings.cassandra.hosts == ["a", "b"]
    assert settings.spark.conf == {"spark.executor.cores": "2"}


def test_hosts_may_stand_between_commas(home: Path) -> None:
    assert config.load(None, home, {"cassandra.hosts": "a,b"}).cassandra.hosts == ["a", "b"]


def test_named_servers_replace_the_two_of_the_default(home: Path, file: Path) -> None:
    file.write_text('[servers.shop]\nagent = "shop-agent"\n')
    assert list(config.load(file, home).servers) == ["shop"]


@pytest.mark.parametrize("text", ["[kafka]\ntopik = 'x'\n", "[kafak]\ntopic = 'x'\n"])
def test_unknown_key_in_the_file(home: Path, file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=r"unknown setting kaf(ka.topik|ak) \(file\)"):
        config.load(file, home)


@pytest.mark.parametrize("name", ["KAFKA__TOPIK", "KAFAK__TOPIC"])
def test_unknown_key_in_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"CLICKSTREAM_{name}", "x")
    with pytest.raises(UsageError, match=r"unknown setting kaf(ka.topik|ak) \(environment\)"):
        config.load(None, home)


def test_unknown_key_as_a_flag(home: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown setting kafka\.topik \(flag\)"):
        config.load(None, home, {"kafka.topik": "x"})


def test_every_wrong_key_is_named(home: Path) -> None:
    with pytest.raises(UsageError) as error:
        config.load(None, home, {"kafka.topik": "x", "stack.heap_mb.kafka": "much"})
    assert "kafka.topik" in error.value.message
    assert "stack.heap_mb.kafka (flag)" in error.value.message


@pytest.mark.parametrize("name", ["all", "web 1", "", "wéb"])
def test_names_that_no_server_may_have(home: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a server name"):
        config.load(None, home, {"servers": json.dumps({name: {"agent": "agent1"}})})


def test_a_format_alone_is_added_to_the_servers_of_the_default(home: Path, file: Path) -> None:
    file.write_text('[servers.weblog2]\nformat = "vhost_combined"\n')
    servers = config.load(file, home, {"servers.weblog1.format": "common"}).servers
    assert [(name, each.agent, each.format) for name, each in servers.items()] == [
        ("weblog1", "agent1", "common"),
        ("weblog2", "agent2", "vhost_combined"),
    ]
    assert [*formats.readings(config.load(file, home))] == ["weblog2"]


@pytest.mark.parametrize("servers", ["{'shop': {'format': 'common'}}", "{'weblog1': 3}", "3"])
def test_servers_that_cannot_be_are_refused(home: Path, servers: str) -> None:
    with pytest.raises(UsageError, match="servers"):
        config.load(None, home, {"servers": servers.replace("'", '"')})


def test_a_format_that_is_none_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match=r"servers\.weblog1\.format \(flag\).*vhost_combined"):
        config.load(None, home, {"servers.weblog1.format": "w3c"})


def test_two_servers_need_two_agents(home: Path) -> None:
    same = json.dumps({"a": {"agent": "agent1"}, "b": {"agent": "agent1"}})
    with pytest.raises(UsageError, match="same agent"):
        config.load(None, home, {"servers": same})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"topic = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"home = 'x'", "sets home"),
    ],
)
def test_a_file_that_cannot_be_taken(
    home: Path, file: Path, content: bytes, complaint: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError, match=complaint):
        config.load(file, home)


def test_a_file_that_does_not_exist(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no configuration file"):
        config.load(tmp_path / "absent.toml", home)


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("cassandra.password", "marker", "***"),
        ("database.url", "mysql://u:mar@ker@h/d", "mysql://u:***@h/d"),
        ("database.url", "db://h/d?password=marker&a=b", "db://h/d?password=***&a=b"),
        ("database.url", "marker", "***"),
        ("hdfs.web", "http://u:marker@h:9870", "http://u:***@h:9870"),
        ("spark.conf.spark.password", "marker", "***"),
        ("cassandra.password_file", "/etc/marker", "/etc/marker"),
    ],
)
def test_secrets_are_masked(home: Path, file: Path, key: str, given: str, value: str) -> None:
    section, name = key.split(".", 1)
    table = "spark.conf" if name.startswith("conf.") else section
    file.write_text(f"[{table}]\n'{name.removeprefix('conf.')}' = '{given}'\n")
    file.chmod(0o600)
    assert _source(config.load(file, home), key) == (value, "file")


def test_no_secret_looks_empty_not_masked(home: Path) -> None:
    assert _source(config.load(None, home), "cassandra.password") == ("", "default")


def test_a_child_loads_the_same_settings(
    home: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = config.load(file, home, {"servers.WebLog1.agent": "a", "database.url": "sqlite:///x"})
    for name, value in ours.child_env().items():
        monkeypatch.setenv(name, value)
    assert config.load() == ours
    assert config.shown(config.load()) == config.shown(ours)


def test_the_file_of_defaults_holds_every_key_with_its_default(home: Path) -> None:
    tree = tomllib.loads(DEFAULTS_FILE.read_text())
    defaults = config.load(None, home)
    assert config.load(DEFAULTS_FILE, home).model_dump() == defaults.model_dump()
    assert set(layers.leaves(tree)) == set(layers.leaves(defaults.model_dump(exclude={"home"})))


def test_every_key_of_the_file_of_defaults_is_explained() -> None:
    unexplained = [
        line
        for block in DEFAULTS_FILE.read_text().split("\n\n")
        for line in block.splitlines()
        if "#" not in block and not line.startswith("[servers.")
    ]
    assert [
        line for line in unexplained if not line.startswith(("agent", "format", "client"))
    ] == []


@pytest.mark.parametrize(
    ("flags", "level"),
    [({}, 10), ({"speed.health_non_200": "4"}, 4), ({"speed.health_non_200": "20"}, 10)],
)
def test_an_alert_resolves_at_the_level_that_opens_one_or_below(home, flags, level) -> None:
    assert config.load(None, home, flags).speed.health_resolve_non_200 == level


def test_an_alert_that_would_resolve_above_its_level_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="health_resolve_non_200 11 is above health_non_200 10"):
        config.load(None, home, {"speed.health_resolve_non_200": "11"})


@pytest.mark.parametrize(
    ("given", "statuses"),
    [
        ("200", ["200"]),
        ("304, 200", ["200", "304"]),
        ("[200, 304, 304]", ["200", "304"]),
        ('["301"]', ["301"]),
    ],
)
def test_healthy_statuses_are_a_set_however_they_are_written(home, given, statuses) -> None:
    settings = config.load(None, home, {"speed.healthy_statuses": given})
    assert settings.speed.healthy_statuses == statuses
    assert config.load(None, home, {}).speed.healthy_statuses == ["200"]


@pytest.mark.parametrize("wrong", ["", "[]", "2xx", "20", "2000", "200,,304", "٢٠٠"])
def test_what_is_no_status_is_not_healthy(home: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match="healthy_statuses"):
        config.load(None, home, {"speed.healthy_statuses": wrong})


def test_the_webhook_is_a_secret_web_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_ALERTS__WEBHOOK", "https://h/services/T0/xyz")
    assert _source(config.load(None, home), "alerts.webhook") == ("***", "environment")
    for wrong in ("file:///etc/passwd", "ftp://h/x", "h/x", "https:///x", "http://a b"):
        monkeypatch.setenv("CLICKSTREAM_ALERTS__WEBHOOK", wrong)
        with pytest.raises(UsageError, match="not an http") as refusal:
            config.load(None, home)
        assert wrong not in str(refusal.value)
