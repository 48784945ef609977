"""The database of the batch views: its connection, and its drivers' errors as ours."""

import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from clickstream.clients import tls
from clickstream.clients.endpoints import is_loopback
from clickstream.clients.tls import Material
from clickstream.config import secrets
from clickstream.errors import ClickstreamError, NotRunning, UsageError

HINT = "is it up, and is database.url right? clickstream config show"
LOCAL_HINT = f"{HINT}, clickstream stack status"
LOGIN_HINT = (
    "check user and password of database.url (and of database.reader_url): clickstream config show"
)
NO_LOGIN, NO_DATABASE, NO_TABLE, NO_COLUMN, TLS_WANTED = 1045, 1044, 1142, 1143, 3159
NO_TLS = 2026
RIGHT = re.compile(r"([A-Z ]+) command denied to user ('[^']*'@'[^']*')")
USER = re.compile(r"for user ('[^']*'@'[^']*')")


def engine(url: sa.URL) -> sa.Engine:
    """SQLAlchemy's engine, not yet connected; raises UsageError for a URL that cannot be."""
    if _is_pymysql(url):
        _check_tls(url)
    try:
        return sa.create_engine(url, hide_parameters=True)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise UsageError(f"database.url: no driver for {url.drivername}") from error


@contextmanager
def errors(url: sa.URL) -> Iterator[None]:
    """The drivers' errors as ours; never with the password, never with the rows."""
    address = f"the database {url.set(query={}).render_as_string(hide_password=True)}"
    try:
        yield
    except sa.exc.OperationalError as error:
        refusal = _refusal(address, url, error.orig)
        raise refusal from (error.orig if isinstance(refusal, NotRunning) else None)
    except sa.exc.DBAPIError as error:
        raise ClickstreamError(f"{address} refuses") from error.orig


def _check_tls(url: sa.URL) -> None:
    """Refuse what does not mean what it says; warn where nobody is asked who the server is."""
    options = url.query
    for option in ("ssl_verify_cert", "ssl_verify_identity"):
        if option in options:
            raise UsageError(
                f"database.url: with {option} the driver leaves ssl_ca out, and asks the"
                " authorities of this machine",
                "leave it out: ssl_ca checks the certificate and the name",
            )
    asked = sum(option.startswith("ssl_") for option in options)
    if "ssl_disabled" in options and asked > 1:
        raise UsageError(
            "database.url: with ssl_disabled, whatever its value, there is no TLS", "leave it out"
        )
    for option in {"ssl_ca", "ssl_cert"} & options.keys():
        tls.require_certificate(Path(str(options[option])), f"database.url: {option}")
    if "ssl_key" in options:
        secrets.require_private(Path(str(options["ssl_key"])), "database.url: ssl_key")
    if not is_loopback(url.host) and "ssl_ca" not in options:
        _warn_of_no_check(str(url.host))


@cache
def _warn_of_no_check(host: str) -> None:
    """Once in a process."""
    print(
        f"warning: nobody checks that the database at {host} is the right one, and without TLS"
        " there the password goes in clear; add ssl_ca=FILE to database.url",
        file=sys.stderr,
    )


def _refusal(address: str, url: sa.URL, error: BaseException | None) -> ClickstreamError:
    """What a driver could not do; PyMySQL's numbers are MariaDB's."""
    number, text = (*getattr(error, "args", ()), 0, "")[:2]
    if number == NO_LOGIN:
        user = f" of {found[1]}" if (found := USER.search(str(text))) else ""
        return ClickstreamError(
            f"{address} refuses the login{user}: wrong password, no such user, or the user needs"
            " a certificate (ssl_cert, ssl_key)",
            LOGIN_HINT,
        )
    if number in (NO_DATABASE, NO_TABLE, NO_COLUMN):
        return _no_right(address, url, str(text))
    if problem := _tls_problem(url, number, error):
        return ClickstreamError(f"{address}: {problem.reason}", problem.hint)
    return NotRunning(f"{address} cannot be used", LOCAL_HINT if is_loopback(url.host) else HINT)


def _no_right(address: str, url: sa.URL, text: str) -> ClickstreamError:
    found = RIGHT.search(text)
    if not found:
        return ClickstreamError(f"{address} gives this user no right", LOGIN_HINT)
    right, user = found.groups()
    return ClickstreamError(
        f"{address}: user {user} has no right to {right}",
        f"an administrator can give it: GRANT {right} ON {url.database}.* TO {user};",
    )


def _tls_problem(url: sa.URL, number: int, error: BaseException | None) -> tls.Problem | None:
    if number == TLS_WANTED:
        return tls.Problem("it takes nobody without TLS", "add ssl_ca=FILE to database.url")
    if number == NO_TLS:
        return tls.NO_TLS._replace(hint="is TLS on there? The URL asks for it (ssl_…)")
    cause = getattr(error, "original_exception", None)
    if not isinstance(cause, ssl.SSLError):
        return None
    ca, certificate = (
        Path(str(url.query[name])) if name in url.query else None for name in ("ssl_ca", "ssl_cert")
    )
    ours = Material(ca, certificate, setting="ssl_ca of database.url")
    return tls.problem_of(cause, str(url.host), ours)


def _is_pymysql(url: sa.URL) -> bool:
    return url.get_backend_name() in ("mysql", "mariadb") and url.get_driver_name() == "pymysql"
