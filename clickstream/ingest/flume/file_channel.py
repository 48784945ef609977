"""A file channel as a killed agent leaves it on disk.

Source: FlumeEventQueue and ReplayHandler of Flume 1.11 (flume-file-channel).
"""

import shutil
from pathlib import Path

CHECKPOINT = "checkpoint"
LOCK = "in_use.lock"
"""Flume removes it as it ends; a kill leaves it."""


def forget_checkpoint(channel: Path) -> None:
    """Have the channel of an agent that was killed read all of its log at the next start.

    A checkpoint keeps the events that transactions had put or taken at that moment as a set: a
    replay from it puts them into the queue in any order, and the speed layer takes a line that
    comes behind a later one of its log for a copy. The log has them in order.
    """
    checkpoint = channel / CHECKPOINT
    if (checkpoint / LOCK).exists():
        shutil.rmtree(checkpoint)
