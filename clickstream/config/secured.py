"""What a local stack with TLS and logins asks of its clients, as settings of a home.

Where it has Kerberos, HDFS is among its services.
"""

from pathlib import Path
from typing import Any

from clickstream.config.layers import Tree
from clickstream.home import Home

USER, READER = "clickstream", "clickstream_reader"
REALM = "CLICKSTREAM.LOCAL"
PRINCIPAL, KEYTAB = f"{USER}@{REALM}", f"{USER}.keytab"


def tree(home: Home, given: Tree) -> Tree:
    """The settings for those services that run here; empty where the home's stack is not secured.

    `given` is what the other sources say: a service that they place elsewhere is left to them.
    """
    if not home.is_secured:
        return {}
    found: Tree = {"tls": {"ca": str(home.security("ca.pem"))}}
    if has_kerberos(home) and not (_of(given, "hdfs", "url") or _of(given, "hdfs", "web")):
        found["hdfs"] = {
            "principal": PRINCIPAL,
            "keytab": str(home.security(KEYTAB)),
            "conf_dir": str(hadoop_conf(home)),
            "krb5_conf": str(home.security("krb5.conf")),
        }
    if not _of(given, "kafka", "bootstrap"):
        found["kafka"] = {"security": "SASL_SSL", "username": USER} | _password(home, USER)
    if not _of(given, "cassandra", "hosts"):
        found["cassandra"] = {
            "tls": True,
            "username": USER,
            "reader_username": READER,
            **_password(home, USER),
            **_password(home, READER, "reader_"),
        }
    if not _of(given, "flume", "collector_host"):
        found["flume"] = {
            "collector_tls": True,
            "collector_certificate": str(home.security("collector.pem")),
            "collector_key": str(home.security("collector.key")),
        }
    return found


def has_kerberos(home: Home) -> bool:
    """True where the local stack of the home was made with Kerberos."""
    return home.is_secured and home.security(KEYTAB).is_file()


def hadoop_conf(home: Home) -> Path:
    """The directory of what clients of the local HDFS are told of it."""
    return home.security("hadoop")


def _of(tree: Tree, section: str, name: str) -> Any:
    return tree.get(section, {}).get(name)


def _password(home: Home, user: str, prefix: str = "") -> Tree:
    return {f"{prefix}password_file": str(home.security(f"{user}.password"))}
