"""TLS to a service: whom we trust, who we are, and what is wrong where a handshake fails.

The clients of Kafka, Cassandra and Flume say little or nothing of why they were not let in (a
plaintext producer on a TLS port kills its agent). `problem` shakes hands itself, before any login.
"""

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clickstream.config import secrets
from clickstream.errors import UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings

TIMEOUT_S = 5
# With TLS 1.3 a server refuses our certificate, or that there is none, only after the handshake.
REFUSAL_S = 0.5
# Of OpenSSL's verification.
EXPIRED, NOT_YET_VALID, WRONG_NAME, WRONG_ADDRESS = 10, 9, 62, 64
UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
PKCS8 = "-----BEGIN PRIVATE KEY-----"


class Material(NamedTuple):
    """Files in PEM: whom we trust (None: the machine's authorities), our certificate and key.

    `setting` is the one that names `ca`.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    setting: str = "tls.ca"

    def context(self, check_name: bool = True) -> ssl.SSLContext:
        """As Python's clients take it; `check_name` is false where the names differ knowingly."""
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = check_name
        # `ca` may be a service's own certificate, as Java takes it, too.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key, password="")
        return context


class Problem(NamedTuple):
    """Why there is no TLS with a service, and what to do; `answers`: it said anything at all."""

    reason: str
    hint: str
    answers: bool = True


OTHER_NAME = "its certificate is not for"
NO_TLS = Problem("it does not speak TLS", "is that the right port, and is TLS on there?")
SILENT = Problem(
    "it takes a connection, but does not answer a TLS handshake",
    "is that the right port, and is TLS on there?",
    answers=False,
)


def material(settings: "Settings") -> Material:
    """The files of `[tls]`; raises UsageError where one is missing or is none.

    The key is refused where others may read it.
    """
    ca, certificate, key = (
        settings.files.configured(file) if file else None
        for file in (settings.tls.ca, settings.tls.certificate, settings.tls.key)
    )
    if ca:
        require_certificate(ca, "tls.ca")
    if certificate and key:
        require_pair(certificate, key, "tls.certificate", "tls.key")
    return Material(ca, certificate, key)


def require_certificate(path: Path, setting: str) -> None:
    """Raise UsageError where a setting names a file without a certificate."""
    if not path.is_file():
        raise UsageError(f"{setting}: there is no file {path}")
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise UsageError(f"{setting}: {path} holds no certificate in PEM") from None
    except OSError as error:
        raise UsageError(f"{setting}: {path} cannot be read: {error.strerror}") from None


def require_pair(certificate: Path, key: Path, *named: str) -> None:
    """Raise UsageError unless two settings name a certificate and its key, which is ours alone."""
    require_certificate(certificate, named[0])
    secrets.require_private(key, named[1])
    try:
        Material(None, certificate, key).context()
    except (ssl.SSLError, OSError, ValueError):
        raise UsageError(
            f"{named[1]}: {key} is not the key of {certificate}, or it has a password"
        ) from None
    if PKCS8 not in key.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(
            f"{named[1]}: {key} is not PKCS#8, the only form that Java reads",
            f"openssl pkcs8 -topk8 -nodes -in {key} -out NEW",
        )


def problem(host: str, port: int, ours: Material, check_name: bool = True) -> Problem | None:
    """Why there is no TLS with a server; None where there is. Asked before any login."""
    try:
        plain = socket.create_connection((host, port), TIMEOUT_S)
    except OSError as error:
        return Problem(f"it does not answer ({error.strerror or error})", "is it up?", False)
    with plain:
        return _handshake(plain, host, ours, check_name)


def valid_until(host: str, port: int, ours: Material, check_name: bool = True) -> float:
    """Epoch seconds until which a server's certificate is valid; asked where there is no `problem`.

    Raises OSError where the handshake fails by now.
    """
    with (
        socket.create_connection((host, port), TIMEOUT_S) as plain,
        ours.context(check_name).wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        certificate = wrapped.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))


def problem_of(error: ssl.SSLError, host: str, ours: Material) -> Problem:
    """What an error of a handshake says of a server; also of one that a client made itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, host, ours)
    return _broken_off(error, ours)


def spoken(host: str, port: int) -> bool:
    """Tell whether a server speaks TLS, whoever it is."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            anybody.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it wants a certificate, or another version of TLS
    except OSError:
        return False


def _handshake(plain: socket.socket, host: str, ours: Material, check_name: bool) -> Problem | None:
    try:
        with ours.context(check_name).wrap_socket(plain, server_hostname=host) as wrapped:
            return _refusal(wrapped, host, ours)
    except ssl.SSLError as error:
        return problem_of(error, host, ours)
    except TimeoutError:
        return SILENT
    except OSError:
        return NO_TLS


def _refusal(wrapped: ssl.SSLSocket, host: str, ours: Material) -> Problem | None:
    """Whether a server lets us stay: one that does is silent, for it is our turn to speak."""
    wrapped.settimeout(REFUSAL_S)
    try:
        wrapped.recv(1)
    except ssl.SSLError as error:
        return problem_of(error, host, ours)
    except OSError:
        pass
    return None


def _untrusted(error: ssl.SSLCertVerificationError, host: str, ours: Material) -> Problem:
    if error.verify_code == EXPIRED:
        return Problem("its certificate has expired", "it must be renewed there")
    if error.verify_code == NOT_YET_VALID:
        return Problem("its certificate is not valid yet", "is a clock wrong, there or here?")
    if error.verify_code in (WRONG_NAME, WRONG_ADDRESS):
        return Problem(f"{OTHER_NAME} {host}", "name the service as its certificate does")
    if error.verify_code not in UNKNOWN_AUTHORITY:
        return Problem(f"its certificate is not taken: {error.verify_message}", "")
    known = ours.ca or "an authority that this machine trusts"
    return Problem(
        f"its certificate was not issued by {known}",
        f"{ours.setting} names the certificate of the authority that issued it",
    )


def _broken_off(error: ssl.SSLError, ours: Material) -> Problem:
    reason = error.reason or ""
    if "ALERT" not in reason:
        return NO_TLS
    if "CERTIFICATE" not in reason and "CA" not in reason.split("_"):
        return Problem(f"it breaks the TLS handshake off ({reason})", "its log says why")
    if ours.certificate is None:
        return Problem("it asks for a certificate of ours", "name it: tls.certificate and tls.key")
    return Problem(
        f"it does not take our certificate {ours.certificate}",
        "it must come from an authority that the service trusts",
    )
