"""The selection of alerts by a question, and the changes of alerts that were not delivered."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clickstream import undelivered, webhook
from clickstream.alerts import OPEN, RESOLVED, Alert, flat
from clickstream.days import DAY_SECONDS
from clickstream.errors import ClickstreamError
from clickstream.rows import ALL, Rows
from clickstream.serve.when import utc_day

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.serve.reports import Question

WEBHOOK, DELIVERED = "webhook", "delivered"
RESENT = ("id", "event", "seq", "outcome")


def rows(alerts: Iterable[Alert], latest: int, question: "Question") -> Rows:
    """The alerts of the question's kind, state, server and UTC days, as rows of `alerts.COLUMNS`.

    `latest` is the newest event second, from which `--last` goes back.
    """
    matching = [(each, _days_of(each)) for each in alerts if _matches(each, question)]
    every = sorted({day for _, days in matching for day in days})
    chosen = set(question.days.within(every, utc_day(latest)))
    return [flat(each) for each, days in matching if chosen.intersection(days)]


def notes(settings: "Settings") -> tuple[str, ...]:
    """What should be known of the delivery of alerts from this home."""
    return tuple(filter(None, [undelivered.note(settings.files)]))


def resend(settings: "Settings") -> tuple[Rows, str]:
    """Send again what the webhook has refused for good, in order; what arrives is kept no longer.

    Rows as RESENT names their columns, `outcome` being DELIVERED or why not, and the problem of a
    receiver that takes nothing now, else "". Raises ClickstreamError without a webhook.
    """
    url, timeout_s = settings.alerts.webhook.get_secret_value(), settings.alerts.timeout_seconds
    if not undelivered.kept(settings.files):
        return [], ""
    if not url:
        raise ClickstreamError(
            "alerts.webhook is not set, so there is nowhere to send to",
            "set CLICKSTREAM_ALERTS__WEBHOOK",
        )
    rows: Rows = []
    outcomes = undelivered.resend(settings.files, WEBHOOK, webhook.sender(url, timeout_s))
    try:
        for sent, reason in outcomes:
            named = {key: sent[key] for key in ("id", "event", "seq")}
            rows.append(named | {"outcome": reason or DELIVERED})
    except OSError as error:
        return rows, f"the webhook takes nothing now: {error}"
    return rows, ""


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
