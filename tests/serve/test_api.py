"""The reports from Python: typed rows, equal to those of the command line."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import clickstream
from clickstream.errors import NoData, UsageError
from clickstream.serve import open_views
from clickstream.serve.api import Hour, Popular, Traffic, Views
from clickstream.serve.layers import Connections
from tests.serve.test_merge import MORNING, TODAY, Speed, away, counted, views  # noqa: F401

PAGE = Path(clickstream.__file__).parent.parent / "docs" / "reports.md"


@pytest.fixture
def typed(views, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
    batch = counted(views, MORNING, published=[*MORNING, *TODAY])
    connections = Connections(lambda: batch, lambda: Speed(TODAY))
    monkeypatch.setattr("clickstream.serve.layers.connected", _only(connections))
    file = tmp_path / "clickstream.toml"
    file.write_text('[servers.a]\nagent = "x"\n[servers.b]\nagent = "y"\n')
    with open_views(config_file=file) as opened:
        yield opened


def _only(connections):
    from contextlib import nullcontext

    return lambda _: nullcontext(connections)


def test_rows_are_objects_with_dates(typed):
    day = date(2015, 5, 17)
    (row,) = [row for row in typed.responses(date=day) if row.server == "a"]
    assert (row.date, row.requests, row.success, row.state) == (day, 3, 3, "final")
    assert typed.hourly(server="all") == [Hour(9, "all", 6, "merged")]
    (total, _) = typed.total_visitors(last="2015-05-17")
    assert (total.first, total.last, total.days, total.requests) == (day, day, 1, 3)
    assert typed.distribution()[0].change is None


@pytest.mark.parametrize(
    ("by", "start"),
    [("minute", datetime(2015, 5, 18, 9, 2)), ("hour", datetime(2015, 5, 18, 9)),
     ("day", datetime(2015, 5, 18))],
)  # fmt: skip
def test_traffic_begins_at_a_printed_time(typed, by, start):
    row = typed.traffic(by=by, date="2015-05-18", server="a")[-1]
    assert row == Traffic(start, "a", row.success, 0, 0, row.requests, "speed")


def test_an_answer_says_what_answered(typed):
    assert typed.responses().layer.startswith("batch layer, as of 2015-05-18T00:00:00Z")
    assert typed.responses().notes == ()


def test_instants_are_aware(typed):
    from clickstream.serve.api import _typed

    row = {"rank": 1, "category": "/", "requests": 2, "server": "all"}
    row |= {"window_start": "2015-05-18T12:00:00Z", "window_end": "2015-05-18T12:05:00Z"}
    assert _typed(row, Popular, {}).window_end == datetime(2015, 5, 18, 12, 5, tzinfo=UTC)


def test_errors_are_those_of_the_command_line(typed):
    with pytest.raises(NoData, match="2015-05-20"):
        typed.traffic(date=date(2015, 5, 20))
    with pytest.raises(UsageError, match="there is no server"):
        typed.hourly(server="nobody")


def test_every_report_has_its_method():
    from clickstream.serve.question import COLUMNS

    assert COLUMNS.keys() - {"alerts"} <= set(vars(Views))


@pytest.mark.skipif(not PAGE.is_file(), reason="not a checkout")
def test_the_example_of_the_documents_runs(typed, capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    exec(example, {})
    shown = capsys.readouterr().out
    assert "2015-05-17 a 3 of 3 final" in shown
    assert "batch layer, as of" in shown
