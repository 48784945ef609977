"""The table of a whole set of runs, in Markdown."""

from collections.abc import Sequence
from statistics import median

from tests.faults.faults import FAULTS
from tests.faults.lane import Result

HEAD = (
    "| fault | runs | lines | lost | doubled | extra copies | recovery seconds: median | max |\n"
    "| --- | --: | --: | --: | --: | --: | --: | --: |"
)


def table(results: Sequence[Result]) -> str:
    """A row for each fault that was run; altered lines count as lost."""
    rows = [
        _row(fault.title, mine)
        for fault in FAULTS.values()
        if (mine := [result for result in results if result.fault == fault.name])
    ]
    return "\n".join([HEAD, *rows])


def _row(title: str, results: Sequence[Result]) -> str:
    recovery = [result.recovery_s for result in results if result.recovery_s] or [0.0]
    bad = sum(not result.good() for result in results)
    cells = (
        title + (f" (**{bad} failed**)" if bad else ""),
        len(results),
        f"{sum(result.lines for result in results):,}",
        sum(result.lost + result.altered for result in results),
        sum(result.doubled for result in results),
        f"{sum(result.copies for result in results):,}",
        f"{median(recovery):.1f}",
        f"{max(recovery):.1f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"
