"""MariaDB: the server on PATH, else the one of the locked jar, unpacked into the cache once."""

import getpass
import hashlib
import os
import secrets
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import ClassVar, NamedTuple

from clickstream.clients.endpoints import (
    DATABASE,
    DATABASE_READER,
    DATABASE_USER,
    LOOPBACK,
    password_file,
    port_open,
)
from clickstream.errors import ServiceFailed
from clickstream.home import PRIVATE_DIRECTORY
from clickstream.runtime import jars
from clickstream.runtime.cache import cache_dir
from clickstream.runtime.render import File, write
from clickstream.stack.service import Commands, Processes, Service

# Paths of requests differ by case and by blanks at their end: they must not be equal here.
COLLATION = "utf8mb4_nopad_bin"
RIGHTS = {DATABASE_USER: "ALL", DATABASE_READER: "SELECT"}
SOCKET_PATH_LIMIT = 107  # bytes; the kernel's, less the closing NUL
SMALL = (
    *("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--key-buffer-size=1M"),
    *("--aria-pagecache-buffer-size=8M", "--performance-schema=OFF", "--max-connections=50"),
    *("--table-open-cache=200", "--skip-log-bin", "--skip-name-resolve"),
)


class Programs(NamedTuple):
    """The two programs; `basedir` is empty where they know their own."""

    server: Path
    install: Path
    basedir: str

    def base(self) -> list[str]:
        """The options that come first: no option file of the machine has a say."""
        return ["--no-defaults", *([f"--basedir={self.basedir}"] if self.basedir else [])]


class MariaDB(Service):
    """The batch views."""

    name = "mariadb"
    title = "MariaDB"
    processes: ClassVar[Processes] = {"mariadb": ("mariadb",)}

    def external_address(self) -> str:
        """The database of `database.url` (its password masked, and that of a file not read)."""
        from sqlalchemy import make_url

        given = self.settings.database.url.get_secret_value()
        return repr(make_url(given)) if given else ""

    def prepare(self) -> None:
        """Passwords, a store, and what to run at its start."""
        for user in RIGHTS:
            self._make_password(user)
        self._scratch.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
        self._make_once(self.directory / "data", self._install)
        write([File("start.sql", self._start_sql())], self.directory)

    def env(self) -> dict[str, str]:
        """As others', with a directory for temporary tables that is its own.

        A server removes at its start what it takes for leftovers there: of another one that starts,
        too, which then fails.
        """
        return super().env() | {"TMPDIR": str(self._scratch)}

    @property
    def _scratch(self) -> Path:
        return self.directory / "tmp"

    def commands(self) -> Commands:
        """The server, on loopback and a socket."""
        installed = programs()
        server = [
            *(str(installed.server), *installed.base(), *SMALL, *_as_root()),
            f"--datadir={self.directory / 'data'}",
            f"--socket={self.socket()}",
            f"--pid-file={self.directory / 'mariadbd.pid'}",
            f"--port={self.ports[self.name]}",
            f"--bind-address={LOOPBACK}",
            f"--init-file={self.directory / 'start.sql'}",
            "--character-set-server=utf8mb4",
            f"--collation-server={COLLATION}",
            *self._tls(),
        ]
        return {"mariadb": server}

    def ready(self, process: str) -> bool:
        """Tell whether our user can log in with the password."""
        if not port_open(self.ports[process]):
            return False
        import pymysql

        ca = self.settings.files.security("ca.pem") if self.speaks_tls else None
        try:
            pymysql.connect(
                ssl_ca=ca and str(ca),
                host=LOOPBACK,
                port=self.ports[process],
                user=DATABASE_USER,
                password=password_file(self.settings.home).read_text().strip(),
                database=DATABASE,
                connect_timeout=2,
            ).close()
        except pymysql.MySQLError:
            return False
        return True

    def after_start(self) -> None:
        """The statements held the password: they are not needed any more."""
        (self.directory / "start.sql").unlink()

    def _tls(self) -> list[str]:
        if self.security is None:
            # Else it makes an RSA key of 4096 bits at each start: up to 35 s (seen).
            return ["--skip-ssl"]
        own = [f"--ssl-cert={self.security}/mariadb.pem", f"--ssl-key={self.security}/mariadb.key"]
        return [*own, "--require-secure-transport=ON", "--tls-version=TLSv1.2,TLSv1.3"]

    def socket(self) -> Path:
        """The Unix socket, in a short folder of this user's when the home lies too deep."""
        own = self.directory / "mariadb.sock"
        if len(os.fsencode(own)) <= SOCKET_PATH_LIMIT:
            return own
        key = hashlib.sha256(os.fsencode(own)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"clickstream-{os.getuid()}-{key}"
        folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise ServiceFailed(
                f"{folder} belongs to somebody else", "use a home that is less deep"
            )
        return folder / "mariadb.sock"

    def _make_password(self, user: str) -> None:
        file = password_file(self.settings.home, user)
        if not file.exists():
            write([File(file.name, secrets.token_urlsafe(24) + "\n")], file.parent)

    def _install(self, data: Path) -> None:
        installed = programs()
        self._run(
            [
                *(str(installed.install), *installed.base(), f"--datadir={data}", *_as_root()),
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={getpass.getuser()}",
                *("--skip-test-db", "--skip-name-resolve", "--skip-log-bin"),
            ]
        )

    def _start_sql(self) -> str:
        """One statement a line, run before the first connection is taken."""
        statements = [f"CREATE DATABASE IF NOT EXISTS {DATABASE} COLLATE {COLLATION};"]
        for name, rights in RIGHTS.items():
            password = password_file(self.settings.home, name).read_text().strip()
            user = f"'{name}'@'{LOOPBACK}'"
            statements += [
                f"CREATE USER IF NOT EXISTS {user};",
                f"ALTER USER {user} IDENTIFIED BY '{password}';",
                f"GRANT {rights} ON {DATABASE}.* TO {user};",
            ]
        return "".join(f"{statement}\n" for statement in statements)


def on_path() -> Programs | None:
    """The machine's own MariaDB, if all of it is there."""
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    return Programs(Path(server), Path(install), "") if server and install else None


def programs() -> Programs:
    """The MariaDB to run; raises ClickstreamError when its jar is not there."""
    return on_path() or _unpacked(unpack())


def unpack() -> Path:
    """The folder of the unpacked jar; unpacks it the first time."""
    (jar,) = jars.files("mariadb")
    directory = cache_dir() / jar.stem
    if not directory.exists():
        unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
        with zipfile.ZipFile(jar) as archive:
            archive.extractall(unfinished)
        for program in [*unfinished.glob("**/bin/*"), *unfinished.glob("**/scripts/*")]:
            program.chmod(0o755)
        if not directory.exists():
            unfinished.rename(directory)
        shutil.rmtree(unfinished, ignore_errors=True)
    return directory


def _unpacked(directory: Path) -> Programs:
    (server,) = directory.glob("**/bin/mariadbd")
    base = server.parent.parent
    return Programs(server, base / "scripts" / "mariadb-install-db", str(base))


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
