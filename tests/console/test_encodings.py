"""A terminal that is not UTF-8: every row is there, drawn and escaped with what it can show."""

import codecs
import csv
import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout

import pytest

from clickstream.cli import main
from clickstream.console import output
from clickstream.console.escape import drawn, encodable, escape_output

ENCODINGS = ("ascii", "latin-1", "cp1252")
ROWS = [
    {"category": "/💥", "requests": 4},
    {"category": "/café", "requests": 3},
    {"category": "/\U0001f469‍\U0001f469", "requests": 2},
    {"category": "/plain", "requests": 1},
]
COLUMNS = ("category", "requests")


class Terminal:
    """Standard output and error in an encoding, within the block; then what was written."""

    def __init__(self, encoding):
        self.encoding = encoding
        self._streams = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in "oe"]

    def __enter__(self):
        self._redirected = ExitStack()
        self._redirected.enter_context(redirect_stdout(self._streams[0]))
        self._redirected.enter_context(redirect_stderr(self._streams[1]))
        escape_output()
        return self

    def __exit__(self, *_):
        self._redirected.close()

    @property
    def written(self):
        return [each.buffer.getvalue().decode(self.encoding) for each in self._streams]


@pytest.fixture(params=[*ENCODINGS, "utf-8"])
def terminal(request):
    return Terminal(request.param)


@pytest.mark.parametrize("width", [None, 80])
def test_a_table_has_every_row_in_columns(terminal, width):
    with terminal:
        page = output.text(ROWS, COLUMNS, "table", bar="requests", footer="→ all", width=width)
        sys.stdout.write(page)
    lines = terminal.written[0].splitlines()
    assert len(lines) == 2 + len(ROWS) + 1
    assert ["/plain" in line for line in lines].index(True) == 5
    if terminal.encoding != "utf-8" and width is None:
        assert lines[-1] == "-> all"
        ends = {
            line.index(f" {row['requests']} ") for line, row in zip(lines[2:], ROWS, strict=False)
        }
        assert len(ends) == 1, lines
        assert set(lines[1].strip()) == {"-"}


def test_json_stays_json_and_loses_nothing(terminal):
    with terminal:
        output.show(ROWS, COLUMNS, "json")
    cleaned = [row | {"category": row["category"].replace("‍", "\\u200d")} for row in ROWS]
    assert json.loads(terminal.written[0]) == cleaned


def test_csv_has_every_row(terminal):
    with terminal:
        output.show(ROWS, COLUMNS, "csv")
    assert len(list(csv.DictReader(io.StringIO(terminal.written[0])))) == len(ROWS)


def test_messages_and_names_of_files_never_fail(terminal, tmp_path):
    path = tmp_path / "→ é\udce9.log"
    with terminal:
        assert main(["--home", str(tmp_path), "weblog", "check", str(path)]) == 1
    assert terminal.written[1].startswith("Error: ")
    assert "cannot be read" in terminal.written[1]


def test_what_an_encoding_has_stays():
    assert drawn("é → –", "cp1252") == "é -> –"
    assert drawn("é → –", "latin-1") == "é -> -"
    assert encodable("é →", "latin-1") == "é \\u2192"  # of a log: it is no `->`
    assert encodable("é💥", "ascii") == "\\u00e9\\U0001f4a5"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_process_of_its_own(tmp_path, encoding):
    """Python makes its streams itself, and Typer its own out of those that say ASCII."""
    log = tmp_path / "input.log"
    line = '192.0.2.1 - - [25/Mar/2024:10:00:00 +0000] "GET /💥é HTTP/1.1" 200 1'
    log.write_bytes(line.encode() + b"\n")
    done = subprocess.run(
        [sys.executable, "-m", "clickstream.cli", "weblog", "check", log],
        env=os.environ | {"PYTHONIOENCODING": encoding, "CLICKSTREAM_HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    page = codecs.decode(done.stdout, encoding)
    shown = "/\\U0001f4a5" + ("\\u00e9" if encoding == "ascii" else "é")
    assert f"GET {shown} HTTP/1.1" in page
