"""A grid of figures: what stands in its cells, and how it fits a terminal."""

import re

import pytest

from clickstream.serve import heat_map

ANSI = re.compile(r"\x1b\[[0-9;]*m")
HOURS = [f"{hour:02}" for hour in range(24)]
CELLS = {("all", "00"): 10, ("all", "01"): 1_234, ("weblog1", "01"): 617}


@pytest.mark.parametrize("coloured", [True, False])
def test_the_figures_stand_under_their_heads(coloured: bool) -> None:
    text = ANSI.sub("", heat_map.grid(CELLS, ("all", "weblog1"), ("00", "01"), 80, coloured))
    head, first, second = text.splitlines()
    assert head.split() == ["00", "01"]
    assert re.findall("[0-9,]+", first) == ["10", "1,234"]
    assert re.findall("(?<![a-z])[0-9,]+", second) == ["617"]
    assert first.index("1,234") > head.index("00")


def test_colours_only_where_they_are_asked_for() -> None:
    plain = heat_map.grid(CELLS, ("all",), ("00", "01"), None, coloured=False)
    assert "\x1b" not in plain
    assert "1,234█" in plain
    coloured = heat_map.grid(CELLS, ("all",), ("00", "01"), 80, coloured=True)
    assert "\x1b[" in coloured
    assert "█" not in coloured


@pytest.mark.parametrize("width", [40, 80, 120, 250])
@pytest.mark.parametrize("coloured", [True, False])
def test_a_day_of_hours_fits_the_terminal(width: int, coloured: bool) -> None:
    cells = {("weblog1", hour): 10 ** (int(hour) % 7) for hour in HOURS}
    text = heat_map.folded(cells, ("weblog1",), HOURS, width, coloured)
    lines = ANSI.sub("", text).splitlines()
    assert max(map(len, lines)) <= width
    if width >= 80:
        heads = [word for line in lines for word in line.split() if re.fullmatch("[0-9]{2}", word)]
        assert [each for each in heads if each in HOURS][:1] == ["00"]
        assert "23" in heads


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1_000, "1.0k"), (9_999, "9.9k"), (12_345, "12k")),
        *((999_999, "999k"), (1_999_999, "1.9M"), (7 * 10**9, "7.0G")),
    ],
)
def test_short_figures_never_say_more_than_there_is(number: int, text: str) -> None:
    assert heat_map.short(number) == text


def test_a_bar_is_the_share_of_the_highest() -> None:
    assert [heat_map.bar(n, 8) for n in (0, 1, 4, 8)] == [" ", "▏", "▌", "█"]
    assert heat_map.bar(1, 10**9) == "▏"
