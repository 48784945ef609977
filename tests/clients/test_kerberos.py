"""Kerberos as each client is told of it; what is wrong, in one sentence, before anything starts."""

import struct

import pytest

from clickstream import config
from clickstream.clients import gssapi, kerberos, keytab
from clickstream.clients.hdfs import Hdfs
from clickstream.errors import ClickstreamError, NotRunning, UsageError
from tests.keytabs import HOLE, write_conf_dir, write_keytab, write_krb5_conf

WE = "clickstream@R.TEST"
SECURE = (
    "<property><name>hadoop.security.authentication</name><value>{}</value><final>true</final>"
    "</property>"
)


@pytest.fixture
def files(tmp_path):
    """What is right, as flags."""
    return {
        "hdfs.principal": WE,
        "hdfs.keytab": str(write_keytab(tmp_path / "ours.keytab", "HTTP/h@R.TEST", WE)),
        "hdfs.conf_dir": str(write_conf_dir(tmp_path / "conf")),
        "hdfs.krb5_conf": str(write_krb5_conf(tmp_path / "krb5.conf", "R.TEST")),
        "hdfs.web": "https://localhost:1",
    }


@pytest.fixture
def told(files, tmp_path, monkeypatch):
    """Settings with some flags changed."""
    monkeypatch.setenv("KRB5_CONFIG", "")  # set again by our own
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)

    def load(**changed):
        flags = files | {f"hdfs.{key}": str(value) for key, value in changed.items()}
        return config.load(home=tmp_path / "home", flags=flags)

    return load


# Formats


def test_whose_keys_a_keytab_holds(tmp_path):
    path = write_keytab(tmp_path / "k", "nn/host.example@R.TEST", WE)
    path.write_bytes(path.read_bytes() + HOLE)
    assert keytab.principals(path) == {"nn/host.example@R.TEST", WE}


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"\x05\x01" + bytes(20), b"\x05\x02" + struct.pack(">iHH", 8, 1, 90) + bytes(4)],
)
def test_what_is_no_keytab(tmp_path, content):
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(ValueError, match=r"no keytab|ends early"):
        keytab.principals(tmp_path / "k")


def tickets(*fields):
    packed = b"".join(struct.pack(">HH", tag, len(data)) + data for tag, data in fields)
    return b"\x05\x04" + struct.pack(">H", len(packed)) + packed + b"\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("content", "ahead_s"),
    [
        (tickets((1, struct.pack(">iI", -600, 5))), -600),
        (tickets((7, b"later"), (1, struct.pack(">iI", 4, 0))), 4),
        (tickets(), 0),
        (tickets((1, b"")), 0),
        (b"\x05\x03", 0),
        (b"", 0),
    ],
)
def test_how_far_the_clock_of_the_kdc_is_from_ours(tmp_path, content, ahead_s):
    (tmp_path / "tickets").write_bytes(content)
    assert keytab.kdc_ahead_s(tmp_path / "tickets") == ahead_s
    assert keytab.kdc_ahead_s(tmp_path / "none") == 0


# Who is told what


def test_without_a_principal_nothing_is_said_or_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    plain = config.load(home=tmp_path)
    kerberos.require(plain)
    assert not kerberos.on(plain)
    assert (kerberos.java_options(plain), kerberos.tools_env(plain)) == ((), {})
    assert kerberos.conf_dir(plain) is None
    assert kerberos.class_path(plain, "a.jar:b.jar") == "a.jar:b.jar"
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    assert str(kerberos.conf_dir(plain)) == "/etc/hadoop"


def test_without_a_login_a_java_client_is_the_configured_user(tmp_path, told):
    flags = {"hdfs.user": "etl", "hdfs.conf_dir": "/etc/hadoop"}
    plain = config.load(home=tmp_path, flags=flags)
    assert kerberos.tools_env(plain) == {"HADOOP_USER_NAME": "etl"}
    assert kerberos.class_path(plain, "a.jar") == "/etc/hadoop:a.jar"
    assert "HADOOP_USER_NAME" not in kerberos.tools_env(told(user="etl"))


def test_each_client_is_told_where_its_files_are(told, files, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    settings = told(keytab="ours.keytab")
    assert kerberos.tools_env(settings) == {
        "KRB5PRINCIPAL": WE,
        "KRB5KEYTAB": str(settings.home / "ours.keytab"),
    }
    conf = files["hdfs.krb5_conf"]
    assert kerberos.java_options(settings) == (f"-Djava.security.krb5.conf={conf}",)
    assert kerberos.java_options(told(krb5_conf="")) == ()
    assert str(kerberos.conf_dir(settings)) == files["hdfs.conf_dir"]
    assert str(kerberos.conf_dir(told(conf_dir=""))) == "/etc/hadoop"


@pytest.mark.parametrize(
    "wrong", ["clickstream", "@R", "a@", "a b@R", "a/b/c@R", 'a"@R', "${env:HOME}@R", "a@R\n"]
)
def test_what_is_no_principal(told, wrong):
    with pytest.raises(UsageError, match=r"hdfs\.principal"):
        told(principal=wrong)


def test_a_principal_needs_a_keytab(told):
    with pytest.raises(UsageError, match="principal and keytab come together"):
        told(keytab="")


@pytest.mark.parametrize("key", ["hdfs.url", "speed.checkpoint"])
def test_spark_cannot_use_webhdfs_with_tls(tmp_path, key):
    with pytest.raises(UsageError, match=r"swebhdfs://, for its client .* name hdfs://"):
        config.load(home=tmp_path, flags={key: "swebhdfs://namenode:9871"})


# Before anything starts


def public(path):
    write_keytab(path, WE).chmod(0o640)


MISTAKES = {
    "no keytab": ("keytab", "/no/keytab", "hdfs.keytab: there is no file /no/keytab"),
    "others may read it": ("keytab", public, r"others may read .* \(mode 0640\)"),
    "another's": (
        "keytab",
        lambda path: write_keytab(path, "a@R.TEST", "b@R.TEST"),
        f"has no key of {WE}, but of a@R.TEST, b@R.TEST",
    ),
    "of nobody": ("keytab", write_keytab, f"has no key of {WE}, but of nobody"),
    "of capitals": ("principal", "Clickstream@R.TEST", "has no key of Clickstream@R.TEST"),
    "a text": (
        "keytab",
        lambda path: (path.touch(mode=0o600), path.write_text("keys")),
        "is no keytab",
    ),
    "no configuration": ("conf_dir", "", "the cluster's configuration is not known"),
    "no such directory": ("conf_dir", "/no/conf", "/no/conf/core-site.xml cannot be read: No such"),
    "no XML": ("conf_dir", lambda path: write_conf_dir(path, "<"), "it is not XML"),
    "without Kerberos": (
        "conf_dir",
        lambda path: write_conf_dir(path, SECURE.format(" simple ")),
        "core-site.xml says hadoop.security.authentication = simple",
    ),
    "nothing of Kerberos": (
        "conf_dir",
        lambda path: write_conf_dir(path, ""),
        "core-site.xml says hadoop.security.authentication = simple",
    ),
    "no krb5.conf": ("krb5_conf", "/no/krb5.conf", "there is no file /no/krb5.conf"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_before_anybody_is_asked(told, tmp_path, mistake):
    key, given, sentence = MISTAKES[mistake]
    if callable(given):
        given(tmp_path / "given")
        given = tmp_path / "given"
    settings = told(**{key: given})
    with pytest.raises(UsageError, match=sentence):
        Hdfs.connect(settings)
    assert not settings.home.exists()


def test_what_a_site_file_includes_is_left_to_hadoop(told, tmp_path):
    included = '<include xmlns="http://www.w3.org/2001/XInclude" href="kerberos.xml"/>'
    kerberos.require_files(told(conf_dir=write_conf_dir(tmp_path / "given", included)))


@pytest.mark.parametrize(
    ("krb5_conf", "kind", "sentence"),
    [
        ("OTHER.TEST", UsageError, "no KDC of the realm R.TEST is known"),
        ("R.TEST", NotRunning, "no KDC of the realm R.TEST answers"),
    ],
)
def test_a_realm_that_is_not_known_or_does_not_answer(told, tmp_path, krb5_conf, kind, sentence):
    conf = write_krb5_conf(tmp_path / "other.conf", krb5_conf)
    with pytest.raises(kind, match=sentence):
        Hdfs.connect(told(krb5_conf=conf))


def test_a_machine_without_the_library(told, monkeypatch):
    def missing():
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(gssapi, "library", missing)
    with pytest.raises(UsageError, match=r"needs libgssapi_krb5\.so\.2") as refused:
        kerberos.require(told())
    assert "apt-get install libgssapi-krb5-2" in refused.value.hint


def test_a_clock_that_is_off():
    kerberos.require_same_time("the KDC", 299)
    with pytest.raises(ClickstreamError) as ahead:
        kerberos.require_same_time("the KDC", 600)
    assert ahead.value.message == (
        "the clock of the KDC is 10 min ahead of ours, and Kerberos takes 5 min at most"
    )
    with pytest.raises(ClickstreamError, match="of nn is 5 min 1 s behind ours"):
        kerberos.require_same_time("nn", -301)


# As MIT 1.20 says it
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"Client '{WE}' not found in Kerberos database", f"the KDC knows no {WE}"),
        ("Preauthentication failed", f"the KDC does not take the key of {WE} in /k"),
        ("Clock skew too great", "our clock and that of the KDC are too far apart"),
        (
            "Server HTTP/127.0.0.1@R.TEST not found in Kerberos database",
            "the KDC knows no HTTP/127.0.0.1@R.TEST",
        ),
        ("Ticket expired", f"the ticket of {WE} has expired, and no new one came"),
        ("KDC has no support for encryption type", "the KDC takes no key of the kinds in /k"),
        ("Something new", f"Kerberos refuses {WE}: Something new"),
    ],
)
def test_what_the_library_says_is_told(told, text, sentence):
    refused = kerberos.refusal(text, told(keytab="/k"))
    assert refused.message.startswith(sentence)
    assert bool(refused.hint) == (text != "Something new")
