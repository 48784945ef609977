"""The machine's certificate authorities as a Java key store."""

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
    store = trust.key_store(DERS)
    assert store[:12] == bytes.fromhex("feedfeed 00000002 00000002")
    assert all(der in store for der in DERS)
    signed = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + store[:-20]
    assert store[-20:] == hashlib.sha1(signed).digest()


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
    assert (tmp_path / "trust.jks").read_bytes() == trust.key_store(DERS)
