"""A webhook: a POST of JSON, and what an answer means for another try.

A 2xx is a receipt. 408, 429, 5xx and silence may pass: what was raised is the reason, and
`retry_after_s` what the receiver has asked for. Any other answer is a refusal for good: the same
message would be refused again, and hold up all behind it.
"""

import base64
import http
import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from clickstream.errors import ClickstreamError

TRANSIENT = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)
MAX_RETRY_AFTER_S = 3600.0

Send = Callable[[dict[str, Any]], None]


class Refused(ClickstreamError):
    """The receiver has refused a message for good."""


def sender(url: str, timeout_s: float) -> Send:
    """A function that posts a message; credentials in the URL go into a header.

    It raises Refused, or what urllib raises where another try may bring more.
    """
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    target = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    opener = urllib.request.build_opener(_NoRedirect)

    def send(message: dict[str, Any]) -> None:
        request = urllib.request.Request(target, json.dumps(message).encode(), headers)  # noqa: S310
        try:
            opener.open(request, timeout=timeout_s).close()
        except HTTPError as error:
            error.close()
            if _is_transient(error.code):
                raise
            raise Refused(_answer(error.code)) from None
        except http.client.RemoteDisconnected:  # silence, though a kind of the next one
            raise
        except http.client.HTTPException as error:
            raise Refused(f"an answer that is no HTTP ({type(error).__name__})") from None

    return send


def retry_after_s(error: Exception) -> float:
    """How long the receiver has asked to wait: `Retry-After`, up to MAX_RETRY_AFTER_S, else 0."""
    text = error.headers.get("Retry-After", "") if isinstance(error, HTTPError) else ""
    try:
        wait_s = float(text) if text.isdecimal() else _until(text)
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its message: so it is no delivery."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _is_transient(code: int) -> bool:
    return code in TRANSIENT or 500 <= code <= 599


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0


def _answer(code: int) -> str:
    """The status in our words: the receiver's may be anything."""
    try:
        return f"HTTP {code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"
