"""Rows as Markdown: hostile text stays text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from clickstream.console import markdown

HOSTILE = [
    "a|b",
    "`x`",
    "``",
    " ` ",
    "<script>alert(1)</script>",
    "[here](javascript:alert(1))",
    "![x](http://h/p.png)",
    "@everyone",
    "http://example.org/",
    "**bold** _it_ ~~no~~",
    "\\",
    "a\nb\r\x1b[31m",
    "\u202eevil",
]


def spans(cell: str) -> tuple[str, str]:
    """Of a cell that is one code span: its fence and what stands between, by CommonMark's rule."""
    fence = re.match("`+", cell)
    assert fence is not None
    inner = cell[len(fence[0]) : -len(fence[0])]
    assert cell.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inner)
    if inner[:1] == inner[-1:] == " " and inner.strip():
        inner = inner[1:-1]
    return fence[0], inner.replace("\\|", "|")


def test_a_table() -> None:
    rows = [{"server": "weblog1", "requests": 12345, "change": None}]
    assert markdown.table(rows, ("server", "requests", "change")) == (
        "| server | requests | change |\n| --- | ---: | --- |\n| weblog1 | 12,345 | – |\n"
    )


def test_hostile_text_is_one_piece_of_code_in_its_cell() -> None:
    for text in HOSTILE:
        line = markdown.table([{"c": text}], ("c",)).splitlines()
        assert len(line) == 3, text
        cell = line[2].removeprefix("| ").removesuffix(" |")
        assert not re.search(r"(?<!\\)\|", cell), text
        _, inner = spans(cell)
        assert inner.isprintable()
        if text.isprintable():
            assert inner == text


@given(st.text(max_size=40))
def test_any_text_is_one_cell_of_one_line(text: str) -> None:
    line = markdown.table([{"c": text, "d": 1}], ("c", "d")).split("\n")
    assert len(line) == 4
    assert len(re.findall(r"(?<!\\)\|", line[2])) == 3
    assert line[2].isprintable()
