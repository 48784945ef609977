"""Kerberos at HDFS: what each client is told of it, and what is wrong before anything starts."""

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from clickstream.clients import gssapi, keytab
from clickstream.clients.gssapi import GssError, Login
from clickstream.config import secrets
from clickstream.days import duration
from clickstream.errors import ClickstreamError, NotRunning, UsageError
from clickstream.home import PRIVATE_DIRECTORY

if TYPE_CHECKING:
    from clickstream.clients.spnego import Negotiation
    from clickstream.config import Settings

CONF_DIR = "HADOOP_CONF_DIR"
SITES = ("core-site.xml", "hdfs-site.xml")
AUTHENTICATION = "hadoop.security.authentication"
INCLUDE, UNKNOWN = "{http://www.w3.org/2001/XInclude}include", ""
KRB5_CONF = Path("/etc/krb5.conf")
SKEW_S = 300
"""How far two clocks may be apart: the default of MIT's, Java's and Hadoop's."""

TIME_SERVER = "let each machine ask a time server (NTP)"

# Of MIT's sentences: what each means for us, and what to do.
REFUSALS: tuple[tuple[str, type[ClickstreamError], str, str], ...] = (
    (
        r"Cannot find KDC for realm \"(.+?)\"",
        UsageError,
        "no KDC of the realm {} is known",
        "is the realm in hdfs.principal right, and hdfs.krb5_conf that of the cluster?",
    ),
    (
        r"Cannot (?:contact any KDC for realm|resolve network address for KDC in realm) '(.+?)'",
        NotRunning,
        "no KDC of the realm {} answers, and there is no ticket that is still good",
        "is the KDC of krb5.conf up, and the way there open?",
    ),
    (
        r"Client '?.*?'? not found in Kerberos database",
        ClickstreamError,
        "the KDC knows no {principal}",
        "is hdfs.principal right? who runs the KDC can say",
    ),
    (
        r"Preauthentication failed|Password incorrect|Decrypt integrity check failed",
        ClickstreamError,
        "the KDC does not take the key of {principal} in {keytab}",
        "a newer key was made: ask for a new keytab",
    ),
    (
        r"Clock skew too great",
        ClickstreamError,
        "our clock and that of the KDC are too far apart for Kerberos",
        TIME_SERVER,
    ),
    (
        r"Server (\S+) not found in Kerberos database",
        UsageError,
        "the KDC knows no {}",
        "hdfs.web must have the host name of the NameNode's principal, no address and no alias",
    ),
    (
        r"Ticket expired",
        ClickstreamError,
        "the ticket of {principal} has expired, and no new one came",
        "is the KDC up, and do its clock and ours agree?",
    ),
    (
        r"no support for encryption type|[Bb]ad encryption type|supported encryption types",
        ClickstreamError,
        "the KDC takes no key of the kinds in {keytab}",
        "ask for a keytab with aes256-cts-hmac-sha1-96",
    ),
)


def on(settings: "Settings") -> bool:
    """Tell whether HDFS is asked with Kerberos: it is where there is a principal."""
    return bool(settings.hdfs.principal)


def conf_dir(settings: "Settings") -> Path | None:
    """The cluster's own client configuration: `hdfs.conf_dir`, else HADOOP_CONF_DIR, else None."""
    if file := settings.hdfs.conf_dir:
        return settings.files.configured(file)
    named = os.environ.get(CONF_DIR)
    return Path(named) if named else None


def class_path(settings: "Settings", classes: str) -> str:
    """The class path of a Java client of HDFS: the cluster's own configuration goes first."""
    directory = conf_dir(settings)
    return f"{directory}:{classes}" if directory else classes


def java_options(settings: "Settings") -> tuple[str, ...]:
    """What a Java client is told; nothing where it finds /etc/krb5.conf by itself."""
    if not (on(settings) and settings.hdfs.krb5_conf):
        return ()
    return (f"-Djava.security.krb5.conf={_krb5_conf(settings)}",)


def user_env(settings: "Settings") -> dict[str, str]:
    """The variable that tells a Java client who we are, `hdfs.user`: counts without Kerberos."""
    user = settings.hdfs.user
    return {"HADOOP_USER_NAME": user} if user else {}


def tools_env(settings: "Settings") -> dict[str, str]:
    """The variables with which Hadoop's own tools log in, or say who we are, by themselves.

    Not for Spark: its driver fails with those of Kerberos.
    """
    if not on(settings):
        return user_env(settings)
    return {"KRB5PRINCIPAL": settings.hdfs.principal, "KRB5KEYTAB": str(_keytab(settings))}


def require(settings: "Settings") -> None:
    """Have a ticket; nothing without Kerberos. Asked before anything starts.

    Raises UsageError where a file is not as it must be, ClickstreamError where the KDC does not
    let us in or a clock is off, NotRunning where no KDC answers.
    """
    if not on(settings):
        return
    require_files(settings)
    login = _login(settings)
    _log_in(settings, login)
    if abs(keytab.kdc_ahead_s(login.tickets)) > SKEW_S:
        login.tickets.unlink(missing_ok=True)  # the clock may have been put right since
        _log_in(settings, login)
    require_same_time("the KDC", keytab.kdc_ahead_s(login.tickets))


def require_files(settings: "Settings") -> None:
    """Raise UsageError where the keytab, the cluster's configuration or krb5.conf will not do."""
    _require_keytab(settings)
    _require_conf(settings)
    path = _krb5_conf(settings)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "hdfs.krb5_conf names that of the realm")
    try:
        gssapi.library()
    except (OSError, AttributeError):
        raise UsageError(
            f"Kerberos needs {gssapi.LIBRARY}, and this machine has none",
            "install it: apt-get install libgssapi-krb5-2, or dnf install krb5-libs",
        ) from None


def require_same_time(whose: str, ahead_s: float) -> None:
    """Raise ClickstreamError where a clock is further ahead of ours, or behind, than is taken."""
    if abs(ahead_s) > SKEW_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        raise ClickstreamError(
            f"the clock of {whose} is {duration(round(abs(ahead_s)))} {side} ours, and Kerberos"
            f" takes {duration(SKEW_S)} at most",
            TIME_SERVER,
        )


def negotiate(settings: "Settings") -> "Negotiation":
    """A login by SPNEGO, as a session of requests takes it for its `auth`."""
    from clickstream.clients.spnego import Negotiation

    return Negotiation(partial(_token, settings))


def _log_in(settings: "Settings", login: Login) -> None:
    try:
        gssapi.log_in(login)
    except GssError as error:
        raise refusal(str(error), settings) from None


def _token(settings: "Settings", host: str) -> str:
    try:
        return gssapi.token(_login(settings), host)
    except GssError as error:
        raise refusal(str(error), settings) from None


def refusal(text: str, settings: "Settings") -> ClickstreamError:
    """What Kerberos has said, as a sentence with what to do."""
    given = {"principal": settings.hdfs.principal, "keytab": _keytab(settings)}
    for pattern, kind, sentence, hint in REFUSALS:
        if found := re.search(pattern, text):
            return kind(sentence.format(*found.groups(), **given), hint.format(**given))
    return ClickstreamError(f"Kerberos refuses {settings.hdfs.principal}: {text}")


def _login(settings: "Settings") -> Login:
    if settings.hdfs.krb5_conf:
        # The library reads it anew at each call; there is no other way to tell it.
        os.environ["KRB5_CONFIG"] = str(_krb5_conf(settings))
    tickets = settings.files.tickets(settings.hdfs.principal)
    tickets.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
    return Login(settings.hdfs.principal, _keytab(settings), tickets)


def _require_keytab(settings: "Settings") -> None:
    """A ticket that is still good would hide for hours that there is none."""
    path, principal = _keytab(settings), settings.hdfs.principal
    secrets.require_private(path, "hdfs.keytab")
    try:
        held = keytab.principals(path)
    except OSError as error:
        raise UsageError(f"hdfs.keytab: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"hdfs.keytab: {path} is no keytab") from None
    if principal not in held:
        others = ", ".join(sorted(held)) or "nobody"
        raise UsageError(
            f"hdfs.keytab: {path} has no key of {principal}, but of {others}",
            "is hdfs.principal right? names and realms tell capitals from small letters",
        )


def _require_conf(settings: "Settings") -> None:
    """Hadoop's own clients read of Kerberos only what stands in these files."""
    directory = conf_dir(settings)
    if directory is None:
        raise UsageError(
            "hdfs.principal is set, and the cluster's configuration is not known",
            "name the directory of its core-site.xml and hdfs-site.xml with hdfs.conf_dir",
        )
    core, _ = (_site(directory / name) for name in SITES)
    values = {each.findtext("name"): each.findtext("value", "") for each in core.iter("property")}
    says = values.get(AUTHENTICATION, UNKNOWN if core.find(INCLUDE) is not None else "simple")
    if says.strip() not in ("kerberos", UNKNOWN):
        raise UsageError(
            f"{directory / SITES[0]} says {AUTHENTICATION} = {says.strip()}",
            "hdfs.conf_dir must have the files of the cluster with Kerberos",
        )


def _site(path: Path) -> ElementTree.Element:
    """A site file of Hadoop's; raises UsageError where it cannot be read."""
    try:
        return ElementTree.parse(path).getroot()  # noqa: S314 - of whoever runs the cluster
    except (OSError, ElementTree.ParseError) as error:
        reason = getattr(error, "strerror", None) or "it is not XML"
        raise UsageError(f"hdfs.conf_dir: {path} cannot be read: {reason}") from None


def _keytab(settings: "Settings") -> Path:
    return settings.files.configured(settings.hdfs.keytab)


def _krb5_conf(settings: "Settings") -> Path:
    file = settings.hdfs.krb5_conf
    return settings.files.configured(file) if file else KRB5_CONF
