"""Kerberos at HDFS: what each client is told of it, and what is wrong before anything starts."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests.auth import AuthBase

    from clickstream.config import Settings

CONF_DIR = "HADOOP_CONF_DIR"


def on(settings: "Settings") -> bool:
    """Tell whether HDFS is asked with Kerberos: it is where there is a principal."""
    return bool(settings.hdfs.principal)


def conf_dir(settings: "Settings") -> Path | None:
    """The cluster's own client configuration: `hdfs.conf_dir`, else HADOOP_CONF_DIR, else None."""
    if file := settings.hdfs.conf_dir:
        return settings.files.configured(file)
    named = os.environ.get(CONF_DIR)
    return Path(named) if named else None


def java_options(settings: "Settings") -> tuple[str, ...]:
    """What a Java client is told; nothing where it finds /etc/krb5.conf by itself."""
    if not (on(settings) and settings.hdfs.krb5_conf):
        return ()
    return (f"-Djava.security.krb5.conf={settings.files.configured(settings.hdfs.krb5_conf)}",)


def tools_env(settings: "Settings") -> dict[str, str]:
    """The variables with which Hadoop's own tools log in by themselves.

    Not for Spark: its driver fails with them.
    """
    if not on(settings):
        return {}
    keytab = settings.files.configured(settings.hdfs.keytab)
    return {"KRB5PRINCIPAL": settings.hdfs.principal, "KRB5KEYTAB": str(keytab)}


def require(settings: "Settings") -> None:
    """Raise UsageError or ClickstreamError where a login will not do; nothing without Kerberos."""


def negotiate(settings: "Settings") -> "AuthBase":
    """A login by SPNEGO for a session of requests."""
    raise NotImplementedError
