"""Secrets: from where they are taken, and where they are refused."""

from pathlib import Path

import pytest

from clickstream import config
from clickstream.clients import endpoints
from clickstream.errors import UsageError

URL = "mysql+pymysql://writer@db/clickstream"


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def password(tmp_path: Path) -> Path:
    return private(tmp_path / "password", "of the file \n")


def toml(tmp_path: Path, text: str, mode: int = 0o644) -> Path:
    return private(tmp_path / "mine.toml", f"[cassandra]\nhosts = ['h']\n{text}", mode)


def test_a_password_comes_from_its_file_without_the_line_end(home, password):
    settings = config.load(None, home, {"cassandra.password_file": str(password)})
    assert settings.secret("cassandra.password") == "of the file "
    assert "of the file" not in str(config.shown(settings)) + repr(settings)


def test_a_relative_file_lies_in_the_home(home):
    home.mkdir()
    private(home / "secret", "s")
    settings = config.load(None, home, {"cassandra.password_file": "secret"})
    assert settings.secret("cassandra.password") == "s"


def test_a_secret_is_read_only_where_it_is_needed(home):
    """Web hosts share a configuration file whose secrets they do not have."""
    flags = {"cassandra.password_file": "/no/such", "cassandra.hosts": "h"}
    settings = config.load(None, home, flags)
    with pytest.raises(UsageError, match=r"cassandra\.password_file: there is no file /no/such"):
        endpoints.cassandra(settings)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o601, 0o660])
def test_a_file_that_others_may_read_is_refused(home, password, mode):
    password.chmod(mode)
    settings = config.load(None, home, {"cassandra.password_file": str(password)})
    with pytest.raises(
        UsageError, match=rf"others may read {password} \(mode {mode:04o}\)"
    ) as told:
        settings.secret("cassandra.password")
    assert told.value.hint == f"chmod 600 {password}"
    assert "of the file" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"\n", "is empty"), (b"\xff", "cannot be read: it is not UTF-8")]
)
def test_a_file_without_a_password_is_refused(home, password, content, complaint):
    password.write_bytes(content)
    settings = config.load(None, home, {"cassandra.password_file": str(password)})
    with pytest.raises(UsageError, match=complaint):
        settings.secret("cassandra.password")


def test_what_is_nearer_goes_before_whichever_of_the_two_it_is(
    home, tmp_path, password, monkeypatch
):
    written = toml(tmp_path, f"password_file = '{password}'")
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__PASSWORD", "of the environment")
    settings = config.load(written, home)
    assert settings.secret("cassandra.password") == "of the environment"
    assert settings.cassandra.password_file == ""
    monkeypatch.delenv("CLICKSTREAM_CASSANDRA__PASSWORD")
    toml(tmp_path, "password = 'written'", 0o600)
    assert config.load(written, home).secret("cassandra.password") == "written"
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__PASSWORD_FILE", str(password))
    assert config.load(written, home).secret("cassandra.password") == "of the file "


def test_what_is_left_out_does_not_change_the_order_of_the_servers(home, tmp_path, monkeypatch):
    """Which is the order of the topic's partitions."""
    servers = "".join(f"[servers.{name}]\nagent = '{name}-agent'\n" for name in "cab")
    written = toml(tmp_path, f"password_file = '/p'\n{servers}")
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__PASSWORD", "nearer")
    assert [*config.load(written, home).servers] == ["c", "a", "b"]


def test_a_password_and_its_file_at_once_are_refused(home, tmp_path, password):
    written = toml(tmp_path, f"password = 'a'\npassword_file = '{password}'", 0o600)
    with pytest.raises(UsageError, match=r"password and cassandra\.password_file are both given"):
        config.load(written, home)
    toml(tmp_path, f"password = ''\npassword_file = '{password}'")
    assert config.load(written, home).secret("cassandra.password") == "of the file "


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [
        ("cassandra.password", "marker", "cassandra.password_file"),
        ("cassandra", '{"password": "marker"}', "CLICKSTREAM_CASSANDRA__PASSWORD"),
        ("database.url", "mysql://u:marker@h/d", "database.password_file"),
        ("database.reader_url", "mysql://u:marker@h/d", "database.reader_password_file"),
        ("alerts.webhook", "https://h/marker", "CLICKSTREAM_ALERTS__WEBHOOK"),
        ("dashboard.metrics_token", "marker", "CLICKSTREAM_DASHBOARD__METRICS_TOKEN"),
    ],
)
def test_a_secret_on_the_command_line_is_refused(home, key, value, instead):
    with pytest.raises(UsageError, match=f"{key}.* is a secret") as told:
        config.load(None, home, {key: value})
    assert instead in told.value.hint
    assert "marker" not in f"{told.value} {told.value.hint}"


@pytest.mark.parametrize("url", ["sqlite:///x", "mysql+pymysql://u@h/d?ssl_ca=/ca.pem"])
def test_a_url_without_a_password_is_no_secret(home, url):
    assert config.load(None, home, {"database.url": url}).child_env()


@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o640, True), (0o600, False)])
def test_a_password_in_a_configuration_file_that_others_may_read(home, tmp_path, mode, refused):
    written = toml(tmp_path, "password = 'marker'", mode)
    if not refused:
        assert config.load(written, home).secret("cassandra.password") == "marker"
        return
    with pytest.raises(UsageError, match=f"{written} holds cassandra.password") as told:
        config.load(written, home)
    assert told.value.hint == f"chmod 600 {written}"
    assert "marker" not in str(told.value)


@pytest.mark.parametrize("text", ["[ab", '["a"]', '{"a": 1}', "{", "[]", "12"])
def test_a_password_is_never_read_as_json(home, monkeypatch, text):
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__PASSWORD", text)
    assert config.load(None, home).secret("cassandra.password") == text


def test_an_error_about_a_secret_does_not_tell_it(home, tmp_path):
    written = toml(tmp_path, "password = ['marker']", 0o600)
    with pytest.raises(UsageError, match=r"cassandra\.password") as told:
        config.load(written, home)
    assert "marker" not in str(told.value)


def test_the_password_of_a_database_may_stand_in_a_file(home, tmp_path, password):
    reader = private(tmp_path / "reader", "p@:/")
    flags = {"database.url": URL, "database.password_file": str(password)}
    flags |= {"database.reader_url": URL, "database.reader_password_file": str(reader)}
    settings = config.load(None, home, flags)
    assert endpoints.database_url(settings).password == "of the file "
    assert endpoints.database_url(settings, reader=True).password == "p@:/"
    alone = config.load(None, home, {key: flags[key] for key in list(flags)[:2]})
    assert endpoints.database_url(alone, reader=True).password == "of the file "


def test_the_password_in_a_url_goes_before_its_file(home, password, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_DATABASE__URL", "mysql+pymysql://u:own@h/d")
    settings = config.load(None, home, {"database.password_file": str(password)})
    assert endpoints.database_url(settings).password == "own"
