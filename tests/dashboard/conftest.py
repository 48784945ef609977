"""Views in memory for a dashboard that really serves."""

from collections import Counter
from typing import NamedTuple
from unittest import mock

import pytest

from clickstream import config
from clickstream.dashboard import watcher
from clickstream.errors import NotRunning

LATEST = 1_431_940_374  # 2015-05-18 09:12:54 UTC
SERVERS = ("weblog1", "weblog2")


class Line(NamedTuple):
    """One request of a log."""

    server: str
    second: int
    category: str = "/blog"
    status: str = "200"


class Views:
    """The reading side of the real-time views.

    `away` is a store that does not answer; `moving` a stream of which each look finds a new batch.
    """

    def __init__(self, *lines, alerts=(), moving=False):
        self.lines, self.stored, self.batch, self.away = list(lines), list(alerts), 1, False
        self.moving = moving
        self.connected = self.statuses = 0

    def connect(self, _settings):
        self.connected += 1
        self._check()
        return self

    def _check(self):
        if self.away:
            raise NotRunning("Cassandra does not answer", "start it: clickstream stack up")

    def status(self):
        self._check()
        self.statuses += 1
        self.batch += self.moving
        return {"batch": self.batch if self.lines else None, "servers": {}}

    def latest_by_server(self):
        return {line.server: line.second for line in sorted(self.lines, key=lambda x: x.second)}

    def latest(self):
        return max(self.latest_by_server().values(), default=None)

    def servers(self):
        return sorted(self.latest_by_server())

    def traffic(self, start, end):
        within = [line for line in self.lines if start < line.second <= end]
        categories, others = {}, {}
        for line in within:
            self._add(categories, line, line.category)
            if line.status != "200":
                self._add(others, line, line.status)
        return categories, others

    def _add(self, counts, line, key):
        second = counts.setdefault(line.server, {}).setdefault(line.second, Counter())
        second[key] += 1

    def non_200(self, ends):
        return {server: self._non_200(server, end) for server, end in ends.items()}

    def _non_200(self, server, end):
        return sum(
            line.server == server and end - 300 < line.second <= end and line.status != "200"
            for line in self.lines
        )

    def alerts(self):
        return self.stored

    def close(self):
        pass


@pytest.fixture(autouse=True, scope="package")
def quick():
    """The watcher reads more often than each second: nobody waits for it."""
    with mock.patch.multiple(watcher, INTERVAL_S=0.05, RECONNECT_S=0.05):
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return config.load(home=tmp_path_factory.mktemp("dashboard"))
