"""What may be asked, and what an answer is: options as parsed, and the columns of each report."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from clickstream import alerts
from clickstream.days import EVERY_DAY, DaySelection, seconds
from clickstream.errors import NoData, UsageError
from clickstream.rows import ALL, Rows
from clickstream.serve.when import second

if TYPE_CHECKING:
    from clickstream.config import Settings


COLUMNS = {
    "visitors": ("date", "server", "unique_visitors", "requests", "state"),
    "responses": ("date", "server", "success", "failure", "other", "requests", "state"),
    "traffic": ("server", "success", "failure", "other", "requests", "state"),
    "distribution": ("date", "unique_visitors", "requests", "change", "state"),
    "hourly": ("hour", "server", "requests", "state"),
    "categories": ("date", "server", "category", "requests"),
    "popularity": ("rank", "category", "requests", "server", "window_start", "window_end"),
    "ddos": ("ip", "second", "requests"),
    "health": ("server", "window_end", "non_200", "state"),
    "alerts": alerts.COLUMNS,
}
BATCH: Literal["batch"] = "batch"
SPEED: Literal["speed"] = "speed"
MERGED: Literal["merged"] = "merged"
Layer = Literal["batch", "speed", "merged"]
Grain = Literal["minute", "hour", "day"]
KEYS = ("category", "date", "hour", "server", "weekday")
"""The columns that name a row; the others are its figures."""
TOTAL = ("from", "to", "days", "server", "unique_visitors", "requests")
OTHER = "(other)"
TABLES = {"alerts": alerts.TABLE}
BARS = {"hourly", "traffic", "distribution", "categories", "popularity"}


@dataclass(frozen=True)
class Question:
    """The parsed options of a report.

    `server`: None is the report's own default; `at`: epoch s; windows in s.
    `total`: visitors of all the days together; `compare`: beside the period before; `other`: with
    a row of the categories below `top`, whose rank is None.
    `layer`: the one that answers, or the MERGED answer of both; `by`: the grain of traffic.
    `non_200_limit` is the count that a server's trailing non-200 responses must exceed to alert.
    `kind` and `state` choose alerts; None: of any kind, open or resolved.
    """

    days: DaySelection = EVERY_DAY
    server: str | None = None
    top: int | None = 10
    other: bool = False
    by_day: bool = False
    by_weekday: bool = False
    total: bool = False
    compare: bool = False
    layer: Layer = MERGED
    by: Grain = "hour"
    at: int | None = None
    window: int = 300
    peak: bool = False
    non_200_limit: int = 10
    kind: str | None = None
    state: str | None = None

    @classmethod
    def parse(
        cls,
        settings: "Settings",
        *,
        date: str | None = None,
        first: str | None = None,
        last: str | None = None,
        span: str | None = None,
        server: str | None = None,
        at: str | None = None,
        window: str = "5m",
        **options: Any,
    ) -> "Question":
        """From the options as written on the command line; raises UsageError."""
        if server not in (None, ALL):
            settings.require_server(server)
        if options.get("by_day") and options.get("by_weekday"):
            raise UsageError("choose one of --by-day and --by-weekday")
        if date and at:
            raise UsageError("choose the window's end by one of --date and --at")
        return cls(
            days=DaySelection.for_report(date, first, last, span),
            server=server,
            at=None if at is None else second("--at", at),
            window=seconds("--window", window),
            non_200_limit=settings.speed.health_non_200,
            **options,
        )


class Answer(NamedTuple):
    """Rows, their columns in order, the column to draw as bars, which layer answered, and what
    should be known of the rows, a sentence each."""

    rows: Rows
    columns: tuple[str, ...]
    bar: str
    layer: str
    notes: tuple[str, ...] = ()

    @property
    def footer(self) -> str:
        """The lines below a table."""
        return "\n".join((self.layer, *(f"note: {note}" for note in self.notes)))


def columns(report: str, question: Question) -> tuple[str, ...]:
    """The columns of a report, without those of a comparison."""
    if question.total:
        return TOTAL
    if report == "traffic":
        return ("date", *((question.by,) if question.by != "day" else ()), *COLUMNS[report])
    more = ("date",) * question.by_day + ("weekday",) * question.by_weekday
    return more + COLUMNS[report]


def no_data(day: str, hint: str = "") -> NoData:
    """The error of a single day that holds nothing."""
    return NoData(f"there is no data for {day}", hint)
