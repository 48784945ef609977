"""What the page shows of the speed layer: the last five minutes, in one piece.

Always all of it: late lines revise the past, and a page that patched itself would not tell.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from clickstream import alerts
from clickstream.days import instant
from clickstream.serve import reports
from clickstream.views.realtime import counts

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.views.realtime import RealTime

ALL = counts.ALL
SHOWN_ALERTS = 50
TOP = 10


def snapshot(settings: "Settings", views: "RealTime", batch: int) -> dict[str, Any]:
    """The real-time views as of a batch; `{}` while no line was counted.

    `line` has the requests and the answers that were not healthy by server and second of the
    window that ends at `as_of`; `popularity`, `health` and `alerts` are rows of the reports.
    """
    latest = views.latest()
    if latest is None:
        return {}
    start = latest - settings.speed.window_seconds
    categories, non_200 = views.traffic(start, latest)
    servers = [ALL, *sorted({*views.servers(), *settings.servers})]
    by_server = counts.by_server([categories], start, latest)
    return {
        "as_of": instant(latest),
        "batch": batch,
        "limits": _limits(settings),
        "unhealthy": "not 200",
        "start": instant(start + 1),
        "line": {
            name: {
                "requests": _line(categories, name, start, latest),
                "non_200": _line(non_200, name, start, latest),
            }
            for name in servers
        },
        "popularity": {
            name: reports.ranked(counts.of(by_server, name), TOP, name, (start, latest))
            for name in servers
        },
        "health": reports.health(views, latest, _question(settings)),
        "alerts": _alerts(views),
    }


def _limits(settings: "Settings") -> dict[str, int]:
    speed = settings.speed
    return {"ddos": speed.ddos_requests_per_second, "non_200": speed.health_non_200}


def _question(settings: "Settings") -> reports.Question:
    return reports.Question(non_200_limit=settings.speed.health_non_200)


def _line(sums: counts.Counts, server: str, start: int, end: int) -> list[int]:
    by_second: Counter[int] = Counter(counts.per_second(sums, server))
    return [by_second[second] for second in range(start + 1, end + 1)]


def _alerts(views: "RealTime") -> list[dict[str, Any]]:
    """The open ones first, then the newest; none that was merged into another."""
    shown = [each for each in views.alerts() if each.state != alerts.MERGED]
    shown.sort(key=lambda each: (each.state == alerts.OPEN, each.first), reverse=True)
    return [alerts.flat(each) for each in shown[:SHOWN_ALERTS]]
