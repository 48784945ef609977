"""A local stack with Kerberos: the lambda on it, an agent and the stream killed on the way."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from clickstream import config, demo, master, scenario
from clickstream.clients import endpoints
from clickstream.clients.hdfs import Hdfs
from clickstream.config import Settings
from clickstream.config.secured import USER
from clickstream.ingest.flume.agent import Agent
from clickstream.runtime.java import spark_home
from clickstream.runtime.process import wait_until
from clickstream.speed import control
from clickstream.stack import kdc, local
from tests.stack import standalone, yarn
from tests.stack.homes import (
    QUICK_DRIVER,
    forget_environment,
    killed,
    left_running,
    runner,
    stop_children,
)
from tests.stack.stores import Arrived, open_files_hold_lines

pytestmark = [
    pytest.mark.campaign("a stack of its own, with Kerberos"),
    pytest.mark.submission,
]
SEED = 11
LINES = 6000
SERVERS = ("weblog1", "weblog2")
TICKET_SECONDS = 120
EVERY_S, AT_ONCE = 5, 20
LINE = b'host%d - - [18/May/2015:09:05:%02d +0000] "GET /a HTTP/1.1" 200 12 "-" "agent"\n'


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    forget_environment()
    kdc.TICKET_SECONDS = TICKET_SECONDS
    home = tmp_path_factory.mktemp("kerberos") / "home"
    flags = {"stack.kerberos": "true", "flume.idle_timeout_seconds": "5"}
    settings = local.secured(config.load(home=home, flags=flags))
    try:
        local.up(settings)
        checkpoint = f"{endpoints.hdfs_url(settings)}/user/clickstream/checkpoint"
        yield config.load(home=home, flags=flags | {"speed.checkpoint": checkpoint})
        stop_children(settings)
    finally:
        local.down(settings)
    assert left_running(home) == []


@pytest.fixture(scope="module")
def counted(secured: Settings, jobs, tmp_path_factory):
    """The truth of logs that went through both layers, agent3 and the stream killed on the way."""
    made = scenario.generate(
        tmp_path_factory.mktemp("logs"), SEED, lines=LINES, servers=list(SERVERS)
    )
    run = runner(secured)
    for server, log in made.paths.items():
        run("weblog", "put", log, "--server", server)
    run("ingest", "start")
    hdfs = Hdfs.connect(secured)
    with jobs():
        driver = control.launch(secured)
        control.wait_first(secured, driver)
        run("ingest", "replay")
        wait_until(lambda: open_files_hold_lines(hdfs, secured), 60, "a file being written")
        killed(Agent(secured, "agent3").running().pid)
        killed(driver.running().pid)
        assert "recovered" in run("ingest", "start").stdout
        run("ingest", "replay", "--wait")
        run("speed", "run", "--available-now")
        run("batch", "run")
    return made.truth


def assert_exact(secured: Settings, reports) -> None:
    compared = list(demo.compare(secured, reports))
    assert [each.report for each in compared if each.difference] == []
    assert len(compared) == len(reports)


def test_the_lambda_is_exact(secured: Settings, counted) -> None:
    assert_exact(secured, counted["reports"])
    run = runner(secured)
    run("audit")
    run("prove")
    run("doctor")
    assert master.in_use(Hdfs.connect(secured), secured) == []


def test_no_key_is_where_another_user_could_read_it(secured: Settings, counted) -> None:
    keytabs = sorted(secured.files.security("x").parent.glob("*.keytab"))
    keys = [path.read_bytes()[-32:] for path in keytabs]
    assert len({*keys}) == 2  # the KDC's last key is the client's
    lines = ["\0".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if any(key.hex() in line for key in keys)]
    held = [
        path
        for path in secured.home.rglob("*")
        if path.is_file() and any(key in path.read_bytes() for key in keys)
    ]
    assert {path.suffix for path in held} == {".keytab"}
    assert [path for path in held if path.stat().st_mode & 0o077] == []


def test_on_a_standalone_master_executors_get_tokens(secured, counted, tmp_path) -> None:
    with standalone.cluster(tmp_path) as cluster:
        runner(submitting(secured, cluster.url))("batch", "run", "--all")
        assert len(cluster.finished()) == 1
    assert_exact(secured, counted["reports"])


def test_on_yarn_both_jobs_log_in(secured, counted, tmp_path) -> None:
    with yarn.cluster(secured, tmp_path) as cluster:
        run = runner(submitting(secured, "yarn", **{"hdfs.conf_dir": str(cluster.conf)}))
        run("batch", "run", "--all")
        run("speed", "run", "--available-now")
        assert cluster.finished() == 2 * [(USER, "SUCCEEDED")]
    assert_exact(secured, counted["reports"])


def submitting(secured: Settings, to: str, **more: str) -> Settings:
    """The settings of a home whose jobs run on a cluster."""
    conf = QUICK_DRIVER | {
        "spark.executor.memory": "513m",
        "spark.yarn.jars": f"local:{spark_home()}/jars/*",
    }
    flags = {"spark.master": to, "spark.conf": json.dumps(conf)}
    return config.load(home=secured.home, flags=secured.origin.flags | flags | more)


def test_a_follow_an_agent_and_the_stream_outlive_their_tickets(
    secured: Settings, counted, tmp_path
) -> None:
    """More than three lives of a ticket, with lines all the time and each of them accounted for."""
    run, arrived = runner(secured), Arrived(secured)
    log = tmp_path / "access.log"
    log.touch()
    run("ingest", "start")
    driver = control.launch(secured)
    control.wait_first(secured, driver)
    argv = [sys.executable, "-m", "clickstream.cli", "ingest", "follow", "--server", "weblog1", log]
    with log.open("ab", 0) as end, subprocess.Popen(argv, env=secured.child_env()) as follow:
        deadline, written = time.monotonic() + 3.1 * TICKET_SECONDS, 0
        while time.monotonic() < deadline:
            end.write(b"".join(LINE % (written + n, n) for n in range(AT_ONCE)))
            written += AT_ONCE
            time.sleep(EVERY_S)
            assert follow.poll() is None
            control.check_alive(secured, driver)
        wait_until(lambda: arrived.counts("weblog1").total() == written, 60, "the last lines")
        follow.terminate()
        assert follow.wait(60) == 0
    run("ingest", "replay", "--wait")
    assert len(set(arrived.master())) == written
    assert "down" not in run("ingest", "status").stdout
    assert run("speed", "status").stdout
    run("speed", "stop")
    run("batch", "run")
    run("audit")


def test_a_reset_removes_the_checkpoint_in_hdfs(secured: Settings, counted) -> None:
    hdfs = Hdfs.connect(secured)
    assert hdfs.list("/user/clickstream/checkpoint")
    runner(secured)("speed", "reset", "--yes")
    assert hdfs.stat("/user/clickstream/checkpoint") is None
