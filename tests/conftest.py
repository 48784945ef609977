"""What every test run shares: how hard hypothesis tries, and what `make test` leaves out."""

import pytest
from hypothesis import settings

# How long an example takes is no assertion. `make test-all` tries five times as many examples:
# tests/examples.py scales the numbers of a test.
settings.register_profile("campaign", max_examples=500, deadline=None)
settings.register_profile("test", deadline=None)
settings.load_profile("test")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What `make test` leaves out says why."""
    for item in items:
        for mark in item.iter_markers("campaign"):
            if len(mark.args) != 1:
                raise pytest.UsageError(f"{item.nodeid}: campaign takes its reason, one text")
