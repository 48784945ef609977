"""What is wrong with TLS to a service, in one sentence: against real servers that shake hands."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives import serialization

from clickstream import config
from clickstream.clients import tls
from clickstream.clients.tls import Material
from clickstream.errors import UsageError
from tests.certificates import Authority
from tests.tls_server import HOST, Answer, serving, shaking


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "other-ca")


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], int]]:
    with ExitStack() as running:
        yield lambda answer: running.enter_context(serving(answer))


def test_a_server_that_can_be_trusted(authority, serve):
    port = serve(shaking(authority.issue("good")))
    assert tls.problem(HOST, port, Material(authority.ca)) is None
    assert tls.spoken(HOST, port)


def test_a_certificate_may_be_trusted_itself(authority, serve):
    good = authority.issue("good")
    port = serve(shaking(good))
    assert tls.problem(HOST, port, Material(good.certificate)) is None
    other = authority.issue("another")
    assert "was not issued by" in tls.problem(HOST, port, Material(other.certificate)).reason


@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        ({"days": (-20, -1)}, "its certificate has expired"),
        ({"days": (2, 20)}, "its certificate is not valid yet"),
        ({"names": ("elsewhere.example",)}, f"its certificate is not for {HOST}"),
        ({"names": ("127.0.0.2", "localhost")}, f"its certificate is not for {HOST}"),
    ],
)
def test_a_certificate_that_is_not_right(authority, serve, issued, reason):
    port = serve(shaking(authority.issue("server", **issued)))
    assert tls.problem(HOST, port, Material(authority.ca)).reason == reason
    assert tls.spoken(HOST, port)


def test_a_name_that_is_not_checked(authority, serve):
    port = serve(shaking(authority.issue("server", names=("elsewhere.example",))))
    assert tls.problem(HOST, port, Material(authority.ca), check_name=False) is None


def test_a_certificate_of_another_authority(authority, other, serve):
    port = serve(shaking(other.issue("stranger")))
    told = tls.problem(HOST, port, Material(authority.ca, setting="flume.collector_ca"))
    assert told.reason == f"its certificate was not issued by {authority.ca}"
    assert told.hint.startswith("flume.collector_ca names")
    assert "this machine trusts" in tls.problem(HOST, port, Material()).reason


def test_what_openssl_says_of_a_certificate_that_is_wrong_in_another_way():
    error = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    error.verify_code, error.verify_message = 92, "CA cert does not include key usage extension"
    told = tls.problem_of(error, HOST, Material())
    assert told.reason.endswith("is not taken: CA cert does not include key usage extension")


def test_a_server_that_asks_for_our_certificate(authority, other, serve):
    port = serve(shaking(authority.issue("server"), clients=authority))
    ours = authority.issue("ours")
    assert tls.problem(HOST, port, Material(authority.ca, *ours)) is None
    assert (
        "asks for a certificate of ours" in tls.problem(HOST, port, Material(authority.ca)).reason
    )
    strange = other.issue("strange")
    told = tls.problem(HOST, port, Material(authority.ca, *strange))
    assert told.reason == f"it does not take our certificate {strange.certificate}"
    assert tls.spoken(HOST, port)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x04\0\0\0\0", b""]
)
def test_a_server_without_tls(authority, serve, answer):
    def plain(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answer)

    port = serve(plain)
    assert tls.problem(HOST, port, Material(authority.ca)) == tls.NO_TLS
    assert not tls.spoken(HOST, port)


def test_a_server_that_says_nothing(authority, serve, monkeypatch):
    monkeypatch.setattr(tls, "TIMEOUT_S", 0.2)
    port = serve(lambda connection: connection.recv(10_000) and connection.recv(1))
    assert tls.problem(HOST, port, Material(authority.ca)) == tls.SILENT
    assert not tls.spoken(HOST, port)


def test_no_server(authority):
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    told = tls.problem(HOST, port, Material(authority.ca))
    assert told.reason == "it does not answer (Connection refused)"
    assert not told.answers
    assert not tls.spoken(HOST, port)


def settings_of(tmp_path, **files):
    flags = {f"tls.{key}": str(file) for key, file in files.items()}
    return config.load(home=tmp_path, flags=flags)


def test_the_files_of_the_configuration(authority, tmp_path):
    ours = authority.issue("ours")
    settings = settings_of(tmp_path, ca=authority.ca, certificate=ours.certificate, key=ours.key)
    assert tls.material(settings) == Material(authority.ca, ours.certificate, ours.key)
    assert tls.material(settings_of(tmp_path)) == Material()


def test_a_relative_file_lies_in_the_home(authority, tmp_path):
    (tmp_path / "ca.pem").write_text(authority.ca.read_text())
    assert tls.material(settings_of(tmp_path, ca="ca.pem")).ca == tmp_path / "ca.pem"


def test_a_file_that_is_not_there_or_holds_no_certificate(authority, tmp_path):
    with pytest.raises(UsageError, match=r"tls\.ca: there is no file /no/ca\.pem"):
        tls.material(settings_of(tmp_path, ca="/no/ca.pem"))
    with pytest.raises(UsageError, match="holds no certificate in PEM"):
        tls.material(settings_of(tmp_path, ca=authority.issue("ours").key))


def test_a_key_alone_is_refused(tmp_path):
    with pytest.raises(UsageError, match="come together"):
        settings_of(tmp_path, key="/key.pem")


def test_a_key_that_others_may_read_or_that_is_none(authority, tmp_path):
    ours, another = authority.issue("ours"), authority.issue("another")
    pair = {"certificate": ours.certificate, "key": ours.key}
    ours.key.chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        tls.material(settings_of(tmp_path, **pair))
    ours.key.chmod(0o600)
    with pytest.raises(UsageError, match="is not the key of"):
        tls.material(settings_of(tmp_path, **pair | {"key": another.key}))
    ours.key.write_text(ours.key.read_text() + "tail")
    assert tls.material(settings_of(tmp_path, **pair)).key == ours.key


def test_a_key_that_java_could_not_read(authority, tmp_path):
    """SEC 1, as older versions of openssl write it."""
    ours = authority.issue("ours")
    key = serialization.load_pem_private_key(ours.key.read_bytes(), None)
    older = serialization.PrivateFormat.TraditionalOpenSSL
    unencrypted = serialization.NoEncryption()
    ours.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, older, unencrypted))
    with pytest.raises(UsageError, match="is not PKCS#8") as told:
        tls.material(settings_of(tmp_path, certificate=ours.certificate, key=ours.key))
    assert told.value.hint.startswith(f"openssl pkcs8 -topk8 -nodes -in {ours.key}")
