"""Lengths of time as written in options."""

import pytest

from clickstream.days import seconds
from clickstream.errors import UsageError


def test_each_unit() -> None:
    assert [seconds("--window", text) for text in ("90s", "5m", "1h", "1d")] == [
        90,
        300,
        3600,
        86_400,
    ]


@pytest.mark.parametrize("text", ["5", "m", "0m", "-5m", "5m ", "٥m"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        seconds("--window", text)
