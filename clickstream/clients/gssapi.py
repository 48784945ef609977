"""Logins and tokens by MIT's Kerberos library, called through ctypes: nothing has to be compiled.

The calls are those of RFC 2744, the mechanism is SPNEGO (RFC 4178); `gss_acquire_cred_from`, which
takes a keytab and a ticket cache by name, is MIT's own (since 1.11).
"""

import base64
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, byref, c_char_p, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

LIBRARY = "libgssapi_krb5.so.2"
_ERROR = 0xFFFF0000
_INITIATE = 1
_MUTUAL = c_uint32(2)
_OF_CALL, _OF_MECHANISM = 1, 2


class _Buffer(Structure):
    _fields_ = (("length", c_size_t), ("value", c_void_p))

    @property
    def content(self) -> bytes:
        return ctypes.string_at(self.value, self.length) if self.value else b""


class _Oid(Structure):
    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class _OidSet(Structure):
    _fields_ = (("count", c_size_t), ("elements", POINTER(_Oid)))


class _Pair(Structure):
    _fields_ = (("key", c_char_p), ("value", c_char_p))


class _Store(Structure):
    _fields_ = (("count", c_uint32), ("elements", POINTER(_Pair)))


def _oid(encoded: bytes) -> _Oid:
    return _Oid(len(encoded), encoded)


_SPNEGO = _oid(b"\x2b\x06\x01\x05\x05\x02")
_KERBEROS = _oid(b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02")
_SERVICE = _oid(b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04")
_USER = _oid(b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x01")


class GssError(Exception):
    """What the library says of a failure, in its own words."""


class Login(NamedTuple):
    """A principal, the file of its keys, and the file in which its tickets are kept."""

    principal: str
    keytab: Path
    tickets: Path


@cache
def library() -> Any:
    """MIT's library; raises OSError where this machine has none, AttributeError for a Heimdal's."""
    found = ctypes.CDLL(LIBRARY)
    found.gss_acquire_cred_from  # noqa: B018 - asked for, not called
    return found


def log_in(login: Login) -> None:
    """Have tickets that are still good, from the KDC where there are none; raises GssError."""
    with _credentials(login):
        pass


def token(login: Login, host: str) -> str:
    """The token that opens a session of HTTP with a host, in base64; raises GssError.

    Credentials are acquired anew each time: one object holds the tickets that were there when it
    was made, and is of no use after their end. What lies in the cache is not asked for again.
    """
    minor, context, made = c_uint32(), c_void_p(), _Buffer()
    with _credentials(login) as credentials, _name(f"HTTP@{host}", _SERVICE) as server:
        major = library().gss_init_sec_context(
            *(byref(minor), credentials, byref(context), server, byref(_SPNEGO), _MUTUAL),
            *(c_uint32(0), None, None, None, byref(made), None, None),
        )
        try:
            _check(major, minor)
            return base64.b64encode(made.content).decode()
        finally:
            library().gss_release_buffer(byref(minor), byref(made))
            library().gss_delete_sec_context(byref(minor), byref(context), None)


@contextmanager
def _credentials(login: Login) -> Iterator[c_void_p]:
    """For SPNEGO: what was asked for Kerberos alone is refused later.

    Why there are none only Kerberos itself says.
    """
    try:
        held = _acquired(login, _SPNEGO)
    except GssError:
        held = _acquired(login, _KERBEROS)
    try:
        yield held
    finally:
        library().gss_release_cred(byref(c_uint32()), byref(held))


def _acquired(login: Login, mechanism: _Oid) -> c_void_p:
    minor, held = c_uint32(), c_void_p()
    pairs = (_Pair * 2)(
        _Pair(b"client_keytab", f"FILE:{login.keytab}".encode()),
        _Pair(b"ccache", f"FILE:{login.tickets}".encode()),
    )
    with _name(login.principal, _USER) as name:
        major = library().gss_acquire_cred_from(
            *(byref(minor), name, c_uint32(0), byref(_OidSet(1, ctypes.pointer(mechanism)))),
            *(_INITIATE, byref(_Store(2, pairs)), byref(held), None, None),
        )
        _check(major, minor)
    return held


@contextmanager
def _name(text: str, kind: _Oid) -> Iterator[c_void_p]:
    minor, name, encoded = c_uint32(), c_void_p(), text.encode()
    given = _Buffer(len(encoded), ctypes.cast(c_char_p(encoded), c_void_p))
    major = library().gss_import_name(byref(minor), byref(given), byref(kind), byref(name))
    _check(major, minor)
    try:
        yield name
    finally:
        library().gss_release_name(byref(minor), byref(name))


def _check(major: int, minor: c_uint32) -> None:
    if major & _ERROR:
        own = _text(minor.value, _OF_MECHANISM, byref(_KERBEROS)) if minor.value else ""
        raise GssError(own or _text(major, _OF_CALL, None))


def _text(code: int, kind: int, mechanism: Any) -> str:
    minor, more, shown = c_uint32(), c_uint32(0), _Buffer()
    library().gss_display_status(
        byref(minor), c_uint32(code), kind, mechanism, byref(more), byref(shown)
    )
    text = shown.content.decode(errors="replace")
    library().gss_release_buffer(byref(minor), byref(shown))
    return text
