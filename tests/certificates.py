"""Certificates for tests, from the standard library alone: P-256, as PEM, keys as PKCS#8.

An `Authority` issues what a test needs: expired, for another name, from another authority. Good
for tests only: the arithmetic takes a time that depends on the key.
"""

import base64
import datetime
import hashlib
import ipaddress
import secrets
import textwrap
from pathlib import Path
from typing import NamedTuple

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
NAMES = ("localhost", "127.0.0.1")
ECDSA_SHA256, EC_KEY, P256 = "1.2.840.10045.4.3.2", "1.2.840.10045.2.1", "1.2.840.10045.3.1.7"
COMMON_NAME = "2.5.4.3"
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
SUBJECT_KEY, KEY_USAGE, ALT_NAME, CONSTRAINTS, AUTHORITY_KEY, EXTENDED_USAGE = (
    f"2.5.29.{number}" for number in (14, 15, 17, 19, 35, 37)
)
DAY = datetime.timedelta(days=1)

Point = tuple[int, int]


class Identity(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    @property
    def store(self) -> Path:
        """Key, certificate and that of its authority in one file, as Java takes PEM."""
        return self.certificate.with_suffix(".store.pem")


class Authority:
    """A certificate authority, whose own certificate is the file `ca`."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / f"{name}.pem"
        self._directory = directory
        self._secret = _new_secret()
        self._name = _name(f"{name} of a test")
        public = _public(self._secret)
        extensions = [
            _extension(CONSTRAINTS, _tlv(0x30, _tlv(0x01, b"\xff")), critical=True),
            _extension(KEY_USAGE, _tlv(0x03, b"\x01\x06"), critical=True),
            _extension(SUBJECT_KEY, _tlv(0x04, _key_id(public))),
        ]
        life = _today() - DAY, _today() + 3650 * DAY
        self._pem = _pem("CERTIFICATE", self._signed(self._name, public, life, extensions))
        self.ca.write_text(self._pem)

    def issue(
        self, name: str, names: tuple[str, ...] = NAMES, days: tuple[int, int] = (-1, 365)
    ) -> Identity:
        """A certificate for these hosts and addresses, valid between these days from now."""
        secret = _new_secret()
        public = _public(secret)
        extensions = [
            _extension(CONSTRAINTS, _tlv(0x30, b""), critical=True),
            _extension(EXTENDED_USAGE, _tlv(0x30, _oid(SERVER_AUTH) + _oid(CLIENT_AUTH))),
            _extension(ALT_NAME, _tlv(0x30, b"".join(map(_alternative, names)))),
            _extension(SUBJECT_KEY, _tlv(0x04, _key_id(public))),
            _extension(AUTHORITY_KEY, _tlv(0x30, _tlv(0x80, _key_id(_public(self._secret))))),
        ]
        life = _today() + days[0] * DAY, _today() + days[1] * DAY
        certificate = _pem("CERTIFICATE", self._signed(_name(name), public, life, extensions))
        key = _pem("PRIVATE KEY", _pkcs8(secret, public))
        made = Identity(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        made.certificate.write_text(certificate)
        for path, text in ((made.key, key), (made.store, key + certificate + self._pem)):
            path.touch(mode=0o600)
            path.write_text(text)
        return made

    def _signed(self, subject: bytes, public: bytes, life, extensions: list[bytes]) -> bytes:
        algorithm = _tlv(0x30, _oid(ECDSA_SHA256))
        key = _tlv(0x30, _tlv(0x30, _oid(EC_KEY) + _oid(P256)) + _tlv(0x03, b"\0" + public))
        body = _tlv(
            0x30,
            _tlv(0xA0, _integer(2))
            + _integer(secrets.randbits(120) | 1)
            + algorithm
            + self._name
            + _tlv(0x30, b"".join(map(_time, life)))
            + subject
            + key
            + _tlv(0xA3, _tlv(0x30, b"".join(extensions))),
        )
        return _tlv(0x30, body + algorithm + _tlv(0x03, b"\0" + _signature(self._secret, body)))


def _new_secret() -> int:
    return secrets.randbelow(N - 1) + 1


def _add(left: Point | None, right: Point | None) -> Point | None:
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if left == right:
        slope = 3 * (x1 * x1 - 1) * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _times(factor: int) -> Point:
    """The curve's base point, so many times."""
    total, power = None, G
    while factor:
        if factor & 1:
            total = _add(total, power)
        factor, power = factor >> 1, _add(power, power)
    return total


def _public(secret: int) -> bytes:
    x, y = _times(secret)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _signature(secret: int, message: bytes) -> bytes:
    number = int.from_bytes(hashlib.sha256(message).digest(), "big")
    once = _new_secret()
    r = _times(once)[0] % N
    s = pow(once, -1, N) * (number + r * secret) % N
    return _tlv(0x30, _integer(r) + _integer(s))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(number: int) -> bytes:
    return _tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    return _tlv(0x06, bytes([40 * first + second]) + b"".join(map(_base128, rest)))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _name(common: str) -> bytes:
    return _tlv(0x30, _tlv(0x31, _tlv(0x30, _oid(COMMON_NAME) + _tlv(0x0C, common.encode()))))


def _alternative(name: str) -> bytes:
    try:
        return _tlv(0x87, ipaddress.ip_address(name).packed)
    except ValueError:
        return _tlv(0x82, name.encode())


def _extension(oid: str, content: bytes, critical: bool = False) -> bytes:
    return _tlv(0x30, _oid(oid) + _tlv(0x01, b"\xff") * critical + _tlv(0x04, content))


def _key_id(public: bytes) -> bytes:
    return hashlib.sha1(public).digest()


def _pkcs8(secret: int, public: bytes) -> bytes:
    own = _tlv(0x04, secret.to_bytes(32, "big")) + _tlv(0xA0, _oid(P256))
    own += _tlv(0xA1, _tlv(0x03, b"\0" + public))
    algorithm = _tlv(0x30, _oid(EC_KEY) + _oid(P256))
    return _tlv(0x30, _integer(0) + algorithm + _tlv(0x04, _tlv(0x30, _integer(1) + own)))


def _today() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _time(moment: datetime.datetime) -> bytes:
    return _tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _pem(kind: str, der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"
