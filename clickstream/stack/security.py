"""What a secured local stack is made of: an authority, certificates, passwords, Kerberos' keys.

Made once, at the first `stack up --secure` of a home, below `<home>/security`. The authority's key
is not kept: nobody can issue another certificate that the clients of this home would trust.
"""

import secrets

from clickstream.config.secured import READER, USER
from clickstream.home import Home, write_atomic
from clickstream.stack import kdc

ADMINISTRATOR = "administrator"
SERVERS = ("kafka", "cassandra", "mariadb", "collector")
WEB = "hdfs"
WEB_SECRET = "hdfs-web.secret"  # noqa: S105 - its name


def make(home: Home, kerberos: bool = False) -> None:
    """Make everything, the authority's certificate last: with it the home is secured."""
    from clickstream.stack.authority import Authority

    authority = Authority("clickstream local stack")
    for name in (*SERVERS, *([WEB] if kerberos else [])):
        issued = authority.issue(name)
        _write(home, f"{name}.pem", issued.certificate)
        _write(home, f"{name}.key", issued.key)
        _write(home, f"{name}.store", issued.key + issued.certificate + authority.certificate)
    for user in (ADMINISTRATOR, USER, READER):
        _write(home, f"{user}.password", secrets.token_urlsafe(24) + "\n")
    if kerberos:
        _write(home, WEB_SECRET, secrets.token_urlsafe(24) + "\n")
        kdc.make(home)
    _write(home, "ca.pem", authority.certificate)


def password(home: Home, user: str) -> str:
    """The password of a user of the stack."""
    return home.security(f"{user}.password").read_text().strip()


def _write(home: Home, name: str, text: str) -> None:
    write_atomic(home.security(name), text, private=True)
