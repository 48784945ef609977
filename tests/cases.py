"""The cases of other people's logs, which lie beside the checkout."""

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases beside the checkout")


def log(case: str, name: str = "input.log") -> Path:
    """A log of a case."""
    return CASES / case / name
