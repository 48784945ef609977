"""Certificates and keys as Java key stores."""

import hashlib
import ssl
from pathlib import Path

import pytest

from clickstream.runtime import trust

DERS = [b"first certificate", b"second \x00 certificate" * 40]


def test_a_pem_bundle_with_comments_gives_its_certificates() -> None:
    pem = "# authorities\n" + "\n# next\n".join(ssl.DER_cert_to_PEM_cert(der) for der in DERS)
    assert trust.certificates(pem) == DERS


def test_a_cut_bundle_gives_what_is_whole() -> None:
    pem = "".join(ssl.DER_cert_to_PEM_cert(der) for der in DERS)
    assert trust.certificates(pem[:-30]) == DERS[:1]


def test_a_key_store_counts_holds_and_signs_its_certificates() -> None:
    store = trust.trust_store(DERS)
    assert store[:12] == bytes.fromhex("feedfeed 00000002 00000002")
    assert all(der in store for der in DERS)
    signed = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(signed).digest()


@pytest.mark.parametrize("size", [10, 121, 300, 2400])
def test_a_key_store_gives_the_key_back(size: int) -> None:
    """As Java reads it: the salt, the hidden key, a digest of the key."""
    key = bytes(i % 251 for i in range(size))
    store = trust.key_store(key, DERS)
    assert all(der in store for der in DERS)
    assert key not in store
    start = store.index(trust.PROTECTION) + len(trust.PROTECTION)
    length = store[start + 1]
    start += 2 + (length & 0x7F if length & 0x80 else 0)
    salt, hidden = store[start : start + 20], store[start + 20 : start + 20 + size]
    password, block, stream = "changeit".encode("utf-16-be"), salt, b""
    while len(stream) < size:
        block = hashlib.sha1(password + block).digest()
        stream += block
    assert bytes(a ^ b for a, b in zip(hidden, stream, strict=False)) == key
    assert store[start + 20 + size :][:20] == hashlib.sha1(password + key).digest()


def test_a_key_in_pem() -> None:
    pem = ssl.DER_cert_to_PEM_cert(b"key").replace("CERTIFICATE", "PRIVATE KEY")
    assert trust.private_key("Bag Attributes\n" + pem) == b"key"


def test_a_java_of_the_machine_keeps_its_own_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "from_wheel", lambda: False)
    assert trust.options(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_the_java_of_the_wheel_is_given_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("".join(ssl.DER_cert_to_PEM_cert(der) for der in DERS))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setattr(trust, "from_wheel", lambda: True)
    assert f"-Djavax.net.ssl.trustStore={tmp_path / 'trust.jks'}" in trust.options(tmp_path)
    assert (tmp_path / "trust.jks").read_bytes() == trust.trust_store(DERS)
