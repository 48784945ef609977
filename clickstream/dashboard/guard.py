"""Who may ask the dashboard, and the headers of each of its answers.

The page shows addresses of people, and a machine may have other users: so a token even on
loopback. A name in the Host header that is not ours is refused before anything else, or any web
page could let its own name point here (DNS rebinding).
"""

import secrets
from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATH = "/healthz"
METRICS_PATH = "/metrics"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware, the outermost: Host, method and token are checked, headers are set.

    `token` opens everything, `metrics_token` METRICS_PATH alone ("": there is none); both may come
    as a bearer token, the first as a cookie, too, which a visit of `/?token=...` leaves. `names`
    are the values that the Host header may have, without a port.
    """

    def __init__(
        self, app: ASGIApp, token: str, names: Collection[str], metrics_token: str = ""
    ) -> None:
        self._app = app
        self._token = token
        self._metrics_token = metrics_token
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            request = Request(scope)
            answer = self._refusal(request) or self._admission(request) or self._app
            await answer(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name.lower() not in self._names:
            return _text("this name of the dashboard is not in dashboard.names", 400)
        if request.method not in ("GET", "HEAD"):
            return _text("only GET and HEAD", 405)
        return None

    def _admission(self, request: Request) -> Response | None:
        """None where the request may pass."""
        path = request.url.path
        if path == OPEN_PATH or self._admitted(request, path):
            return None
        given = parse_qs(request.url.query).get("token", [""])[0]
        if path == "/" and _same(given, self._token):
            return self._welcome(request)
        return _text("open the address that `clickstream dashboard` has printed", 403)

    def _admitted(self, request: Request, path: str) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = (request.cookies.get(_cookie(request), ""), bearer)
        metrics = path == METRICS_PATH and _same(bearer, self._metrics_token)
        return metrics or any(_same(each, self._token) for each in given)

    def _welcome(self, request: Request) -> Response:
        response = RedirectResponse("./", status_code=303)
        # Lax: with strict a link that is opened from another page arrives without the cookie.
        response.set_cookie(_cookie(request), self._token, httponly=True, samesite="lax", path="/")
        return response


def _cookie(request: Request) -> str:
    """Cookies do not know ports: without it the dashboards of two homes shared one."""
    return f"clickstream_{(request.scope.get('server') or ('', 0))[1]}"


def _same(given: str, token: str) -> bool:
    return bool(token) and secrets.compare_digest(given.encode(), token.encode())


def _text(text: str, status: int) -> Response:
    return PlainTextResponse(text + "\n", status)


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
