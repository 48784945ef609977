"""Lengths of time as written in options, and instants as they are printed."""

import re
from datetime import UTC, date, datetime, timedelta

from clickstream.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
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


def one_day(option: str, text: str) -> str:
    """A day as `YYYY-MM-DD`; raises UsageError."""
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"{option} {text} is not a valid date; write it as 2015-05-18")
