"""HDFS alone, with Kerberos and HTTPS, then with HTTPS only: every operation, and mistakes."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from clickstream import config
from clickstream.clients import endpoints, tls
from clickstream.clients.hdfs import Hdfs
from clickstream.clients.namenode import NOBODY
from clickstream.config import Settings
from clickstream.config.secured import PRINCIPAL, REALM
from clickstream.doctor import hdfs as doctor
from clickstream.doctor.finding import OK
from clickstream.errors import ClickstreamError, NotRunning
from clickstream.home import write_atomic
from clickstream.runtime.process import Child
from clickstream.stack import hdfs as service
from clickstream.stack import hdfs_security, kdc, local, ports
from tests.certificates import Authority
from tests.keytabs import write_keytab, write_krb5_conf
from tests.stack.homes import forget_environment, left_running, runner

pytestmark = pytest.mark.campaign("HDFS of its own, secured")
LIFE_S = 10
LINES = b'1.2.3.4 - - [18/May/2015:09:05:59 +0000] "GET / HTTP/1.1" 200 1\n' * 5000


class Secured(NamedTuple):
    """An HDFS that runs: settings that are right for it, and how they are changed."""

    settings: Settings
    flags: dict[str, str]

    def changed(self, **changed: object) -> Settings:
        """The settings with other values of `[hdfs]`; `ca` is `tls.ca`, `home` another home."""
        home = Path(str(changed.pop("home", self.settings.home)))
        ca = {"tls.ca": str(changed.pop("ca"))} if "ca" in changed else {}
        own = {f"hdfs.{key}": str(value) for key, value in changed.items()}
        return config.load(home=home, flags=self.flags | ca | own)


@pytest.fixture(scope="module")
def kerberos(tmp_path_factory) -> Iterator[Secured]:
    forget_environment()
    home = tmp_path_factory.mktemp("kerberos") / "home"
    made = local.secured(config.load(home=home, flags={"stack.kerberos": "true"}))
    try:
        local.up(made, ["hdfs"])
        yield Secured(made, _as_flags(made))
    finally:
        local.down(made)
    assert left_running(home) == []


def _as_flags(settings: Settings) -> dict[str, str]:
    """What a secured stack says of itself, as somebody elsewhere configures it."""
    given = settings.hdfs.model_dump(include={"principal", "keytab", "conf_dir", "krb5_conf"})
    given |= {"url": endpoints.hdfs_url(settings), "web": endpoints.hdfs_web(settings)}
    return {f"hdfs.{key}": str(value) for key, value in given.items()} | {"tls.ca": settings.tls.ca}


class HttpsHdfs(service.Hdfs):
    """Without Kerberos, with HTTPS in place of HTTP."""

    def prepare(self) -> None:
        super().prepare()
        hdfs_security.write_web_server(self.settings.files, self.directory / "conf")

    def _state(self) -> dict[str, object]:
        with suppress(NotRunning):
            answer = Hdfs(
                f"https://{self._at('namenode_http')}", "me", ours=tls.material(self.settings)
            )
            found = answer.ask(service.STATE)
            return service._first_bean(found.json()) if found else {}
        return {}

    def _hdfs(self) -> dict[str, object]:
        web, data = self._at("namenode_http"), self._at("datanode_http")
        return super()._hdfs() | {
            "dfs.http.policy": "HTTPS_ONLY",
            "dfs.namenode.https-address": web,
            "dfs.datanode.https.address": data,
        }


@pytest.fixture(scope="module")
def https(tmp_path_factory) -> Iterator[Secured]:
    forget_environment()
    base = tmp_path_factory.mktemp("https")
    authority, files = Authority(base), config.load(home=base / "home").files
    issued = authority.issue("hdfs")
    held = {"hdfs.pem": issued.certificate, "hdfs.key": issued.key, "ca.pem": authority.ca}
    for name, path in held.items():
        write_atomic(files.security(name), path.read_text(), private=True)
    plain = config.load(home=files.root)  # it is secured now, and its HDFS is not
    running = HttpsHdfs(plain)
    ports.assign(plain, running.port_names())
    url, web = f"hdfs://{running._at('namenode')}", f"https://{running._at('namenode_http')}"
    flags = {"hdfs.url": url, "hdfs.web": web, "tls.ca": str(authority.ca)}
    try:
        running.start()
        yield Secured(config.load(home=plain.home, flags=flags), flags)
    finally:
        running.stop()
    assert left_running(base) == []


@pytest.fixture(params=["kerberos", "https"])
def secured(request: pytest.FixtureRequest) -> Secured:
    made: Secured = request.getfixturevalue(request.param)
    return made


def test_every_operation(secured: Secured) -> None:
    hdfs, root = Hdfs.connect(secured.settings), secured.settings.hdfs.master
    hdfs.write(f"{root}/a/x", [LINES, b"end"], modified_ms=1_000)
    found = hdfs.stat(f"{root}/a/x")
    assert (found.size, found.modified_ms) == (len(LINES) + 3, 1_000)
    with hdfs.open(f"{root}/a/x", offset=len(LINES)) as stream:
        assert stream.read() == b"end"
    hdfs.rename(f"{root}/a/x", f"{root}/a/y")
    assert [each.name for each in hdfs.walk(root)] == ["y"]
    assert hdfs.tree(root) == [(f"{root}/a/y", len(LINES) + 3, False)]
    assert hdfs.open_files(root) == ()
    assert hdfs.delete(root + "/a", recursive=True)
    assert hdfs.list(f"{root}/a") == []


def test_a_log_is_put_and_listed(secured: Secured, tmp_path) -> None:
    (tmp_path / "access.log").write_bytes(LINES)
    run = runner(secured.settings)
    run("weblog", "put", tmp_path / "access.log", "--server", "weblog1")
    assert "access.log" in run("weblog", "list").stdout


def test_the_doctor_finds_nothing(secured: Secured) -> None:
    found = list(doctor.check(secured.settings))
    texts = "\n".join(each.text for each in found)
    assert [each.text for each in found if each.state != OK] == []
    assert "speaks TLS; its certificate is valid for" in texts
    assert ("has a ticket" in texts) == bool(secured.settings.hdfs.principal)


def test_who_is_believed(kerberos: Secured, https: Secured) -> None:
    assert not Hdfs.connect(kerberos.settings).believes(NOBODY)
    assert Hdfs.connect(https.settings).believes(NOBODY)


def test_a_mistake_of_tls(secured: Secured, tmp_path) -> None:
    web = secured.flags["hdfs.web"]
    for wrong, sentence in (
        ({"web": web.replace("https", "http")}, "it speaks TLS"),
        ({"ca": Authority(tmp_path).ca}, "its certificate was not issued by"),
        ({"ca": "/no/ca.pem"}, "tls.ca: there is no file /no/ca.pem"),
    ):
        with pytest.raises(ClickstreamError, match=sentence):
            Hdfs.connect(secured.changed(**wrong)).list("/")


def of(principal: str, path: Path) -> dict[str, object]:
    """A keytab with a key that nobody gave."""
    return {"principal": principal, "keytab": write_keytab(path / "keytab", principal)}


def of_datanode(files: Path) -> dict[str, object]:
    return {"principal": kdc.DATANODE, "keytab": files / kdc.SERVICES_KEYTAB}


MISTAKES = {
    "an older key": (lambda path: of(PRINCIPAL, path), f"does not take the key of {PRINCIPAL}"),
    "nobody": (lambda path: of(f"ghost@{REALM}", path), f"the KDC knows no ghost@{REALM}"),
    "another realm": (lambda path: of("we@OTHER.TEST", path), "no KDC of the realm OTHER.TEST is"),
    "no KDC": (
        lambda path: {"krb5_conf": write_krb5_conf(path / "krb5.conf", REALM)},
        f"no KDC of the realm {REALM} answers",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_kerberos(kerberos: Secured, tmp_path, mistake: str) -> None:
    Hdfs.connect(kerberos.settings).list("/")
    changed, sentence = MISTAKES[mistake]
    with pytest.raises(ClickstreamError, match=sentence) as told:
        Hdfs.connect(kerberos.changed(home=tmp_path / "home", **changed(tmp_path)))
    assert told.value.hint


def test_an_address_is_no_name(kerberos: Secured) -> None:
    wrong = kerberos.changed(web=kerberos.flags["hdfs.web"].replace("localhost", "127.0.0.1"))
    with pytest.raises(ClickstreamError, match=rf"the KDC knows no HTTP/127\.0\.0\.1@{REALM}"):
        Hdfs.connect(wrong).list("/")


def test_without_a_principal_kerberos_is_asked_for(kerberos: Secured) -> None:
    nobody = kerberos.changed(principal="", keytab="", user="clickstream")
    with pytest.raises(ClickstreamError, match="asks for a login by Kerberos"):
        Hdfs.connect(nobody).list("/")


def test_a_right_that_is_missing(kerberos: Secured) -> None:
    other = kerberos.changed(**of_datanode(kerberos.settings.files.security("x").parent))
    with pytest.raises(ClickstreamError, match=r"refuses /master/x: Permission denied: user=dn"):
        Hdfs.connect(other).write("/master/x", [b"x"])


def test_a_ticket_is_good_while_the_kdc_is_away(kerberos: Secured) -> None:
    Hdfs.connect(kerberos.settings).list("/")
    process = psutil.Process(Child(kerberos.settings.files, kdc.NAME).running().pid)
    process.suspend()
    try:
        assert Hdfs.connect(kerberos.settings).list("/")
    finally:
        process.resume()


def test_a_session_outlives_its_tickets(kerberos: Secured, tmp_path) -> None:
    """Where its cookie is no longer taken, it logs in with tickets that are good by then."""
    ours = Path(kerberos.flags["hdfs.krb5_conf"]).read_text()
    short, life = f"ticket_lifetime = {LIFE_S}s", f"ticket_lifetime = {kdc.TICKET_SECONDS}s"
    assert life in ours
    (tmp_path / "krb5.conf").write_text(ours.replace(life, short))
    settings = kerberos.changed(home=tmp_path / "home", krb5_conf=tmp_path / "krb5.conf")
    hdfs, held, deadline = Hdfs.connect(settings), set(), time.monotonic() + 3 * LIFE_S
    while time.monotonic() < deadline:
        hdfs._session.cookies.clear()
        assert hdfs.list("/")
        held.add(settings.files.tickets(PRINCIPAL).read_bytes())
        time.sleep(1)
    assert len(held) > 2
