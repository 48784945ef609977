"""The command as a user meets it: exit codes, one clear line, no traceback unless asked for."""

import os
import signal
import subprocess
import sys
import time

import pytest

from clickstream import __version__
from clickstream.cli import main

LINE = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n'


@pytest.fixture
def ask(tmp_path, capfd, monkeypatch):
    """Run a command line in an empty home; returns (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("CLICKSTREAM_")]:
        if name != "CLICKSTREAM_CACHE":
            monkeypatch.delenv(name)

    def ask(*words):
        code = main(["--home", str(tmp_path / "home"), *map(str, words)])
        return code, *capfd.readouterr()

    return ask


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nonsense"], 2, "No such command"),
        (["stack", "nonsense"], 2, "No such command"),
        (["report", "visitors", "--date", "2015-02-30"], 2, "2015-02-30"),
        (["batch", "run", "--date", "2015-02-30"], 2, "2015-02-30"),
        (["report", "visitors", "--server", "nosuch"], 2, "weblog1, weblog2"),
        (["report", "hourly", "--format", "xml"], 2, "xml"),
        (["--set", "kafka.topicc=x", "config", "show"], 2, "kafka.topicc"),
        (["--set", "nonsense", "config", "show"], 2, "section.key=value"),
        (["--config", "/no/such/file", "config", "show"], 2, "/no/such/file"),
        (["ingest", "start", "agent9"], 2, "agent1, agent2, agent3"),
        (["ingest", "replay", "--speed", "2", "--rate", "5"], 2, "exclude each other"),
        (["weblog", "generate", "--out", "/proc/nowhere"], 1, "/proc/nowhere"),
        (["weblog", "list"], 1, "HDFS is not running"),
        (["ingest", "start"], 1, "is not running"),
        (["ingest", "replay"], 1, "HDFS is not running"),
        (["batch", "run"], 1, "clickstream stack up"),
        (["speed", "run"], 1, "clickstream stack up"),
        (["report", "popularity"], 1, "clickstream stack up"),
        (["report", "visitors"], 1, "clickstream stack up"),
        (["report", "health", "--alerts", "--peak"], 2, "--alerts"),
        (["report", "health", "--from", "2015-05-18"], 2, "--alerts"),
        (["report", "ddos", "--alerts"], 1, "clickstream stack up"),
        (["alert", "list", "--state", "closed"], 2, "closed"),
        (["alert", "show", "ddos/1/x"], 1, "clickstream stack up"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(ask, words, code, said):
    found, out, err = ask(*words)
    assert (found, out) == (code, "")
    assert said in err
    assert err.count("Error: ") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"hello\n", "1 of the 1 lines"), (None, "No such file")],
)
def test_a_log_that_cannot_be_taken(ask, tmp_path, content, said):
    path = tmp_path / "access.log"
    if content is not None:
        path.write_bytes(content)
    code, _, err = ask("weblog", "put", path, "--server", "weblog1")
    assert code == 1
    assert said in err


def test_hostile_names_are_shown_escaped(ask, tmp_path):
    path = tmp_path / "\x1b]0;owned\x07.log"
    path.write_bytes(b"")
    _, _, err = ask("weblog", "check", path)
    assert "is empty" in err
    assert "\x1b" not in err
    _, _, err = ask("weblog", "put", path, "--server", "weblog1")
    assert "cannot be the name" in err
    assert "\x1b" not in err


def test_nothing_runs_and_nothing_is_wrong(ask):
    assert ask("stack", "down")[0] == 0
    code, out, _ = ask("stack", "status", "--format", "json")
    assert code == 0
    assert '"running"' not in out
    assert ask("ingest", "stop")[:2] == (0, "nothing was running\n")
    assert ask("ingest", "status")[0] == 0


@pytest.mark.parametrize(
    ("words", "named"), [([], "[OPTIONS] COMMAND"), (["report"], "report [OPTIONS] COMMAND")]
)
def test_no_command_prints_the_help_once(capfd, words, named):
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"Usage: clickstream {named}")
    assert err.count("Usage:") == err.count("Commands:") == 1
    assert "Error" not in err


def test_yesterday_is_named_before_anything_is_done(ask):
    for words in (["batch", "run"], ["audit"]):
        assert "yesterday is 2" in ask(*words, "--date", "yesterday")[2]


def test_completion(capfd, monkeypatch):
    monkeypatch.setenv("_CLICKSTREAM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "clickstream report h")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert capfd.readouterr().out.split() == ["health", "hourly"]


def test_a_hint_names_the_program_as_it_was_started(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "clickstream"), "weblog", "list"])
    monkeypatch.setenv("PATH", "")
    assert f"  start it: {tmp_path}/bin/clickstream stack up\n" in ask("weblog", "list")[2]


def test_debug_shows_where(ask, tmp_path):
    code = "from clickstream.cli import main; main(['--debug', '--home', {!r}, 'weblog', 'list'])"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in done.stderr
    assert "NotRunning" in done.stderr


def test_version(ask):
    assert ask("--version")[:2] == (0, f"clickstream {__version__}\n")


def test_a_setting_without_a_section_can_be_set(ask):
    code, out, _ = ask("--set", "collector=gatherer", "config", "show", "--format", "csv")
    assert code == 0
    assert "collector,gatherer,flag" in out


def test_generate_prints_what_it_made(ask, tmp_path):
    code, out, _ = ask("weblog", "generate", "--out", tmp_path / "logs", "--scenario", "small")
    assert code == 0
    assert [os.path.basename(path) for path in out.split()] == [
        "weblog1.txt",
        "weblog2.txt",
        "truth.json",
    ]
    assert all(os.path.isfile(path) for path in out.split())


def test_ctrl_c_exits_with_130(tmp_path):
    code = (
        "import time; from clickstream import cli\n"
        "@cli.app.command()\n"
        "def sleep() -> None:\n"
        "    print('ready', flush=True); time.sleep(60)\n"
        "raise SystemExit(cli.main(['sleep']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130
