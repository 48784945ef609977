"""The routes: the page, the snapshot, and every report as `report NAME --format json` prints it."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clickstream.console import output
from clickstream.dashboard import answers, assets
from clickstream.dashboard.evidence import EvidenceJobs
from clickstream.dashboard.guard import METRICS_PATH
from clickstream.dashboard.metrics import MEDIA_TYPE, Metrics
from clickstream.dashboard.stores import Stores
from clickstream.dashboard.watcher import problem
from clickstream.errors import ClickstreamError, UsageError
from clickstream.serve import reports

if TYPE_CHECKING:
    from clickstream.config import Settings
    from clickstream.dashboard.watcher import Watcher

JSON = "application/json"
TEXTS = {"date": "date", "from": "first", "to": "last", "last": "span", "at": "at"}
"""Options whose text goes to `Question.parse` as it is, by their names there."""
FLAGS = ("by_day", "by_weekday", "total", "compare", "other", "peak")
PLAIN = ("server", "window", "layer", "by", "kind", "state")
DEFAULT_LAST = "14d"
"""What the page's script asks for where its address chooses nothing."""


def routes(settings: "Settings", watcher: "Watcher") -> Starlette:
    """The application without its guard. What asks a store runs in threads: the drivers block."""

    jobs, figures, stores = EvidenceJobs(settings), Metrics(settings), Stores(settings)

    def servers(_: Request) -> Response:
        return Response(json.dumps([reports.ALL, *settings.servers]), media_type=JSON)

    def metrics(_: Request) -> Response:
        return Response(figures.text(), media_type=MEDIA_TYPE)

    async def now(request: Request) -> Response:
        seen = request.query_params.get("seen", "")
        answer = watcher.now(int(seen) if seen.isdecimal() else None)
        return Response(answer.body, answer.status, media_type=JSON)

    def evidence(request: Request) -> Response:
        # It starts a job: no other site may have a browser do that.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return Response(problem(UsageError("only the page may ask this")), 403, media_type=JSON)
        answer = jobs.answer(request.query_params.get("id", ""))
        return Response(answer.body, answer.status, media_type=JSON)

    def report(request: Request) -> Response:
        return _guarded(lambda: _report(settings, stores, request))

    def page(request: Request) -> Response:
        chosen = request.query_params
        choice = (chosen.get("last") or DEFAULT_LAST, chosen.get("server"))
        threading.Thread(target=stores.ask_ahead, args=choice, daemon=True).start()
        return files[""](request)

    files = {name: _asset(asset) for name, asset in assets.ASSETS.items()}
    return Starlette(
        routes=[
            *(Route(f"/{name}", answer) for name, answer in (files | {"": page}).items()),
            Route("/healthz", lambda _: PlainTextResponse("ok\n")),
            Route(METRICS_PATH, metrics),
            Route("/api/servers", servers),
            Route("/api/now", now),
            Route("/api/evidence", evidence),
            Route("/api/report/{name}", report),
        ]
    )


def _asset(asset: assets.Asset) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        return _guarded(lambda: Response(asset.content(), media_type=asset.media_type))

    return answer


def _guarded(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except UsageError as error:
        return Response(problem(error), 400, media_type=JSON)
    except ClickstreamError as error:
        return Response(problem(error), 503, media_type=JSON)


def _report(settings: "Settings", stores: Stores, request: Request) -> Response:
    name, _, ending = request.path_params["name"].partition(".")
    if name not in reports.COLUMNS or ending not in ("", "csv"):
        known = ", ".join(sorted(reports.COLUMNS))
        return Response(
            problem(UsageError(f"there is no report {name}; there are {known}")), 404,
            media_type=JSON,
        )  # fmt: skip
    question = parsed(settings, request.query_params)
    answer = stores.answer(name, question)
    if ending == "csv":
        named = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        text = output.text(answer.rows, answer.columns, "csv")
        return Response(text, media_type="text/csv", headers=named)
    return Response(_json(name, answer), media_type=JSON)


def parsed(settings: "Settings", query: Mapping[str, str]) -> reports.Question:
    """The question of a query: its names are the options'. Raises UsageError for an unknown one."""
    unknown = sorted(set(query) - {*TEXTS, *FLAGS, *PLAIN, "top"})
    if unknown:
        raise UsageError(f"there is no option {', '.join(unknown)}")
    given: dict[str, Any] = {TEXTS[key]: query[key] for key in TEXTS if query.get(key)}
    given |= {key: query[key] for key in PLAIN if query.get(key)}
    given |= {key: _flag(key, query[key]) for key in FLAGS if key in query}
    if "top" in query:
        given["top"] = _number("top", query["top"])
    return reports.Question.parse(settings, **given)


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("", "1", "true", "previous", "0", "false"):
        raise UsageError(f"{name} is 1 or 0, not {text}")
    return text.lower() not in ("0", "false")


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{name} is a number from 1 on, not {text}")
    return int(text)


def _json(name: str, answer: reports.Answer) -> bytes:
    content = {"report": name, "columns": answer.columns, **answers.as_json(answer)}
    return json.dumps(content, ensure_ascii=False).encode()
