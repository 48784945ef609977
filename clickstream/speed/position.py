"""How far the stream is in the topic, as its checkpoint says."""

import json
from pathlib import Path

from clickstream.config import Settings
from clickstream.errors import ClickstreamError
from clickstream.speed import compatibility, driver_status


def read(settings: Settings) -> dict[int, int] | None:
    """The next offset of each partition after the last committed batch; {} before the first.

    None where the checkpoint is not on this machine. Raises ClickstreamError where it cannot be
    read.
    """
    directory = compatibility.local(driver_status.checkpoint(settings))
    if directory is None:
        return None
    try:
        batch = max(map(int, _numbers(directory / "commits")), default=None)
        if batch is None:
            return {}
        *_, last = (directory / "offsets" / str(batch)).read_text().splitlines()
        partitions = json.loads(last)[settings.kafka.topic]
    except (OSError, ValueError, KeyError) as error:
        raise ClickstreamError(
            f"the checkpoint {directory} cannot be read", "clickstream speed status"
        ) from error
    return {int(partition): offset for partition, offset in partitions.items()}


def _numbers(commits: Path) -> list[str]:
    return [path.name for path in commits.glob("[0-9]*") if path.name.isdecimal()]
