"""The selection of alerts by a question."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clickstream.alerts import OPEN, RESOLVED, Alert, flat
from clickstream.days import DAY_SECONDS
from clickstream.rows import ALL, Rows
from clickstream.serve.when import utc_day

if TYPE_CHECKING:
    from clickstream.serve.reports import Question


def rows(alerts: Iterable[Alert], latest: int, question: "Question") -> Rows:
    """The alerts of the question's kind, state, server and UTC days, as rows of `alerts.COLUMNS`.

    `latest` is the newest event second, from which `--last` goes back.
    """
    matching = [(each, _days_of(each)) for each in alerts if _matches(each, question)]
    every = sorted({day for _, days in matching for day in days})
    chosen = set(question.days.within(every, utc_day(latest)))
    return [flat(each) for each, days in matching if chosen.intersection(days)]


def _matches(alert: Alert, question: "Question") -> bool:
    states = (question.state,) if question.state else (OPEN, RESOLVED)
    return (
        question.kind in (None, alert.kind)
        and alert.state in states
        and (question.server in (None, ALL) or question.server in alert.servers)
    )


def _days_of(alert: Alert) -> list[str]:
    starts = range(alert.first - alert.first % DAY_SECONDS, alert.last + 1, DAY_SECONDS)
    return [utc_day(start) for start in starts]
