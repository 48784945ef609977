"""Certificates for tests, as files: expired, for another name, from another authority."""

from pathlib import Path
from typing import NamedTuple

from clickstream.home import write_atomic
from clickstream.stack import authority


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
        self.ca = directory / f"{name}.pem"
        self._directory = directory
        self._authority = authority.Authority(f"{name} of a test")
        write_atomic(self.ca, self._authority.certificate)

    def issue(
        self,
        name: str,
        names: tuple[str, ...] = authority.HOSTS,
        days: tuple[int, int] = authority.DAYS,
    ) -> Identity:
        """A certificate for these hosts and addresses, valid between these days from now."""
        issued = self._authority.issue(name, names, days)
        made = Identity(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        write_atomic(made.certificate, issued.certificate)
        write_atomic(made.key, issued.key, private=True)
        store = issued.key + issued.certificate + self._authority.certificate
        write_atomic(made.store, store, private=True)
        return made
