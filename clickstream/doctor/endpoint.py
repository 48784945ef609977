"""Where a service is reached, before its own client asks: each address, one after the other.

What an endpoint says of TLS belongs here, too, and is asked before any login.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from clickstream.clients import endpoints, tls
from clickstream.clients.tls import Material
from clickstream.days import DAY_SECONDS
from clickstream.doctor.finding import PROBLEM, Finding, ok, problem, warning

TIMEOUT_S = 1.0
SCHEME_PORTS = {"http": 80, "https": 443}
SOON_DAYS = 30
EVERYTHING = "ALL PRIVILEGES"
"""As MariaDB names the right to do all."""

Address = tuple[str, int]


def reached(name: str, addresses: Sequence[Address], setting: str) -> list[Finding]:
    """Whether something listens at each address; `setting` names those.

    All are problems where none is reached: then there is nobody to ask further.
    """
    return list(_reached(name, addresses, setting))


def nobody_answers(found: Sequence[Finding]) -> bool:
    """True where each of the addresses is a problem."""
    return bool(found) and all(each.state == PROBLEM for each in found)


def _reached(name: str, addresses: Sequence[Address], setting: str) -> Iterator[Finding]:
    failures = {address: why for address in addresses if (why := _failure(address))}
    some = len(failures) < len(addresses)
    for address in addresses:
        where = f"{name} at {_text(address)}"
        if address not in failures:
            yield ok(f"{where} is reached")
        else:
            hint = f"is {setting} right, and the way there open?"
            made = warning if some else problem
            yield made(f"{where} is not reached: {failures[address]}", hint)


def _secured(
    name: str, addresses: Sequence[Address], ours: Material, check_name: bool
) -> Iterator[Finding]:
    """Whether each address speaks TLS with a certificate that we trust, and for how long."""
    for address in addresses:
        where = f"{name} at {_text(address)}"
        if wrong := tls.problem(*address, ours, check_name):
            yield problem(f"{where}: {wrong.reason}", wrong.hint)
            continue
        try:
            until = tls.valid_until(*address, ours, check_name)
        except OSError as error:
            yield problem(f"{where}: TLS failed ({error})", "ask again")
            continue
        yield validity(f"{where} speaks TLS; its certificate", until)


def transport(
    name: str,
    addresses: Sequence[Address],
    ours: Material | None,
    hint: str,
    check_name: bool = True,
) -> list[Finding]:
    """TLS with what `ours` trusts, or (None) a warning with a hint where it is spoken without.

    All are problems where nobody can be asked further.
    """
    if ours is None:
        return list(_in_clear(name, addresses, hint))
    return list(_secured(name, addresses, ours, check_name))


def validity(certificate: str, until: float) -> Finding:
    """How long a certificate is still valid; `until` is epoch seconds."""
    days = int((until - time.time()) // DAY_SECONDS)
    text = f"{certificate} is valid for {days} days"
    return ok(text) if days >= SOON_DAYS else warning(text, "have it renewed in time")


def _in_clear(name: str, addresses: Sequence[Address], hint: str) -> Iterator[Finding]:
    """A warning where a service on another host is spoken to without TLS."""
    if strangers := [each for each in addresses if not endpoints.is_loopback(each[0])]:
        where = ", ".join(map(_text, strangers))
        yield warning(f"{name} at {where} is spoken to without TLS", hint)


def reader(who: str, place: str, grantee: tuple[str, str], rights: frozenset[str]) -> Finding:
    """What a login that is only to read a place may do there.

    `grantee`: what GRANT and REVOKE name, as (resource, user).
    """
    resource, user = grantee
    if not rights & {"SELECT", EVERYTHING}:
        return problem(f"{who} may not read {place}", f"GRANT SELECT ON {resource} TO {user}")
    if more := ", ".join(sorted(rights - {"SELECT"})):
        hint = f"REVOKE {more} ON {resource} FROM {user}"
        return warning(f"{who} may do more than read: {more}", hint)
    return ok(f"{who} only reads {place}")


def addresses(text: str, port: int) -> list[Address]:
    """`host[:port],host[:port]`, each with or without a scheme -> addresses.

    `port` is that of one which has none, and no scheme that has one.
    """
    parts = [urlsplit(each if "://" in each else f"//{each}") for each in text.split(",")]
    return [
        (each.hostname or "", each.port or SCHEME_PORTS.get(each.scheme, port)) for each in parts
    ]


def _failure(address: Address) -> str:
    try:
        with socket.create_connection(address, TIMEOUT_S):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
