"""Progress, in place on a terminal and as lines elsewhere."""

import io
import re

import pytest
from rich.console import Console

from clickstream.console import live
from clickstream.runtime.process import wait_until

LONG_S = 3600.0
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def out():
    return io.StringIO()


def test_a_file_gets_the_first_state_and_the_last_one(out):
    with live.display(out, transient=False) as display:
        for state in ("a", "a", "b", "c"):
            display.show(state)
    assert out.getvalue() == "a\nc\n"


def test_where_the_command_prints_its_end_the_last_state_is_not_shown(out):
    with live.display(out) as display:
        display.show("a")
        display.show("b")
    assert out.getvalue() == "a\n"


def test_a_state_that_lasts_is_shown_when_a_line_is_due(out):
    plain = live.Plain(out, 0.01)
    plain.show("a")
    plain.show("b")
    wait_until(lambda: out.getvalue() == "a\nb\n", 10, "the second line")
    plain.show("b")
    plain.end(drop=False)
    assert out.getvalue() == "a\nb\n"


def test_events_do_not_wait_and_hold_nothing_up(out):
    plain = live.Plain(out, LONG_S)
    plain.show("a")
    plain.say("log rotated\x1b[2J")
    plain.show("b: ready", now=True)
    plain.show("c")
    plain.end(drop=False)
    assert out.getvalue() == "a\nlog rotated\\x1b[2J\nb: ready\nc\n"


def test_nothing_at_all_is_no_line(out):
    plain = live.Plain(out, LONG_S)
    plain.show("")
    plain.end(drop=False)
    assert out.getvalue() == ""


def test_quiet_is_silent(out):
    with live.display(out, quiet=True) as display:
        display.show("a")
        display.say("b")
    assert out.getvalue() == ""


@pytest.mark.parametrize("transient", [True, False])
def test_ctrl_c_leaves_a_terminal_with_its_cursor(out, transient):
    console = Console(file=out, force_terminal=True, width=80)

    def interrupted():
        with live.on(console, transient) as display:
            display.show("[red]counting\x1b]0;x")
            display.say("an event")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    shown = out.getvalue()
    assert "[red]counting\\x1b]0;x" in shown
    assert "an event" in shown
    assert re.findall(re.escape(HIDE) + "|" + re.escape(SHOW), shown) == [HIDE, SHOW]
    assert shown.rstrip().endswith("\x1b[2K") == transient


def test_a_terminal_shows_the_picture(out):
    with live.on(Console(file=out, force_terminal=True, width=80), transient=False) as display:
        display.show("the line", "the text")
    assert "the text" in out.getvalue()
    assert "the line" not in out.getvalue()
