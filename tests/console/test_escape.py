"""Hostile text is shown, never obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.console.escape import printable, show_bytes


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/images", "/images"),
        ("/café".encode(), "/café"),
        (b"/caf\xe9", "/caf\\xe9"),
        (b"/caf\xe8", "/caf\\xe8"),
        (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"a\nb\r\tc\x00", "a\\nb\\r\\tc\\x00"),
        (b"\x85", "\\x85"),
        (b"\xc2\x85", "\\u0085"),
        ("a\u202egpj.exe".encode(), "a\\u202egpj.exe"),
        ("\u2066\u200f\u2028\ufeff".encode(), "\\u2066\\u200f\\u2028\\ufeff"),
        ("\U000e0001".encode(), "\\U000e0001"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b'\\x22 "q"', '\\x22 "q"'),
    ],
)
def test_bytes_of_a_log_are_shown(raw: bytes, shown: str) -> None:
    assert show_bytes(raw.decode("iso-8859-1")) == shown


def test_text_that_is_not_bytes_stays() -> None:
    assert show_bytes("→ weblog1") == "→ weblog1"


def test_our_own_messages_keep_their_lines() -> None:
    assert printable("one\n  two\x1b[0m") == "one\n  two\\x1b[0m"


@given(st.binary())
def test_whatever_the_bytes_the_terminal_sees_one_harmless_line(raw: bytes) -> None:
    assert show_bytes(raw.decode("iso-8859-1")).isprintable()


@given(st.text())
def test_showing_twice_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)
