"""What HDFS with Kerberos is told, beside what it is told anyway, and what its clients are.

Everything between two processes is encrypted (`privacy`, and HTTPS in place of HTTP), which is also
what lets a DataNode do without privileged ports.
"""

from pathlib import Path

from clickstream.config import Settings
from clickstream.config.secured import PRINCIPAL, hadoop_conf
from clickstream.home import Home, write_atomic
from clickstream.runtime import trust
from clickstream.runtime.render import File, render, write
from clickstream.stack import kdc, security

PROTECTION = "privacy"
_SITE = "hadoop/site.xml"
_BOTH = {
    "dfs.namenode.kerberos.principal": kdc.NAMENODE,
    "dfs.datanode.kerberos.principal": kdc.DATANODE,
    "dfs.data.transfer.protection": PROTECTION,
    # Without it on both sides 3DES encrypts: 6 MB/s in place of 60.
    "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
    # Java's own: each log had a trace of a native library that is not there.
    "hadoop.security.crypto.codec.classes.aes.ctr.nopadding": (
        "org.apache.hadoop.crypto.JceAesCtrCryptoCodec"
    ),
}
_LOGIN = {
    "hadoop.security.authentication": "kerberos",
    "hadoop.security.authorization": "true",
    "hadoop.rpc.protection": PROTECTION,
}


def core(home: Home) -> dict[str, object]:
    """Of the daemons' core-site.xml."""
    # Without the four of them WebHDFS believes any `?user.name=`, whatever else is on.
    web = {
        "type": "kerberos",
        "kerberos.principal": kdc.WEB,
        "kerberos.keytab": _keytab(home),
        "signature.secret.file": home.security(security.WEB_SECRET),
    }
    return _LOGIN | {f"hadoop.http.authentication.{key}": value for key, value in web.items()}


def hdfs(home: Home, namenode_web: str, datanode_web: str) -> dict[str, object]:
    """Of the daemons' hdfs-site.xml, with the `host:port` of their web servers."""
    keytab = _keytab(home)
    return _BOTH | {
        "dfs.block.access.token.enable": "true",
        "dfs.namenode.keytab.file": keytab,
        "dfs.datanode.keytab.file": keytab,
        "dfs.web.authentication.kerberos.principal": kdc.WEB,
        "dfs.web.authentication.kerberos.keytab": keytab,
        "dfs.http.policy": "HTTPS_ONLY",
        "dfs.namenode.https-address": namenode_web,
        "dfs.datanode.https.address": datanode_web,
    }


def write_web_server(home: Home, conf: Path) -> None:
    """The web servers' certificate in the form that Java takes, and the file that names it."""
    certificate, key, ca = (
        home.security(name).read_text()
        for name in (f"{security.WEB}.pem", f"{security.WEB}.key", "ca.pem")
    )
    chain = trust.certificates(certificate)
    stores = {
        "keystore": trust.key_store(trust.private_key(key), chain),
        "truststore": trust.trust_store(trust.certificates(ca)),
    }
    told = {"ssl.server.keystore.keypassword": trust.PASSWORD}
    for kind, content in stores.items():
        path = conf / f"{kind}.jks"
        write_atomic(path, content, private=True)
        told[f"ssl.server.{kind}.location"] = str(path)
        told[f"ssl.server.{kind}.password"] = trust.PASSWORD
        told[f"ssl.server.{kind}.type"] = "jks"
    write([File("ssl-server.xml", render(_SITE, properties=told))], conf)


def write_client(home: Home, url: str) -> None:
    """The client configuration of this HDFS, as an administrator hands it out."""
    core_site = {"fs.defaultFS": url, **_LOGIN}
    hdfs_site = {"dfs.replication": 1, "dfs.client.use.datanode.hostname": "true", **_BOTH}
    write(
        [
            File("core-site.xml", render(_SITE, properties=core_site)),
            File("hdfs-site.xml", render(_SITE, properties=hdfs_site)),
        ],
        hadoop_conf(home),
    )


def as_superuser(settings: Settings) -> Settings:
    """The settings of whoever may do everything: the NameNode itself."""
    nobody_else = {"principal": kdc.NAMENODE, "keytab": str(_keytab(settings.files))}
    return settings.model_copy(update={"hdfs": settings.hdfs.model_copy(update=nobody_else)})


def directories(settings: Settings) -> tuple[str, ...]:
    """What belongs to the client's principal: the stores, and the home that YARN wants."""
    ours = settings.hdfs
    return ours.source, ours.master, ours.quarantine, f"/user/{PRINCIPAL.partition('@')[0]}"


def _keytab(home: Home) -> Path:
    return home.security(kdc.SERVICES_KEYTAB)
