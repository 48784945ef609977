"""A login where HDFS asks for one, and what it says of logins that it does not take; TLS to it."""

import json
import threading
from http.server import ThreadingHTTPServer

import pytest
import requests

from clickstream.clients.hdfs import Hdfs
from clickstream.clients.spnego import Negotiation
from clickstream.clients.tls import Material
from clickstream.errors import ClickstreamError, NotRunning
from tests.certificates import Authority
from tests.negotiating_server import Asking, asking
from tests.tls_server import HOST, context, serving, shaking

PAGE = (
    "<html><body><h2>HTTP ERROR 403 GSSException: Failure unspecified at GSS-API level"
    " (Mechanism level: {})</h2></body></html>"
)


def test_a_login_is_made_once_and_again_when_its_cookie_is_no_longer_taken():
    hosts = []
    session = requests.Session()
    session.auth = Negotiation(lambda host: hosts.append(host) or "token")
    with asking() as (url, seen):
        assert [session.get(url).text for _ in range(3)] == ["welcome", "known", "known"]
        session.cookies.set("hadoop.auth", "old", domain=HOST, path="/")
        assert session.get(url).text == "welcome"
    assert hosts == [HOST, HOST]
    assert seen == [
        (None, None),
        ("Negotiate token", None),
        (None, "hadoop.auth=taken"),
        (None, "hadoop.auth=taken"),
        (None, "hadoop.auth=old"),
        ("Negotiate token", None),
    ]


@pytest.mark.parametrize(
    ("refusal", "sentence", "hint"),
    [
        ((401, ""), "does not take our Kerberos ticket: it asks again", "its log"),
        ((403, PAGE.format("Checksum failed")), "ticket: Checksum failed", f"HTTP/{HOST}"),
        ((403, "No rules applied to x@R"), "ticket: No rules applied to x@R", "auth_to_local"),
    ],
)
def test_a_login_that_is_not_taken(refusal, sentence, hint):
    with asking(refusal=refusal) as (url, _), pytest.raises(ClickstreamError) as told:
        Hdfs(url, login=Negotiation(lambda _: "token")).stat("/")
    assert told.value.message.startswith(f"{HOST} does not take our Kerberos")
    assert sentence in told.value.message
    assert hint in told.value.hint


def test_a_clock_that_is_off_is_named():
    with (
        asking(refusal=(403, PAGE.format("Clock skew too great (37)"))) as (url, _),
        pytest.raises(ClickstreamError, match="are too far apart for Kerberos") as told,
    ):
        Hdfs(url, login=Negotiation(lambda _: "token")).stat("/")
    assert "NTP" in told.value.hint


def refused(exception, message):
    page = {"RemoteException": {"exception": exception, "message": message}}
    return lambda _: (404 if exception == "FileNotFoundException" else 403, json.dumps(page))


def test_a_refusal_is_no_absence():
    """A path that may not be looked at is not one where nothing is."""
    with asking(_answer=refused("FileNotFoundException", "File does not exist: /a")) as (url, _):
        assert Hdfs(url, "me").stat("/a") is None
        assert Hdfs(url, "me").list("/a") == []
    with asking(_answer=refused("AccessControlException", "Denied: x")) as (url, _):
        for ask in (Hdfs(url, "me").stat, Hdfs(url, "me").list):
            with pytest.raises(ClickstreamError, match="HDFS refuses /a: Denied: x"):
                ask("/a")


def test_a_right_that_is_missing_is_no_login_that_is_not_taken():
    with (
        asking(refusal=refused("AccessControlException", "Denied: x")(None)) as (url, _),
        pytest.raises(ClickstreamError, match="HDFS refuses /a: Denied: x"),
    ):
        Hdfs(url, login=Negotiation(lambda _: "token")).stat("/a")


def test_a_namenode_that_wants_a_login_and_does_not_ask():
    said = "Failed to obtain user group information: Security enabled but user not authenticated by"
    with (
        asking(_answer=refused("SecurityException", f"{said} filter")) as (url, _),
        pytest.raises(ClickstreamError, match="does not ask for it") as told,
    ):
        Hdfs(url, login=Negotiation(str)).list("/")
    assert "hadoop.http.authentication.type = kerberos" in told.value.hint


@pytest.mark.parametrize(
    ("scheme", "login", "sentence"),
    [
        ("Negotiate", None, "asks for a login by Kerberos"),
        ("Basic realm=knox", None, "asks for a login that is not Kerberos"),
        ("Basic realm=knox", Negotiation(str), "asks for a login that is not Kerberos"),
    ],
)
def test_another_login_than_ours_is_asked_for(scheme, login, sentence, capfd):
    with asking(scheme=scheme) as (url, _):
        for ask in (lambda hdfs: hdfs.stat("/"), lambda hdfs: hdfs.open_files("/")):
            with pytest.raises(ClickstreamError, match=sentence):
                ask(Hdfs(url, "me", login=login))
        assert not Hdfs(url, "me", login=login).believes("mallory")
    assert capfd.readouterr() == ("", "")


# TLS


def test_why_there_is_no_tls_with_hdfs(tmp_path):
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    mistakes = {
        "its certificate was not issued by": theirs.issue("hdfs"),
        "its certificate has expired": ours.issue("old", days=(-20, -10)),
        "its certificate is not for": ours.issue("other", ("namenode.example",)),
    }
    for reason, identity in mistakes.items():
        with serving(shaking(identity)) as port, pytest.raises(ClickstreamError) as told:
            Hdfs(f"https://{HOST}:{port}", "me", ours=Material(ours.ca)).stat("/")
        assert told.value.message.startswith(f"HDFS at https://{HOST}:{port}: {reason}")
        assert told.value.hint


def test_a_web_address_of_the_other_kind(tmp_path):
    with (
        serving(shaking(Authority(tmp_path).issue("hdfs"))) as port,
        pytest.raises(ClickstreamError, match="it speaks TLS") as told,
    ):
        Hdfs(f"http://{HOST}:{port}", "me").stat("/")
    assert told.value.hint == "hdfs.web begins with https:// then"
    with asking() as (url, _), pytest.raises(ClickstreamError, match="does not speak TLS"):
        Hdfs(url.replace("http:", "https:"), "me").stat("/")
    with pytest.raises(NotRunning, match=f"HDFS does not answer at https://{HOST}:1"):
        Hdfs(f"https://{HOST}:1", "me").stat("/")


def test_no_authority_is_trusted_beside_ours(tmp_path, monkeypatch):
    """requests trusts those of certifi in addition, where it is not kept from it."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(theirs.ca))
    handler = type("Open", (Asking,), {"_answer": lambda _: (200, "{}")})
    for authority in (ours, theirs):
        with ThreadingHTTPServer((HOST, 0), handler) as server:
            server.seen = []
            server.socket = context(authority.issue("hdfs")).wrap_socket(
                server.socket, server_side=True
            )
            threading.Thread(target=server.serve_forever, daemon=True).start()
            hdfs = Hdfs(f"https://{HOST}:{server.server_port}", "me", ours=Material(ours.ca))
            if authority is ours:
                assert hdfs.ask("/jmx").ok
            else:
                with pytest.raises(ClickstreamError, match="was not issued by"):
                    hdfs.ask("/jmx")
            server.shutdown()
