"""The state of everything on one screen."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.status.collector import Status


def collect(settings: "Settings") -> "Status":
    """The state of everything now; see `collector.Collector.collect`, to be asked again and again.

    The parts are imported here: the command line loads none of their clients for its help.
    """
    from clickstream.status.collector import Collector

    return Collector(settings).collect()
