"""Days and instants of a question: what the options mean. Wrong ones are a UsageError."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from clickstream.days import EPOCH, instant, one_day
from clickstream.errors import UsageError

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Days:
    """Which days: one, a range (either end open), the last so many, or every day (none given).

    Days are `YYYY-MM-DD`, so their order is that of the text.
    """

    only: str | None = None
    first: str | None = None
    last: str | None = None
    count: int | None = None

    @classmethod
    def parse(
        cls,
        only: str | None = None,
        first: str | None = None,
        last: str | None = None,
        span: str | None = None,
    ) -> "Days":
        """From `--date`, `--from`, `--to`, `--last`; raises UsageError."""
        if sum((bool(only), bool(first or last), bool(span))) > 1:
            raise UsageError("choose days by one of --date, --from/--to, --last")
        days = cls(_day("--date", only), _day("--from", first), _day("--to", last), _count(span))
        if days.first and days.last and days.first > days.last:
            raise UsageError(f"--from {first} is after --to {last}")
        return days

    def within(self, present: list[str], newest: str | None = None) -> list[str]:
        """Those of the days present (sorted) that are asked for; `--last` goes back from newest."""
        newest = newest or max(present, default="")
        first, last = self.first or "", self.last or "9999-12-31"
        if self.only:
            first = last = self.only
        if self.count and newest:
            first = _before(newest, self.count - 1)
        return [day for day in present if first <= day <= last]

    @property
    def length(self) -> int:
        """How many days from first to last; both ends must be closed."""
        first, last = date.fromisoformat(self.first or ""), date.fromisoformat(self.last or "")
        return (last - first).days + 1

    def before(self, present: list[str]) -> "Days":
        """The period of the same length that ends the day before this one begins.

        An open end is that of the days present (sorted, not empty); raises UsageError when every
        day was asked for, for then there is none before.
        """
        if self == EVERY_DAY:
            raise UsageError("--compare: say which days: --date, --from/--to or --last")
        first = self.only or self.first or present[0]
        last = self.only or self.last or present[-1]
        if self.count:
            first = _before(last, self.count - 1)
        length = Days(first=first, last=last).length
        if length > date.fromisoformat(first).toordinal() - 1:
            raise UsageError(f"--compare: there is no period of {length} days before {first}")
        return Days(first=_before(first, length), last=_before(first, 1))


EVERY_DAY = Days()


def later(day: str, days: int) -> str:
    """The day so many days later; it must be a day of the years 1 to 9999."""
    return date.fromordinal(date.fromisoformat(day).toordinal() + days).isoformat()


def weekday(day: str) -> int:
    """Its index in WEEKDAYS."""
    return date.fromisoformat(day).weekday()


def second(option: str, text: str) -> int:
    """`2015-05-18T09:05:59Z` -> epoch seconds; no zone means UTC; raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
        since = _seconds_since(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text}: write it as 2015-05-18T09:05:59Z") from None
    if since < 0:
        raise UsageError(f"{option} {text} is before 1970")
    return since


def utc_day(epoch_s: int) -> str:
    """The UTC day of an instant."""
    return instant(epoch_s)[:10]


def utc_start(day: str) -> int:
    """Epoch seconds of a UTC day's first second."""
    return _seconds_since(datetime.fromisoformat(day).replace(tzinfo=UTC))


def _seconds_since(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


def _day(option: str, text: str | None) -> str | None:
    return None if text is None else one_day(option, text)


def _count(span: str | None) -> int | None:
    if span is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})d", span, re.ASCII)
    if not match:
        raise UsageError(f"--last {span}: write it as 7d")
    return int(match[1])


def _before(day: str, days: int) -> str:
    return date.fromordinal(max(1, date.fromisoformat(day).toordinal() - days)).isoformat()
