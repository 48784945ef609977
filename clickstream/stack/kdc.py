"""The KDC of a local stack with Kerberos: one realm, whose keys are made once with the home.

Kerby, Hadoop's own choice for tests, has no database: it is told principals and keys at each start,
from a keytab. So tickets stay good while the stack is away.
"""

import secrets
import struct
from collections.abc import Mapping, Sequence

from clickstream.clients.endpoints import KERBEROS_HOST, LOOPBACK
from clickstream.config.secured import KEYTAB, PRINCIPAL, REALM
from clickstream.home import Home, write_atomic
from clickstream.runtime import jars
from clickstream.runtime.render import configs, render

NAME = "kdc"
HEAP_MB = 64
TICKET_SECONDS = 86_400
NAMENODE, DATANODE, WEB = (f"{name}/{KERBEROS_HOST}@{REALM}" for name in ("nn", "dn", "HTTP"))
SERVICES_KEYTAB = "hdfs.keytab"
_KDC_KEYTAB = "kdc.keytab"
_COMPILER = "org.codehaus.janino.SimpleCompiler"
# Of RFC 3962 and of the keytab's format, version 2, as MIT documents it.
_AES256, _KEY_BYTES, _FORMAT, _NT_PRINCIPAL, _KVNO = 18, 32, b"\x05\x02", 1, 1


def make(home: Home) -> None:
    """Make the keys of every principal, the client's keytab last: with it the home has Kerberos."""
    services = (NAMENODE, DATANODE, WEB)
    keys = {
        name: secrets.token_bytes(_KEY_BYTES)
        for name in (f"krbtgt/{REALM}@{REALM}", *services, PRINCIPAL)
    }
    held = {
        _KDC_KEYTAB: keys,
        SERVICES_KEYTAB: {name: keys[name] for name in services},
        KEYTAB: {PRINCIPAL: keys[PRINCIPAL]},
    }
    for name, part in held.items():
        write_atomic(home.security(name), keytab(part), private=True)


def keytab(keys: Mapping[str, bytes]) -> bytes:
    """A keytab with a key (AES-256) of each principal."""
    return _FORMAT + b"".join(_entry(principal, key) for principal, key in keys.items())


def krb5_conf(port: int) -> str:
    """What clients of the KDC on this port are told of it."""
    return render(
        "kerberos/krb5.conf",
        realm=REALM,
        kdc=f"{LOOPBACK}:{port}",
        ticket_seconds=TICKET_SECONDS,
    )


def arguments(home: Home, port: int, work: str) -> Sequence[str]:
    """What Java runs; Kerby writes a file into the directory `work`."""
    return (
        *("-cp", jars.classpath(NAME), _COMPILER),
        *(str(configs() / "kerberos" / "Kdc.java"), "Kdc", REALM, str(port)),
        *(str(home.security(_KDC_KEYTAB)), work, str(TICKET_SECONDS)),
    )


def _entry(principal: str, key: bytes) -> bytes:
    name, _, realm = principal.partition("@")
    parts = name.split("/")
    texts = b"".join(_counted(text.encode()) for text in (realm, *parts))
    made_at = 0
    entry = (
        struct.pack(">H", len(parts))
        + texts
        + struct.pack(">IIBH", _NT_PRINCIPAL, made_at, _KVNO, _AES256)
        + _counted(key)
    )
    return struct.pack(">i", len(entry)) + entry


def _counted(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content
