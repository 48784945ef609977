"""The whole story in one command: logs with known answers through every stage, and compared."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clickstream import config, scenario
from clickstream.batch import run as batch
from clickstream.clients import kafka
from clickstream.config import Settings
from clickstream.console import output
from clickstream.errors import UsageError
from clickstream.ingest import flow, replay, replay_display, source
from clickstream.ingest.flume import agents
from clickstream.rows import Rows
from clickstream.runtime.process import Child, signals_interrupt, wait_until
from clickstream.serve import reports
from clickstream.speed import control as speed
from clickstream.stack import local
from clickstream.views.realtime import RealTime

SEED = 2015
CATCH_UP_S = 120
SHOWN_ROWS = 12
TO_TRY = (
    "report popularity",
    "report hourly --by-day",
    "report ddos",
    "ingest status",
    "stack status",
)
BEFORE_BATCH = ("popularity", "ddos", "health", "responses", "hourly")
"""The reports that do not need the batch layer."""
TO_TRY_BEFORE_BATCH = (
    "report hourly",
    "prove",
    "batch run --to 2015-05-17",
    "report hourly --by-day",
    "prove",
    "batch run",
)
Progress = Callable[[str], None]


class Comparison(NamedTuple):
    """A report held against the truth; `difference` is empty where every figure is equal.

    `table` is the report as a user sees it, cut after SHOWN_ROWS.
    """

    report: str
    rows: int
    difference: str
    table: str


def home_of(settings: Settings) -> Path:
    """The demo's own home, beside the one in use."""
    return settings.files.demo.root


def demo(
    settings: Settings,
    keep: bool,
    progress: Progress,
    before_batch: bool = False,
    secure: bool = False,
) -> list[Comparison]:
    """Make, ingest, count, report and compare; a comparison for each report of the truth.

    Everything happens in `home_of(settings)`, which is recreated, and stopped in the end unless
    `keep`. `before_batch`: the batch layer does not run, and only reports are asked that do
    without it. `secure`: on a stack with TLS and logins.
    Raises UsageError where the configuration names a store: the demo must not write there.
    """
    own = _emptied(settings, secure)
    kept = False
    try:
        compared = _story(own, progress, before_batch)
        kept = keep
    finally:
        if not kept:
            progress("stopping everything")
            tear_down(own)
    return compared


def live(
    settings: Settings, progress: Progress, started: Callable[[str], None], secure: bool = False
) -> None:
    """The stack with days that end now and traffic that goes on, and the dashboard over it.

    `started` gets the address of the page. Until Ctrl-C or SIGTERM, which stop everything. Raises
    as `demo`.
    """
    from clickstream.dashboard import run as dashboard

    own = _emptied(settings, secure)
    try:
        with signals_interrupt():
            _run(own, progress, _days_until_now)
            with _going_on(own):
                dashboard.serve(own, started)
    finally:
        progress("stopping everything")
        tear_down(own)


def tear_down(settings: Settings) -> None:
    """Stop whatever of the demo's home runs."""
    for server in settings.servers:
        _follower(settings, server).stop()
    speed.stop(settings)
    agents.stop(settings, [])
    local.down(settings)


def compare(settings: Settings, truth: dict[str, Rows]) -> Iterator[Comparison]:
    """Ask every report as a user would, as JSON, and hold it against the generator's rows."""
    for name, expected in truth.items():
        answer = reports.ask(settings, name, reports.Question.parse(settings))
        rows = json.loads(output.text(answer.rows, answer.columns, "json"))
        keys = expected[0] if expected else {}
        known = [{key: row.get(key) for key in keys} for row in rows]
        yield Comparison(name, len(rows), _difference(known, expected), _table(answer))


def _own_settings(settings: Settings) -> Settings:
    named = {
        "kafka.bootstrap": settings.kafka.bootstrap,
        "hdfs.url": settings.hdfs.url,
        "cassandra.hosts": settings.cassandra.hosts,
        "database.url": settings.database.url.get_secret_value(),
        "database.reader_url": settings.database.reader_url.get_secret_value(),
    }
    for key, value in named.items():
        if value:
            raise UsageError(
                f"the demo makes its own stack, but {key} is configured",
                "run it without that setting",
            )
    return config.load(settings.origin.file, home_of(settings), settings.origin.flags)


def _emptied(settings: Settings, secure: bool) -> Settings:
    """The settings of the demo's own home, which is empty then."""
    own = _own_settings(settings)
    tear_down(own)
    own.files.empty()
    own = _own_settings(settings)
    return local.secured(own) if secure else own


def _story(settings: Settings, progress: Progress, before_batch: bool) -> list[Comparison]:
    truth = _run(settings, progress, _logs, before_batch)
    asked = BEFORE_BATCH if before_batch else truth
    return list(compare(settings, {name: truth[name] for name in asked}))


def _run(
    settings: Settings,
    progress: Progress,
    make_logs: Callable[[Settings], dict[str, Rows]],
    before_batch: bool = False,
) -> dict[str, Rows]:
    """Every stage, up to both layers having counted the logs that are made; their truth."""
    with _step(progress, "Kafka, HDFS, Cassandra and MariaDB"):
        local.up(settings)
    with _step(progress, "two web logs with known answers, put into HDFS"):
        truth = make_logs(settings)
    with _step(progress, "agent1, agent2 and agent3 (Flume)"):
        agents.start(settings, [], progress)
    with _step(progress, "the speed layer (Spark Structured Streaming)"):
        driver = speed.launch(settings)
        speed.wait_first(settings, driver)
    with (
        _step(progress, "replay of the logs through the agents"),
        replay_display.shown() as observe,
    ):
        done = replay.replay(settings, replay.Pace(), observe)
        flow.drain(settings, lambda _: None)
    progress(f"    {replay_display.summary(done)}")
    if not before_batch:
        with _step(progress, "the batch layer (Spark SQL)"):
            batch.run(settings)
    with _step(progress, "the speed layer to catch up"):
        _caught_up(settings, driver)
    return truth


def _logs(settings: Settings) -> dict[str, Rows]:
    generated = scenario.generate(settings.files.demo_logs, SEED, servers=list(settings.servers))
    for server, path in generated.paths.items():
        source.put(settings, path, server)
    truth: dict[str, Rows] = generated.truth["reports"]
    return truth


def _days_until_now(settings: Settings) -> dict[str, Rows]:
    now = int(time.time())
    paths = scenario.until(settings.files.demo_logs, SEED, now, list(settings.servers))
    for server, path in paths.items():
        source.put(settings, path, server)
    return {}


@contextmanager
def _going_on(settings: Settings) -> Iterator[None]:
    """Logs that are written each second, and followed, while the block runs."""
    ended = threading.Event()
    for server in settings.servers:
        settings.files.demo_live_log(server).touch()
        _follow(settings, server)
    writer = threading.Thread(target=_write, args=(settings, ended), daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def _write(settings: Settings, ended: threading.Event) -> None:
    start = int(time.time())
    seconds = scenario.going_on(SEED, start, list(settings.servers))
    for second, lines in enumerate(seconds, start):
        if ended.wait(max(0.0, second - time.time())):
            return
        for server, text in lines.items():
            with settings.files.demo_live_log(server).open("ab") as log:
                log.write(text)


def _follow(settings: Settings, server: str) -> None:
    given = [f"--set={key}={value}" for key, value in settings.origin.flags.items()]
    if settings.origin.file:
        given.append(f"--config={settings.origin.file}")
    options = [f"--home={settings.home}", *given, "ingest", "follow", f"--server={server}"]
    log = str(settings.files.demo_live_log(server))
    _follower(settings, server).start([sys.executable, "-m", "clickstream", *options, log])


def _follower(settings: Settings, server: str) -> Child:
    return Child(settings.files, f"follow-{server}")


def _caught_up(settings: Settings, driver: Child) -> None:
    """Wait until the real-time views have counted every record of the topic."""
    records = sum(end - first for first, end in kafka.offsets(settings).values())
    with RealTime.connect(settings, reader=True) as views:
        wait_until(
            lambda: records == sum(s["rows"] for s in views.status()["servers"].values()),
            CATCH_UP_S,
            "the speed layer taking the whole topic",
            check=lambda: speed.check_alive(settings, driver),
        )


@contextmanager
def _step(progress: Progress, what: str) -> Iterator[None]:
    began = time.monotonic()
    progress(f"  … {what}")
    yield
    progress(f"  ✓ {what} ({time.monotonic() - began:.1f} s)")


def _table(answer: reports.Answer) -> str:
    shown, left = answer.rows[:SHOWN_ROWS], len(answer.rows) - SHOWN_ROWS
    table = output.text(shown, answer.columns, "table", bar=answer.bar, footer=answer.layer)
    return table + (f"… and {left} more rows\n" if left > 0 else "")


def _difference(rows: Rows, expected: Rows) -> str:
    if rows == expected:
        return ""
    pairs = zip(rows, expected, strict=False)
    first = next((pair for pair in pairs if pair[0] != pair[1]), None)
    if first is None:
        return f"{len(rows)} rows, expected {len(expected)}"
    return f"found {json.dumps(first[0])}, expected {json.dumps(first[1])}"
