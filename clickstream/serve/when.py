"""Days and instants of a question. Wrong ones are a UsageError."""

from datetime import UTC, date, datetime, timedelta

from clickstream.days import EPOCH, instant
from clickstream.errors import UsageError

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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
