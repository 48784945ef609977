"""Files of Kerberos for tests: keytabs (MIT's format 2), krb5.conf, a cluster's configuration."""

import struct
from pathlib import Path

from clickstream.home import write_atomic
from clickstream.stack import kdc

HOLE = struct.pack(">i", -12) + bytes(12)
KDC = "127.0.0.1:1"
SITE = "<configuration>{}</configuration>"
KERBEROS = "<property><name>hadoop.security.authentication</name><value>kerberos</value></property>"


def write_keytab(path: Path, *principals: str) -> Path:
    """A keytab with a key for each principal, and the room of one that was removed before each."""
    content = kdc.keytab({})
    for principal in principals:
        content += HOLE + kdc.keytab({principal: bytes(32)}).removeprefix(kdc.keytab({}))
    write_atomic(path, content, private=True)
    return path


def write_krb5_conf(path: Path, realm: str, kdc: str = KDC) -> Path:
    """A krb5.conf that knows a realm, and asks no DNS for others."""
    write_atomic(
        path,
        f"[libdefaults]\n default_realm = {realm}\n dns_lookup_kdc = false\n"
        " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n"
        f"[realms]\n {realm} = {{\n  kdc = {kdc}\n }}\n",
    )
    return path


def write_conf_dir(path: Path, core: str = KERBEROS) -> Path:
    """The two site files of a cluster."""
    write_atomic(path / "core-site.xml", SITE.format(core))
    write_atomic(path / "hdfs-site.xml", SITE.format(""))
    return path
