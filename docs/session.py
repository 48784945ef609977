"""Draws session.svg, the picture at the top of the README: commands, and what a home answers.

python docs/session.py HOME

HOME has a running stack and data, as `clickstream demo --keep` leaves it. Without an answer to each
command nothing is written.
"""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).with_suffix(".svg")
PROGRAM = (sys.executable, "-m", "clickstream")
WIDTH = 80
COMMANDS = (
    "report ddos",
    "report health --peak",
    "report distribution",
    "report categories --date 2015-05-18 --server all --top 5",
)
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def answer(home: str, words: str) -> str:
    """What a command prints on a terminal; CalledProcessError where it fails."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    argv = [*PROGRAM, "--home", home, *words.split()]
    with subprocess.Popen(argv, stdout=theirs, env=environment) as child:
        os.close(theirs)
        text = _all(ours)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv)
    return text.replace("\r\n", "\n")


def picture(shown: dict[str, str]) -> str:
    """An SVG of a terminal: each command, and what it printed."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for words, text in shown.items():
        console.print(Text(f"$ clickstream {words}", style="bold green"))
        console.print(Text.from_ansi(text), soft_wrap=True)
        console.print()
    drawn = console.export_svg(title="clickstream", unique_id="session")
    return FONTS.sub("", drawn)  # rich's own fetch a font from a host; a monospaced one is enough


def _all(descriptor: int) -> str:
    """Everything that comes; on Linux a terminal that was closed is an error."""
    parts = []
    try:
        while part := os.read(descriptor, 65_536):
            parts.append(part)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(parts).decode()


def main() -> None:
    """Ask everything, then write."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shown = {words: answer(sys.argv[1], words) for words in COMMANDS}
    PICTURE.write_text(picture(shown))


if __name__ == "__main__":
    main()
