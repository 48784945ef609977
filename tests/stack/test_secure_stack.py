"""A local stack with TLS and logins: the lambda on it, with an agent and the stream killed."""

import psutil
import pytest

from clickstream import config, demo, scenario
from clickstream.config import Settings
from clickstream.ingest.flume.agent import Agent
from clickstream.speed import control
from clickstream.stack import local
from tests.stack.homes import forget_environment, killed, left_running, runner, stop_children

pytestmark = pytest.mark.campaign("a stack of its own, secured")
SEED = 11
LINES = 6000
SERVERS = ("weblog1", "weblog2")


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    forget_environment()
    home = tmp_path_factory.mktemp("secure") / "home"
    plain = config.load(home=home, flags={"flume.idle_timeout_seconds": "1"})
    settings = local.secured(plain)
    try:
        local.up(settings)
        yield settings
        stop_children(settings)
    finally:
        local.down(settings)
    assert left_running(home) == []


def test_the_lambda_with_agent3_and_the_stream_killed(secured: Settings, tmp_path) -> None:
    made = scenario.generate(tmp_path, SEED, lines=LINES, servers=list(SERVERS))
    run = runner(secured)
    for server, log in made.paths.items():
        run("weblog", "put", log, "--server", server)
    run("ingest", "start")
    driver = control.launch(secured)
    control.wait_first(secured, driver)
    run("ingest", "replay")
    killed(Agent(secured, "agent3").running().pid)
    killed(driver.running().pid)
    run("ingest", "start")
    run("ingest", "replay", "--wait")
    run("speed", "run", "--available-now")
    run("batch", "run")
    compared = list(demo.compare(secured, made.truth["reports"]))
    assert [each.report for each in compared if each.difference] == []
    assert len(compared) == len(made.truth["reports"])
    run("audit")
    run("prove")
    run("doctor")


def test_no_password_is_where_another_user_could_read_it(secured: Settings) -> None:
    passwords = [file.read_bytes().strip() for file in secured.home.rglob("*password*")]
    assert len(set(passwords)) == 5
    lines = ["\0".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if any(word.decode() in line for word in passwords)]
    held = {
        str(path.relative_to(secured.home))
        for path in secured.home.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in passwords)
    }
    assert [name for name in held if "password" not in name] == []
    for name in held:
        assert (secured.home / name).stat().st_mode & 0o077 == 0
