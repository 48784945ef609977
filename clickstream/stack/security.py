"""What a secured local stack is made of: an authority, certificates, and a password for each user.

Made once, at the first `stack up --secure` of a home, below `<home>/security`. The authority's key
is not kept: nobody can issue another certificate that the clients of this home would trust.
"""

import datetime
import ipaddress
import secrets
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from clickstream.clients.endpoints import LOOPBACK
from clickstream.config.secured import READER, USER
from clickstream.home import Home, write_atomic

ADMINISTRATOR = "administrator"
SERVERS = ("kafka", "cassandra", "mariadb", "collector")
YEARS = 10
HOURS_BEFORE = 24  # a clock elsewhere may be behind ours


class _Authority(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make(home: Home) -> None:
    """Make everything, the authority's certificate last: with it the home is secured."""
    authority = _authority()
    ca = _pem(authority.certificate)
    for name in SERVERS:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _pem(_issued(authority, key, name))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        _write(home, f"{name}.key", private)
        _write(home, f"{name}.pem", certificate)
        _write(home, f"{name}.store", private + certificate + ca)
    for user in (ADMINISTRATOR, USER, READER):
        _write(home, f"{user}.password", secrets.token_urlsafe(24) + "\n")
    _write(home, "ca.pem", ca)


def password(home: Home, user: str) -> str:
    """The password of a user of the stack."""
    return home.security(f"{user}.password").read_text().strip()


def _write(home: Home, name: str, text: str) -> None:
    write_atomic(home.security(name), text, private=True)


def _authority() -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("clickstream local stack")
    use = x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(use, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _Authority(key, made.sign(key, hashes.SHA256()))


def _issued(authority: _Authority, key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    """A certificate of loopback, for a server and for a client (Kafka's controller is both)."""
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    made = (
        _builder(authority.certificate.subject, _name(name), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(issuer, critical=False)
    )
    return made.sign(authority.key, hashes.SHA256())


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=HOURS_BEFORE),
        not_valid_after=now + datetime.timedelta(days=365 * YEARS),
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
