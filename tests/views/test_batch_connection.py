"""Why the database of the batch views does not let us in, in one sentence: PyMySQL for real."""

import socket
from pathlib import Path

import pytest

from clickstream import config
from clickstream.errors import ClickstreamError, NotRunning, UsageError
from clickstream.views import batch_connection
from clickstream.views.batch import BatchViews
from tests import tls_server
from tests.certificates import Authority
from tests.tls_server import HOST, serving

PROTOCOL_41, SSL, SECURE, PLUGINS = 0x200, 0x800, 0x8000, 0x80000


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def greeting(tls: bool) -> bytes:
    """A MariaDB's first words, as far as a client looks at them."""
    offered = (PROTOCOL_41 | SECURE | PLUGINS | SSL * tls).to_bytes(4, "little")
    head = b"\x0a11.4\0" + bytes(4) + b"saltsalt\0" + offered[:2] + b"\x2d\x02\0"
    return packet(
        0, head + offered[2:] + b"\x15" + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
    )


def mariadb(
    identity=None, number=1045, text="Access denied for user 'w'@'h' (using password: YES)"
):
    """A server that refuses every login, after TLS where it has a certificate."""
    own = tls_server.context(identity) if identity else None

    def refuse(connection: socket.socket, sequence: int) -> None:
        connection.recv(4096)
        connection.sendall(
            packet(sequence, b"\xff" + number.to_bytes(2, "little") + b"#28000" + text.encode())
        )
        connection.recv(1)

    def answer(connection: socket.socket) -> None:
        connection.sendall(greeting(tls=identity is not None))
        if own is None:
            return refuse(connection, 2)
        connection.recv(36)
        with own.wrap_socket(connection, server_side=True) as wrapped:
            return refuse(wrapped, 3)

    return answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _warned_of_nothing() -> None:
    batch_connection._warn_of_no_check.cache_clear()


def connect(
    home: Path, monkeypatch, port: int, options: str = "", host: str = HOST
) -> ClickstreamError:
    """The error of a connection."""
    url = f"mysql+pymysql://w:marker@{host}:{port}/clickstream?charset=utf8mb4{options}"
    monkeypatch.setenv("CLICKSTREAM_DATABASE__URL", url)
    with pytest.raises(ClickstreamError) as told:
        BatchViews.connect(config.load(home=home))
    assert "marker" not in f"{told.value} {told.value.hint} {told.value.__cause__}"
    return told.value


@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        ({"days": (-20, -1)}, "its certificate has expired"),
        ({"names": ("elsewhere.example",)}, f"its certificate is not for {HOST}"),
    ],
)
def test_a_certificate_that_is_not_right(authority, tmp_path, monkeypatch, issued, reason):
    with serving(mariadb(authority.issue("db", **issued))) as port:
        error = connect(tmp_path, monkeypatch, port, f"&ssl_ca={authority.ca}")
    assert error.message.endswith(reason)
    assert not isinstance(error, NotRunning)


def test_a_certificate_of_another_authority(authority, tmp_path, monkeypatch):
    with serving(mariadb(authority.issue("db"))) as port:
        other = Authority(tmp_path, "other")
        error = connect(tmp_path, monkeypatch, port, f"&ssl_ca={other.ca}")
    assert error.message.endswith(f"its certificate was not issued by {other.ca}")
    assert error.hint.startswith("ssl_ca of database.url names")


def test_a_server_without_tls(authority, tmp_path, monkeypatch):
    with serving(mariadb()) as port:
        error = connect(tmp_path, monkeypatch, port, f"&ssl_ca={authority.ca}")
    assert error.message.endswith("it does not speak TLS")


def test_a_login_that_is_refused(authority, tmp_path, monkeypatch):
    with serving(mariadb(authority.issue("db"))) as port:
        error = connect(tmp_path, monkeypatch, port, f"&ssl_ca={authority.ca}")
    assert "refuses the login of 'w'@'h': wrong password" in error.message
    assert "database.url" in error.hint


@pytest.mark.parametrize(
    ("number", "text", "message", "hint"),
    [
        (
            1142,
            "CREATE command denied to user 'r'@'h' for table `d`.`batch_schema`",
            "user 'r'@'h' has no right to CREATE",
            "GRANT CREATE ON clickstream.* TO 'r'@'h';",
        ),
        (1044, "Access denied for user 'r'@'h' to database 'd'", "no right", "database.url"),
        (3159, "Connections using insecure transport", "it takes nobody without TLS", "ssl_ca"),
    ],
)
def test_what_the_server_refuses(tmp_path, monkeypatch, number, text, message, hint):
    with serving(mariadb(None, number, text)) as port:
        error = connect(tmp_path, monkeypatch, port)
    assert message in error.message
    assert hint in error.hint


def test_nothing_there(tmp_path, monkeypatch):
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    assert isinstance(connect(tmp_path, monkeypatch, port), NotRunning)
    error = connect(tmp_path, monkeypatch, port, "&connect_timeout=1", host="db.invalid")
    assert isinstance(error, NotRunning)
    assert "stack" not in error.hint


@pytest.mark.parametrize("option", ["ssl_verify_cert", "ssl_verify_identity"])
def test_what_the_driver_would_misread_is_refused(authority, tmp_path, monkeypatch, option):
    error = connect(tmp_path, monkeypatch, 1, f"&ssl_ca={authority.ca}&{option}=true")
    assert isinstance(error, UsageError)
    assert f"with {option} the driver leaves ssl_ca out" in error.message


def test_tls_that_is_asked_for_and_disabled_is_refused(tmp_path, monkeypatch, authority):
    error = connect(tmp_path, monkeypatch, 1, f"&ssl_ca={authority.ca}&ssl_disabled=false")
    assert isinstance(error, UsageError)
    assert "with ssl_disabled, whatever its value, there is no TLS" in error.message


@pytest.mark.parametrize("option", ["ssl_ca", "ssl_cert", "ssl_key"])
def test_a_file_that_is_not_there(tmp_path, monkeypatch, option):
    error = connect(tmp_path, monkeypatch, 1, f"&{option}=/no/such.pem")
    assert error.message == f"database.url: {option}: there is no file /no/such.pem"


def test_a_database_elsewhere_that_nobody_checks_is_warned_of_once(
    authority, tmp_path, monkeypatch, capsys
):
    for _ in range(2):
        connect(tmp_path, monkeypatch, 1, host="db.invalid")
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: nobody checks that the database at db.invalid is the right")
    batch_connection._warn_of_no_check.cache_clear()
    connect(tmp_path, monkeypatch, 1, f"&ssl_ca={authority.ca}", host="db.invalid")
    connect(tmp_path, monkeypatch, 1)
    assert capsys.readouterr().err == ""
