"""A session of HTTP that logs in by Kerberos where it is asked to (RFC 4559)."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.auth import AuthBase

from clickstream.clients import kerberos
from clickstream.errors import ClickstreamError

SCHEME = "Negotiate"
# Java's words in Hadoop's page of an error.
_SAID = re.compile(r"Mechanism level: ([^()]+)|(No rules applied to [^\s<]+)")
_OTHER_KEY = ("Checksum failed", "Cannot find key", "Specified version of key")


class Negotiation(AuthBase):
    """The `auth` of a session; `token` gives what opens one with a host.

    A NameNode asks for it once, by a 401; its cookie carries the session on for hours, and then it
    asks again. DataNodes never ask: the NameNode's redirect has a token of its own in the query.
    """

    def __init__(self, token: Callable[[str], str]) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Have its answer looked at."""
        request.register_hook("response", self._answer)
        return request

    def _answer(self, response: Response, **options: Any) -> Response:
        if not asked(response) or "Authorization" in response.request.headers:
            return response
        host = str(urlsplit(response.request.url).hostname)
        found = _again(response, self._token(host), options)
        if said := _refused(found):
            raise _refusal(said, host)
        return found


def asked(response: Response) -> bool:
    """Tell whether this answer asks for a login by Kerberos."""
    schemes = response.headers.get("WWW-Authenticate", "")
    return response.status_code == 401 and schemes.startswith(SCHEME)


def _again(response: Response, token: str, options: dict[str, Any]) -> Response:
    """The answer to the same request with a token."""
    _ = response.content  # the connection is free once all of it is read
    response.close()
    request = response.request.copy()
    request.headers.pop("Cookie", None)  # one that is no longer taken
    request.headers["Authorization"] = f"{SCHEME} {token}"
    found: Response = response.connection.send(request, **options)
    found.history.append(response)
    found.request = request
    return found


def _refused(response: Response) -> str:
    """Why a token was not taken; empty where it was, whatever the answer is then."""
    if response.status_code == 401:
        return "it asks again"
    found = _SAID.search(response.text) if response.status_code == 403 else None
    return found[0].removeprefix("Mechanism level: ").strip() if found else ""


def _refusal(said: str, host: str) -> ClickstreamError:
    if said.startswith("Clock skew"):
        text = f"the clock of {host} and ours are too far apart for Kerberos"
        return ClickstreamError(text, kerberos.TIME_SERVER)
    hint = "what does its log say?"
    if said.startswith(_OTHER_KEY):
        hint = f"is the keytab of HTTP/{host} there the one that the KDC knows?"
    elif said.startswith("No rules"):
        hint = "its hadoop.security.auth_to_local must give our principal a name"
    return ClickstreamError(f"{host} does not take our Kerberos ticket: {said}", hint)
