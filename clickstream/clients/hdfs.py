"""HDFS over WebHDFS: the only user of the `hdfs` client."""

import getpass
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import hdfs
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import RequestException, Timeout

from clickstream.clients import endpoints, kerberos, spnego, tls
from clickstream.clients.tls import Material, Problem
from clickstream.config import Settings
from clickstream.errors import BadInput, ClickstreamError, NotRunning

TIMEOUT_SECONDS = (10, 120)
HTTPS = "https://"
REST = "/webhdfs/v1"
UNAUTHORIZED = 401
# Of a NameNode's answers: what there is none of; one that wants a login and does not ask for it.
ABSENT = "FileNotFoundException"
UNASKED = "not authenticated by filter"
ANYBODY = Material()
SPEAKS_TLS = Problem("it speaks TLS", "hdfs.web begins with https:// then")
# fsck shows its progress by a dot for each hundred files, on the same line.
_OPEN = re.compile(r"(?:^|[\s.])(/\S+) [0-9]+ bytes, [^/]*?OPENFORWRITE")
_STORED = re.compile(r"^(/.+?) ([0-9]+) bytes, (.*)$", re.MULTILINE)


class Entry(NamedTuple):
    """A file or directory; `size` in bytes, `modified_ms` since the epoch."""

    path: str
    name: str
    size: int
    is_dir: bool
    modified_ms: int


class Stored(NamedTuple):
    """A file as fsck lists it: its size in bytes, and whether it is open for writing."""

    path: str
    size: int
    open: bool


class Hdfs:
    """A file system, seen through its NameNode's web address."""

    def __init__(
        self,
        web: str,
        user: str = "",
        login: AuthBase | None = None,
        ours: Material = ANYBODY,
    ) -> None:
        """`user` is who we say that we are, unless `login` proves it; `ours` is for https."""
        self.web = web
        self.user = user
        self._login = login
        self._ours = ours
        self._session = self._strange()
        self._session.auth = login
        self._session.params = {} if login else {"user.name": user}
        self._session.hooks["response"] = [self._let_in]
        self._client = hdfs.Client(web, session=self._session, timeout=TIMEOUT_SECONDS)

    @classmethod
    def connect(cls, settings: Settings) -> "Hdfs":
        """The configured file system, or the local stack's; raises NotRunning.

        With Kerberos it has a ticket; raises as `kerberos.require` where it gets none.
        """
        web = endpoints.hdfs_web(settings)
        ours = tls.material(settings) if HTTPS in web else ANYBODY
        if kerberos.on(settings):
            kerberos.require(settings)
            return cls(web, login=kerberos.negotiate(settings), ours=ours)
        return cls(web, settings.hdfs.user or getpass.getuser(), ours=ours)

    def list(self, path: str) -> list[Entry]:
        """What lies in a directory, by name; nothing where there is no such directory."""
        with self._errors(path):
            found = self._client.list(path, status=True) if self._status(path) else []
        return sorted(_entry(path, name, status) for name, status in found)

    def walk(self, path: str) -> Iterator[Entry]:
        """Every file below a directory, but for directories whose names begin with `_`.

        What lies there is no data, as for Spark; each would cost two requests.
        """
        for entry in self.list(path):
            if not entry.is_dir:
                yield entry
            elif not entry.name.startswith("_"):
                yield from self.walk(entry.path)

    def stat(self, path: str) -> Entry | None:
        """The entry of a path, or None."""
        with self._errors(path):
            status = self._status(path)
        parent, name = posixpath.split(path)
        return _entry(parent, name, status) if status else None

    @contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """A file's bytes from an offset on, streamed."""
        with self._errors(path), self._client.read(path, offset=offset) as raw:
            raw.auto_close = False  # else the last byte closes it under a buffered reader
            yield raw

    def write(self, path: str, chunks: Iterable[bytes], modified_ms: int | None = None) -> None:
        """A whole file or none: written beside, then renamed. Replaces what was there.

        `modified_ms` is the time of change that it is to show, in place of now.
        """
        draft = posixpath.join(posixpath.dirname(path), f"_{posixpath.basename(path)}.put")
        with self._errors(path):
            self._client.write(draft, iter(chunks), overwrite=True)
            if modified_ms is not None:
                self._client.set_times(draft, modification_time=modified_ms)
            self._client.delete(path)
            self._client.rename(draft, path)

    def rename(self, source: str, target: str) -> None:
        """Rename a file; refused where the target exists."""
        with self._errors(source):
            self._client.rename(source, target)

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it; one that is there stays."""
        with self._errors(path):
            self._client.makedirs(path)

    def give(self, path: str, owner: str) -> None:
        """Make a file or directory another user's; only a superuser may."""
        with self._errors(path):
            self._client.set_owner(path, owner=owner)

    def delete(self, path: str, recursive: bool = False) -> bool:
        """Remove a file or directory; False where there was none."""
        with self._errors(path):
            return bool(self._client.delete(path, recursive=recursive))

    def open_files(self, path: str) -> tuple[str, ...]:
        """Files below a directory that are open for writing, whatever their names.

        As the NameNode's fsck tells (WebHDFS does not); none where a cluster does not let us ask.
        """
        report = self._fsck(path, openforwrite="1")
        return open_in(report or "")

    def tree(self, path: str) -> Sequence[Stored]:
        """Every file below a directory, by one question to the NameNode however many there are.

        As `walk`, which is asked where a cluster does not let us; none is open then.
        """
        report = self._fsck(path, openforwrite="1", files="1")
        if report is None:
            return [Stored(entry.path, entry.size, False) for entry in self.walk(path)]
        return stored_in(report)

    def ask(self, page: str, **options: str) -> requests.Response | None:
        """The answer of a page of the NameNode's web server; None where none lets us ask."""
        with self._errors(page):
            answers = (
                self._session.get(f"{web}{page}", params=options, timeout=TIMEOUT_SECONDS)
                for web in self._webs
            )
            return next((answer for answer in answers if answer.ok), None)

    def believes(self, user: str) -> bool:
        """Tell whether it takes a name for a user's, without any login."""
        asked = {"op": "GETHOMEDIRECTORY", "user.name": user}
        with self._errors("/"):
            answer = self._strange().get(
                f"{self._webs[0]}{REST}/", params=asked, timeout=TIMEOUT_SECONDS
            )
        return answer.ok and user in answer.json().get("Path", "")

    @property
    def _webs(self) -> Sequence[str]:
        return self.web.split(";")

    def _strange(self) -> requests.Session:
        """A session with TLS, and without a login."""
        session = requests.Session()
        session.trust_env = False
        if HTTPS in self.web:
            session.mount(HTTPS, _Secured(self._ours))
        return session

    def _let_in(self, response: requests.Response, **_: Any) -> None:
        """Raise ClickstreamError where an answer asks for another login than ours."""
        if response.status_code != UNAUTHORIZED:
            return
        where = _root(response.url)
        if spnego.asked(response):
            raise ClickstreamError(
                f"HDFS at {where} asks for a login by Kerberos",
                "set hdfs.principal, hdfs.keytab and hdfs.conf_dir",
            )
        raise ClickstreamError(f"HDFS at {where} asks for a login that is not Kerberos")

    def _fsck(self, path: str, **options: str) -> str | None:
        if not self._login:
            options["ugi"] = self.user
        answer = self.ask("/fsck", path=path, **options)
        return answer.text if answer else None

    def _status(self, path: str) -> dict[str, object] | None:
        try:
            status: dict[str, object] = self._client.status(path)
        except hdfs.HdfsError as error:
            if error.exception != ABSENT:  # a refusal is no absence
                raise
            return None
        return status

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except RequestException as error:
            raise self._silence(error) from error
        except hdfs.HdfsError as error:
            if UNASKED in str(error):
                raise ClickstreamError(
                    f"HDFS has Kerberos, and WebHDFS at {self.web} does not ask for it",
                    "its core-site.xml needs hadoop.http.authentication.type = kerberos",
                ) from None
            kind = BadInput if "not exist" in str(error) else ClickstreamError
            raise kind(f"HDFS refuses {path}: {str(error).splitlines()[0]}") from None

    def _silence(self, error: RequestException) -> ClickstreamError:
        """Why a NameNode, or the DataNode to which it sent us, does not answer."""
        where = _root(str(error.request.url) if error.request else self._webs[0])
        problem = None if isinstance(error, Timeout) else self._tls_problem(where)
        if problem and problem.answers:
            return ClickstreamError(f"HDFS at {where}: {problem.reason}", problem.hint)
        hint = "is it up, and is hdfs.web right?"
        if endpoints.is_loopback(_address(where)[0]):
            hint = "is it up? clickstream stack status"
        return NotRunning(f"HDFS does not answer at {where}", hint)

    def _tls_problem(self, where: str) -> Problem | None:
        if where.startswith(HTTPS):
            return tls.problem(*_address(where), self._ours)
        return SPEAKS_TLS if tls.spoken(*_address(where)) else None


class _Secured(HTTPAdapter):
    """TLS as our other clients speak it; requests' own would trust certifi's authorities, too."""

    def __init__(self, ours: Material) -> None:
        self._context = ours.context()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def cert_verify(self, *_: Any) -> None:
        """It is the context's task."""


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def open_in(report: str) -> tuple[str, ...]:
    """The files that fsck calls open for writing; it writes one behind the other on one line."""
    return tuple(_OPEN.findall(report))


def stored_in(report: str) -> list[Stored]:
    """The files that fsck lists, one on each line."""
    return [
        Stored(path, int(size), "OPENFORWRITE" in state)
        for path, size, state in _STORED.findall(report)
    ]


def _entry(parent: str, name: str, status: dict[str, object]) -> Entry:
    return Entry(
        posixpath.join(parent, name),
        name,
        int(str(status["length"])),
        status["type"] == "DIRECTORY",
        int(str(status["modificationTime"])),
    )
