"""Lengths of time as written in options."""

import re

from clickstream.errors import UsageError

DAY_SECONDS = 86_400
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}


def seconds(option: str, text: str) -> int:
    """`5m` -> 300; units s m h d; raises UsageError."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text, re.ASCII)
    if not match:
        raise UsageError(f"{option} {text}: write it as 90s, 5m, 1h or 1d")
    return int(match[1]) * UNIT_SECONDS[match[2]]
