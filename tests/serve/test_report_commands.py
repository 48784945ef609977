"""`clickstream report ...` and `config show` from option to printed line."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from clickstream import config
from clickstream.console import config_commands as config_app
from clickstream.console import options
from clickstream.errors import ClickstreamError, NoData, NotRunning, UsageError
from clickstream.serve import commands
from clickstream.views.batch import BatchViews


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "given", options.Globals())
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("CLICKSTREAM_DATABASE__URL", f"sqlite:///{tmp_path}/views.db")


@pytest.fixture
def _one_day() -> None:
    day = {"date": "2015-05-18"}
    run = {"finished": "2026-01-01T00:00:00Z", "seconds": 1.0, "files": 1, "bytes": 1, "copies": 0}
    with BatchViews.connect(config.load()) as views:
        visitors = [day | {"server": "all", "unique_visitors": 2, "requests": 3}]
        run |= {"closed_ms": 0}
        runs = [day | run | {"distinct_lines": 3, "manifest": "[]", "made_with": "{}", "run": "r"}]
        views.replace_day(day["date"], {"daily_visitors": visitors, "batch_runs": runs})


def _run(app: Typer, line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def _error(line: str, kind: type[ClickstreamError]) -> str:
    failure = _run(commands.app, line).exception
    assert isinstance(failure, kind)
    return failure.message


@pytest.mark.usefixtures("_one_day")
def test_json() -> None:
    result = _run(commands.app, "visitors --date 2015-05-18 --server all --format json")
    assert json.loads(result.stdout) == [
        {"date": "2015-05-18", "server": "all", "unique_visitors": 2, "requests": 3}
        | {"state": "provisional"}
    ]
    assert result.stderr == ""


@pytest.mark.usefixtures("_one_day")
def test_a_table_names_its_layer() -> None:
    assert "batch layer, as of 2026-01-01T00:00:00Z" in _run(commands.app, "distribution").stdout


@pytest.mark.usefixtures("_one_day")
def test_no_rows_is_no_failure() -> None:
    result = _run(commands.app, "visitors --from 2016-01-01 --format json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "[]\n", "No rows.\n")


@pytest.mark.usefixtures("_one_day")
def test_a_day_without_data() -> None:
    assert "2015-05-19" in _error("hourly --date 2015-05-19", NoData)


@pytest.mark.parametrize(
    "line",
    [
        "visitors --date 2015-02-30",
        "health --server weblog9",
        "popularity --window 5",
        "ddos --last 7",
    ],
)
def test_wrong_options_fail_before_any_database_is_asked(line: str) -> None:
    assert line.split()[2] in _error(line, UsageError)


@pytest.mark.parametrize("line", ["popularity", "ddos", "health"])
def test_without_a_stack_the_speed_layer_is_not_running(line: str) -> None:
    assert "Cassandra" in _error(line, NotRunning)


def test_a_database_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "mysql+pymysql://someone:marker@127.0.0.1:1/views"
    monkeypatch.setenv("CLICKSTREAM_DATABASE__URL", url)
    message = _error("visitors", NotRunning)
    assert "127.0.0.1:1" in message
    assert "marker" not in message


def test_config_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSTREAM_CASSANDRA__PASSWORD", "marker")
    shown = _run(config_app.app, "--format json").stdout
    rows = {row["key"]: row for row in json.loads(shown)}
    assert rows["cassandra.password"]["value"] == "***"
    assert rows["cassandra.password"]["source"] == "environment"
    assert rows["kafka.topic"] == {
        "key": "kafka.topic",
        "value": "clickstream",
        "source": "default",
    }
