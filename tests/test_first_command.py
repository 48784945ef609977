"""Whatever command comes first in an empty home, `stack up` takes that home for ours afterwards."""

import os
import shlex

import pytest

from clickstream import config
from clickstream.cli import main
from clickstream.home import Home
from tests.test_structure import every_command

LINE = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n'
LEFT_OUT = {
    "stack up": "it is what comes afterwards",
    "demo": "it runs for a minute, in a home of its own",
    "stack fetch": "the network, and the cache alone",
    "stack lock": "the network, and a checkout alone",
}
# In place of the example of its help: with a log that exists, no question, and an end.
OWN = {
    "batch drop": "batch drop --yes",
    "dashboard": "dashboard --save page.html",
    "ingest follow": "ingest follow --server weblog1 access.log --until-idle 0",
    "ingest render": "ingest render",
    "ingest start": "ingest start",
    "weblog check": "weblog check access.log",
    "weblog put": "weblog put access.log --server weblog1",
}


def first_commands() -> list[str]:
    """A command line for each command: the example of its help."""
    names = {
        " ".join(path): node for path, node in every_command() if not hasattr(node, "commands")
    }
    examples = {
        name: node.help.partition("Example: clickstream ")[2].splitlines()[0]
        for name, node in names.items()
        if name not in LEFT_OUT
    }
    return list((examples | OWN).values())


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, beside a log of one line."""
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        if name != "CLICKSTREAM_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "access.log").write_bytes(LINE)
    return Home(tmp_path / "home")


def run(home, words, capfd):
    """Run a command line, most of which fail with one clear error, for no service runs."""
    code = main(["--home", str(home.root), *shlex.split(words)])
    err = capfd.readouterr().err
    assert code in (0, 1), words
    assert "Traceback" not in err
    assert err.count("Error: ") == code, words


@pytest.mark.parametrize("words", first_commands())
def test_a_home_in_which_a_command_ran_first_is_claimed(home, words, capfd):
    run(home, words, capfd)
    home.claim()
    assert home.is_ours


def test_a_home_in_which_every_command_ran_first_is_claimed(home, capfd):
    commands = first_commands()
    assert len(commands) > 35
    for words in commands:
        run(home, words, capfd)
    assert home.ledger.exists()
    assert home.spooler_lock("weblog1").exists()
    assert home.agents_lock.exists()
    home.claim()
    assert home.is_ours
