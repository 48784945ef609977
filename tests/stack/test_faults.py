"""The quick selection of `make faults`: one seed of each fault that leaves the services running."""

import random
from contextlib import contextmanager

import pytest

from tests.faults.faults import FAULTS
from tests.faults.lane import Home
from tests.faults.services import Services
from tests.stack.homes import fresh_home


@pytest.mark.campaign(
    "`make test` has each kind of fault in a test of its own; here are random moments"
)
@pytest.mark.parametrize("name", [fault.name for fault in FAULTS.values() if fault.cheap])
def test_nothing_is_lost_or_doubled(settings, tmp_path, name):
    seed = random.randrange(10**6)
    print(f"again: python -m tests.faults --fault {name} --seeds 1 --first-seed {seed}")
    fault = FAULTS[name]
    with contextmanager(fresh_home)(settings, tmp_path / "home", **fault.flags) as home:
        result = Home(home, Services(settings), tmp_path / "logs").run(fault, seed)
    print(result)
    assert result.problems == []
    assert (result.lost, result.doubled, result.altered) == (0, 0, 0)
    assert result.recovered or name != "agent3"
    assert result.copies == 0 or name != "replay"
