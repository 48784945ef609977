"""The reports from Python: the answers of `clickstream report`, as typed objects.

Options are those of the command line: `date`, `first` (--from), `last` (--to), `span` (--last),
`server` and so on. Days are dates as printed in the log (of popularity, ddos and health: UTC days),
instants are aware datetimes. Errors are `clickstream.errors`: NoData, NotRunning, UsageError.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.serve.layers import Connections

T = TypeVar("T", bound=tuple[Any, ...])


class Visitors(NamedTuple):
    """Unique visitors and requests of a day."""

    date: date
    server: str
    unique_visitors: int
    requests: int


class Total(NamedTuple):
    """Unique visitors and requests of `days` days together."""

    first: date
    last: date
    days: int
    server: str
    unique_visitors: int
    requests: int


class Responses(NamedTuple):
    """Requests of a day by class of response."""

    date: date
    server: str
    success: int
    failure: int
    other: int
    requests: int
    state: str


class Traffic(NamedTuple):
    """Requests by class of response in the minute, the hour or the day that begins at `start`,
    the printed clock (no zone).
    """

    start: datetime
    server: str
    success: int
    failure: int
    other: int
    requests: int
    state: str


class Day(NamedTuple):
    """Unique visitors over all servers, and the change against the day before."""

    date: date
    unique_visitors: int
    requests: int
    change: int | None


class Hour(NamedTuple):
    """Requests in an hour of the day, summed over the days."""

    hour: int
    server: str
    requests: int
    state: str


class Category(NamedTuple):
    """Requests of a category on a day."""

    date: date
    server: str
    category: str
    requests: int


class Popular(NamedTuple):
    """A category of the window (window_start, window_end], by rank."""

    rank: int
    category: str
    requests: int
    server: str
    window_start: datetime
    window_end: datetime


class Offence(NamedTuple):
    """A second in which an address had too many requests."""

    ip: str
    second: datetime
    requests: int


class Health(NamedTuple):
    """Responses other than 200 of a server in the window that ends at `window_end`."""

    server: str
    window_end: datetime
    non_200: int
    state: str


class Report(list[T], Generic[T]):
    """The rows of a report; `layer` says what answered as of when, `notes` what to know of them."""

    def __init__(self, rows: Iterator[T], layer: str, notes: Sequence[str]) -> None:
        super().__init__(rows)
        self.layer = layer
        self.notes = tuple(notes)


class Views:
    """The answers of both layers; made by `open_views`."""

    def __init__(self, settings: "Settings", connections: "Connections") -> None:
        self._settings = settings
        self._connections = connections

    def visitors(self, **options: Any) -> Report[Visitors]:
        """Unique visitors and requests per day, of each server and of all."""
        return self._asked("visitors", Visitors, options)

    def total_visitors(self, **options: Any) -> Report[Total]:
        """Each visitor of the days together once (visitors --total)."""
        names = {"from": "first", "to": "last"}
        return self._asked("visitors", Total, options | {"total": True}, names)

    def responses(self, **options: Any) -> Report[Responses]:
        """Requests per day by class of response, from both layers or from `layer`."""
        return self._asked("responses", Responses, options)

    def traffic(self, **options: Any) -> Report[Traffic]:
        """Requests by minute, hour or day (`by`), from both layers or from `layer`."""
        return self._asked("traffic", Traffic, options)

    def hourly(self, **options: Any) -> Report[Hour]:
        """Requests per hour of the day, from both layers or from `layer`."""
        return self._asked("hourly", Hour, options)

    def distribution(self, **options: Any) -> Report[Day]:
        """Unique visitors per day over all servers, with the change."""
        return self._asked("distribution", Day, options)

    def categories(self, **options: Any) -> Report[Category]:
        """The most requested categories per day (`top`)."""
        return self._asked("categories", Category, options)

    def popularity(self, **options: Any) -> Report[Popular]:
        """The most requested categories of a window (`at`, `window`, `top`)."""
        return self._asked("popularity", Popular, options)

    def ddos(self, **options: Any) -> Report[Offence]:
        """Addresses and seconds with too many requests."""
        return self._asked("ddos", Offence, options)

    def health(self, **options: Any) -> Report[Health]:
        """Responses other than 200 of each server, now or at its `peak`."""
        return self._asked("health", Health, options)

    def _asked(
        self,
        report: str,
        kind: type[T],
        options: dict[str, Any],
        names: dict[str, str] | None = None,
    ) -> Report[T]:
        from clickstream.serve import reports

        given = {key: _text(value) for key, value in options.items()}
        question = reports.Question.parse(self._settings, **given)
        answer = reports.answer(self._connections, report, question)
        rows = (_typed(row, kind, names or {}) for row in answer.rows)
        return Report(rows, answer.layer, answer.notes)


@contextmanager
def open_views(
    home: Path | str | None = None, config_file: Path | str | None = None
) -> Iterator[Views]:
    """The answers of a home (by default that of the command line); a context manager.

    Connections are made when they are first needed, and closed in the end.
    """
    from clickstream import config
    from clickstream.serve.layers import connected

    settings = config.load(_path(config_file), _path(home))
    with connected(settings) as connections:
        yield Views(settings, connections)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _text(value: Any) -> Any:
    """A date or an instant as on the command line; other values as they are."""
    return value.isoformat() if isinstance(value, date) else value


def _typed(row: dict[str, Any], kind: type[T], names: dict[str, str]) -> T:
    values = {names.get(key, key): value for key, value in row.items()}
    if kind is Traffic:
        values["start"] = _start(values)
    types = kind.__annotations__
    return kind(**{key: _value(values[key], types[key]) for key in types})


def _start(values: dict[str, Any]) -> str:
    clock = values.get("minute") or f"{values.get('hour', 0):02}:00"
    return f"{values['date']}T{clock}"


def _value(value: Any, kind: type) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if kind is date else value
