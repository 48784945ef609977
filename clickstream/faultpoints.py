"""Fault points: places where a test lets the process die, as `kill -9` would.

`CLICKSTREAM_FAULT=name:n` in the environment kills this process at its n-th passing of the point
(the first when no n is given). Without it a point costs one comparison.

A Spark driver is two processes, of which Python is the lesser: `driver=True` kills the group that
both are in.
"""

import os
import signal
from itertools import count

_NAME, _, _NTH = os.environ.get("CLICKSTREAM_FAULT", "").partition(":")
_passings = count(1)


def reached(name: str, *, driver: bool = False) -> None:
    """Die here if this is the passing that the environment names."""
    if name == _NAME and next(_passings) == int(_NTH or 1):
        # Process 0 is the group of this one.
        os.kill(0 if driver else os.getpid(), signal.SIGKILL)
