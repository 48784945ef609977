"""DaySelection and moments as written in options."""

import pytest

from clickstream.days import DaySelection
from clickstream.errors import UsageError
from clickstream.serve.when import second


@pytest.mark.parametrize("day", ["2015-02-30", "2015-5-1", "20150518", "2015-W20-1", "today", ""])
def test_days_that_do_not_exist(day: str) -> None:
    for option in ({"only": day}, {"first": day}, {"last": day}):
        with pytest.raises(UsageError, match="is not a valid date"):
            DaySelection.for_report(**option)


@pytest.mark.parametrize(
    "options",
    [
        {"only": "2015-05-18", "first": "2015-05-17"},
        {"only": "2015-05-18", "span": "7d"},
        {"last": "2015-05-18", "span": "7d"},
        {"first": "2015-05-19", "last": "2015-05-18"},
        {"span": "7"},
        {"span": "0d"},
    ],
)
def test_days_that_contradict(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        DaySelection.for_report(**options)


def test_moments() -> None:
    assert second("--at", "2015-05-18T14:00:00+02:00") == 1_431_950_400
    assert second("--at", "2015-05-18T12:00:00") == 1_431_950_400


@pytest.mark.parametrize("text", ["noon", "2015-05-18T25:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        second("--at", text)
