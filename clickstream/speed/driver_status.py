"""Messages between the driver and the commands: small files in the home."""

import json
from dataclasses import asdict, dataclass, field, fields

from clickstream.config import Settings
from clickstream.days import instant
from clickstream.home import write_atomic


@dataclass(frozen=True)
class Status:
    """The driver's report of its last batch, and of itself. `behind` is the lag in Kafka records;
    `batch_ms` is the whole trigger; `started` is ISO UTC. `parts` divides it, in ms: as Spark does,
    and its `addBatch` into `count` and `store`.

    `servers`: per server rows, copies, set_aside, skipped, and latest (epoch s). `rows_per_s` is 0
    while no batch comes; `alerts` are the open ones; `notice` says what a user should know of how
    the stream counts, else nothing. Epoch seconds of the wall clock:
    `updated_at`, when this was written; `healthy_at`, when a batch ended last, or there was none
    to be made;
    `waiting_since`, the beginning of the outage while Cassandra is away, else 0. `failing`: by sink
    of alerts that takes nothing now, why.

    `missing`: what a reader has not found of all this in a report of another version.
    """

    batch: int | None = None
    rows: int = 0
    batch_ms: int = 0
    behind: int = 0
    started: str = ""
    servers: dict[str, dict[str, int]] = field(default_factory=dict)
    rows_per_s: float = 0.0
    alerts: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    notice: str = ""
    updated_at: float = 0.0
    healthy_at: float = 0.0
    waiting_since: float = 0.0
    failing: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def complaint(self, now: float, limit_s: float) -> str:
        """Why the stream is not well; empty where it is."""
        if self.missing:
            return (
                f"it was started by another version (its report has no {', '.join(self.missing)});"
                " restart the stream: clickstream speed stop, then clickstream speed run"
            )
        if self.waiting_since:
            return f"waiting for Cassandra since {moment(int(self.waiting_since))}"
        if now - self.updated_at > limit_s:
            return f"the driver has not reported for {now - self.updated_at:.0f} s"
        if now - self.healthy_at > limit_s:
            return f"no batch ended for {now - self.healthy_at:.0f} s"
        return ""


def checkpoint(settings: Settings) -> str:
    """The URL of the checkpoint."""
    return settings.speed.checkpoint or settings.files.checkpoint.as_uri()


def read(settings: Settings) -> Status | None:
    """The driver's last report; None before its first.

    Of a driver of another version what this one does not know is left out.
    """
    try:
        report = json.loads(settings.files.speed_status.read_text())
    except FileNotFoundError:
        return None
    names = [each.name for each in fields(Status) if each.name != "missing"]
    known = {name: report[name] for name in names if name in report}
    return Status(**known, missing=tuple(name for name in names if name not in report))


def write(settings: Settings, status: Status) -> None:
    """In the driver: report, in one atomic write."""
    write_atomic(settings.files.speed_status, json.dumps(asdict(status)))


def want_stop(settings: Settings) -> None:
    """Ask the driver to end."""
    file = settings.files.speed_stop
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def stop_wanted(settings: Settings) -> bool:
    """True once the driver is asked to end."""
    return settings.files.speed_stop.exists()


def forget(settings: Settings) -> None:
    """Before a start: remove the report and the request to end."""
    for leftover in (settings.files.speed_stop, settings.files.speed_status):
        leftover.unlink(missing_ok=True)


def moment(second: int) -> str:
    """An epoch second as ISO UTC; `-` for none."""
    return instant(second) if second else "-"
