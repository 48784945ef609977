"""One real stack for the whole run: free ports, a home of its own, torn down whatever happens."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from clickstream import config
from clickstream.config import Settings
from tests.stack import in_process
from tests.stack.homes import (
    Command,
    forget_environment,
    fresh_home,
    left_running,
    runner,
    stop_children,
)
from tests.stack.stores import Arrived

# Half the agents of a home: enough wherever one server's lines tell all there is to tell.
SINGLE = {"servers.weblog1.agent": "agent1"}


def pytest_configure() -> None:
    """A test run that is told to end tears its stack down, as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def jobs() -> Iterator[in_process.Submitted]:
    """Spark jobs run in this process; the value makes a block in which they are submitted."""
    with in_process.jobs_run_here() as submitted:
        yield submitted


@pytest.fixture(autouse=True)
def _submission(request: pytest.FixtureRequest, jobs: in_process.Submitted) -> Iterator[None]:
    """A test that is marked `submission` pays for real drivers."""
    with jobs() if request.node.get_closest_marker("submission") else nullcontext():
        yield


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a home whose stack runs."""
    from clickstream.stack import local

    forget_environment()
    settings = config.load(home=tmp_path_factory.mktemp("stack") / "home")
    try:
        local.up(settings)
        yield settings
    finally:
        stop_children(settings)
        local.down(settings)
    assert left_running(tmp_path_factory.getbasetemp()) == []


@pytest.fixture
def fresh(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home of its own on the shared stack: own topic, keyspace, HDFS paths, empty database."""
    yield from fresh_home(settings, tmp_path / "home")


@pytest.fixture
def run(fresh: Settings) -> Command:
    """Run a command line in the fresh home, as a user would."""
    return runner(fresh)


@pytest.fixture
def single(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home of its own with one server: agent1 and the collector."""
    yield from fresh_home(settings, tmp_path / "home", **SINGLE)


@pytest.fixture(scope="session")
def _agents(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with contextmanager(fresh_home)(settings, tmp_path_factory.mktemp("shared") / "home") as home:
        yield home


@pytest.fixture
def shared(_agents: Settings) -> Settings:
    """A home whose three agents run, for tests that send lines: an agent takes seconds to start.

    What an earlier test has left down is started. A log is known by its content, so each test has
    its own, and asks for what has `arrived`.
    """
    runner(_agents)("ingest", "start")
    return _agents


@pytest.fixture
def shared_run(shared: Settings) -> Command:
    """Run a command line in the shared home."""
    return runner(shared)


@pytest.fixture
def arrived(shared: Settings) -> Arrived:
    """What the shared home gets in a test."""
    return Arrived(shared)
