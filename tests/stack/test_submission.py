"""Both jobs on a real standalone Spark cluster: a master and two workers on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clickstream import config
from clickstream.clients import kafka
from clickstream.config import Settings
from clickstream.runtime.process import wait_until
from clickstream.spark import submit
from clickstream.views.batch import BatchViews
from tests.stack import standalone
from tests.stack.standalone import WORKERS, Cluster
from tests.stack.test_batch_layer import LINES, expected, figures, master_files, put
from tests.stack.test_speed_layer import (
    answers,
    attacks,
    filler,
    log_of,
    produce,
    stamped,
)
from tests.stack.test_speed_layer import expected as expected_of_speed


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with standalone.cluster(tmp_path) as made:
        yield made


@pytest.mark.campaign("a standalone cluster")
@pytest.mark.submission
def test_both_jobs_run_on_a_cluster(fresh, run, cluster, tmp_path, monkeypatch):
    for path, content in master_files(LINES).items():
        put(fresh, path, content)
    kafka.ensure_topic(fresh)
    logs = {server: filler(500, 1) + lines for server, lines in attacks().items()}
    for server, lines in logs.items():
        produce(fresh, server, stamped(server, lines))
    on_cluster = ("--set", f"spark.master={cluster.url}")
    small = ("--conf", "spark.executor.memory=513m")
    for options in ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"):
        small += ("--conf", f"{options}={' '.join(submit.SHORT_JOB)}")
    batch = run(*on_cluster, "batch", "run", *small)
    run(*on_cluster, "speed", "run", "--available-now", *small)
    assert "listing the master dataset" in batch.stderr
    wait_until(lambda: len(cluster.finished()) == 2, 60, "the end of both applications")
    assert sorted(cluster.finished()) == [
        ("clickstream batch", 2, 513, "FINISHED"),
        ("clickstream speed", 2, 513, "FINISHED"),
    ]
    for worker in WORKERS:
        for file in ("stderr", "clickstream.zip"):
            assert len(list((tmp_path / worker).glob(f"app-*/*/{file}"))) == 2, f"not on {worker}"
    with BatchViews.connect(fresh) as views:
        assert figures(views) == expected(LINES)
    found = expected_of_speed({server: log_of(lines) for server, lines in logs.items()})
    assert answers(fresh, list(logs)) == found
    monkeypatch.syspath_prepend(tmp_path)
    sent = fresh.files.scratch("asked") / "clickstream.zip"
    assert imported(fresh, cluster, tmp_path) == str(sent)


def imported(settings: Settings, cluster: Cluster, directory: Path) -> str:
    """From where a job's driver takes this package."""
    (directory / "asked.py").write_text(
        "import clickstream\nfrom clickstream.spark import driver\n"
        "driver.job_main(lambda *_: {'from': clickstream.__path__[0].rpartition('/')[0]})"
    )
    flags = settings.origin.flags | {"spark.master": cluster.url}
    there = config.load(settings.origin.file, settings.home, flags)
    return submit.submit(there, submit.Job("asked", "asked", {}))["from"]
