"""The folder that all homes of a user share: jars, unpacked programs."""

import os
from pathlib import Path

VARIABLE = "CLICKSTREAM_CACHE"


def cache_dir() -> Path:
    """`CLICKSTREAM_CACHE`, or the platform's folder for caches."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("clickstream"))
