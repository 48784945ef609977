"""Days and lengths of time as written in options, and instants as they are printed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from clickstream.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
NAMED_DAYS = ("yesterday", "latest")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}


def seconds(option: str, text: str) -> int:
    """`5m` -> 300; units s m h d; raises UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text, re.ASCII)
    if not match:
        raise UsageError(f"{option} {text}: write it as 90s, 5m, 1h or 1d")
    return int(match[1]) * UNIT_SECONDS[match[2]]


def instant(epoch_s: int) -> str:
    """Epoch seconds -> `2015-05-18T09:05:59Z`."""
    return (EPOCH + timedelta(seconds=epoch_s)).replace(tzinfo=None).isoformat() + "Z"


def duration(length_s: int) -> str:
    """A length of time in its two largest units: `2 h`, `1 d 3 h`, `5 min 10 s`."""
    parts = []
    for name, unit_s in (("d", DAY_SECONDS), ("h", 3600), ("min", 60), ("s", 1)):
        n, length_s = divmod(length_s, unit_s)
        parts.append(f"{n} {name}" if n else "")
    first = next((index for index, part in enumerate(parts) if part), len(parts) - 1)
    return " ".join(filter(None, parts[first : first + 2])) or "0 s"


def one_day(option: str, text: str) -> str:
    """A day as `YYYY-MM-DD`; raises UsageError."""
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"{option} {text} is not a valid date; write it as 2015-05-18")


@dataclass(frozen=True)
class DaySelection:
    """The selected days: one (a day or one of NAMED_DAYS), a range, open or not, the last `count`.

    Nothing selects every day, unless the caller gives that another meaning and wants `every`.
    Days are `YYYY-MM-DD`, so their order is that of the text.
    """

    only: str | None = None
    first: str | None = None
    last: str | None = None
    count: int | None = None
    every: bool = False

    @classmethod
    def for_batch(
        cls, only: str | None, first: str | None, last: str | None, every: bool
    ) -> "DaySelection":
        """From `--date`, `--from`, `--to`, `--all`; raises UsageError."""
        _check_one_way((only, first or last, every), "--all")
        day = only if only in NAMED_DAYS else _day("--date", only)
        return cls(day, _day("--from", first), _day("--to", last), every=every)._in_order()

    @classmethod
    def for_report(
        cls,
        only: str | None = None,
        first: str | None = None,
        last: str | None = None,
        span: str | None = None,
    ) -> "DaySelection":
        """From `--date`, `--from`, `--to`, `--last`; raises UsageError."""
        _check_one_way((only, first or last, span), "--last")
        days = (_day("--date", only), _day("--from", first), _day("--to", last))
        return cls(*days, _count(span))._in_order()

    @property
    def is_empty(self) -> bool:
        """True where no option was given."""
        return self == DaySelection()

    @property
    def needs_newest(self) -> bool:
        """True where the selected days depend on the newest day (see `clocks.newest_day`)."""
        return self.only == "latest" or self.count is not None

    def resolved(self, newest: str | None, today: date) -> "DaySelection":
        """The selection with the day that one of NAMED_DAYS means, if there is one."""
        if self.only == "yesterday":
            return replace(self, only=days_before(today.isoformat(), 1))
        if self.only == "latest" and newest:
            return replace(self, only=newest)
        return self

    def yesterday_hint(self, today: date | None = None) -> str:
        """The day that `yesterday` means: by UTC, while a log may print another one; else empty."""
        if self.only != "yesterday":
            return ""
        day = days_before((today or utc_today()).isoformat(), 1)
        return f"yesterday is {day}, by UTC; days are as printed in the logs"

    def within(self, present: list[str], newest: str | None = None) -> list[str]:
        """The selected ones of the days present (sorted); `count` goes back from `newest`."""
        newest = newest or max(present, default="")
        first, last = self.first or "", self.last or "9999-12-31"
        if self.only:
            first = last = self.only
        if self.count and newest:
            first, last = days_before(newest, self.count - 1), newest
        return [day for day in present if first <= day <= last]

    @property
    def length(self) -> int:
        """The number of days from first to last; both ends must be closed."""
        first, last = date.fromisoformat(self.first or ""), date.fromisoformat(self.last or "")
        return (last - first).days + 1

    def before(self, present: list[str]) -> "DaySelection":
        """The period of the same length that ends the day before this one begins.

        An open end is that of the days present (sorted, not empty); raises UsageError where every
        day is selected, for then there is none before.
        """
        if self.is_empty:
            raise UsageError("--compare: say which days: --date, --from/--to or --last")
        first = self.only or self.first or present[0]
        last = self.only or self.last or present[-1]
        if self.count:
            first = days_before(last, self.count - 1)
        length = DaySelection(first=first, last=last).length
        if length > date.fromisoformat(first).toordinal() - 1:
            raise UsageError(f"--compare: there is no period of {length} days before {first}")
        return DaySelection(first=days_before(first, length), last=days_before(first, 1))

    def _in_order(self) -> "DaySelection":
        if self.first and self.last and self.first > self.last:
            raise UsageError(f"--from {self.first} is after --to {self.last}")
        return self


EVERY_DAY = DaySelection()


def days_before(day: str, days: int) -> str:
    """The day so many days earlier; 0001-01-01 is before every day."""
    return date.fromordinal(max(1, date.fromisoformat(day).toordinal() - days)).isoformat()


def utc_today() -> date:
    """The current day, by UTC."""
    return datetime.now(UTC).date()


def _check_one_way(ways: Sequence[object], third: str) -> None:
    if sum(map(bool, ways)) > 1:
        raise UsageError(f"choose days by one of --date, --from/--to, {third}")


def _day(option: str, text: str | None) -> str | None:
    return None if text is None else one_day(option, text)


def _count(span: str | None) -> int | None:
    if span is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})d", span, re.ASCII)
    if not match:
        raise UsageError(f"--last {span}: write it as 7d")
    return int(match[1])
