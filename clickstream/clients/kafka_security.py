"""How each kind of Kafka client is told of TLS and the login that `[kafka]` asks for.

Three kinds: librdkafka in Python takes files, Flume's producer files and a variable for the
password (its configuration is rendered to a file), Spark's readers texts, since executors have no
files.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from clickstream.clients import endpoints, tls
from clickstream.clients.tls import Material
from clickstream.errors import UsageError

if TYPE_CHECKING:
    from clickstream.config import Settings

PLAINTEXT = "PLAINTEXT"
PASSWORD_VARIABLE = "KAFKA_PRODUCER_PASSWORD"  # noqa: S105 - its name
_MODULES = {"PLAIN": "plain.PlainLoginModule"}
_SCRAM = "scram.ScramLoginModule"


def protocol(settings: "Settings") -> str:
    """What to speak: as configured, and PLAINTEXT with a local stack that is not secured."""
    here = not settings.kafka.bootstrap and not settings.files.is_secured
    return PLAINTEXT if here else settings.kafka.security


def uses_tls(settings: "Settings") -> bool:
    """Tell whether brokers are spoken to with TLS."""
    return protocol(settings).endswith("SSL")


def uses_login(settings: "Settings") -> bool:
    """Tell whether we log in."""
    return protocol(settings).startswith("SASL")


def librdkafka(settings: "Settings") -> dict[str, str]:
    """For a client in Python; raises UsageError for files that are not right, as all here do."""
    given = {"security.protocol": protocol(settings)}
    if uses_tls(settings):
        ours = tls.material(settings)
        files = (
            ("ssl.ca.location", ours.ca),
            ("ssl.certificate.location", ours.certificate),
            ("ssl.key.location", ours.key),
        )
        given |= {key: str(file) for key, file in files if file}
    if uses_login(settings):
        given["sasl.mechanisms"] = settings.kafka.mechanism
        given["sasl.username"] = settings.kafka.username
        given["sasl.password"] = _password(settings)
    return given


def flume(settings: "Settings", store: Path) -> dict[str, str]:
    """For the collector's producer, without a secret; `store` is the file of our `key_store`."""
    given = _java(settings, f"${{env:{PASSWORD_VARIABLE}}}")
    if uses_tls(settings):
        ours = tls.material(settings)
        if ours.ca:
            given |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(ours.ca)}
        if ours.certificate:
            given |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(store)}
    return given


def flume_environment(settings: "Settings") -> dict[str, str]:
    """The variable in which the collector finds its password."""
    if not uses_login(settings):
        return {}
    password = _password(settings)
    if "${" in password:
        raise UsageError("kafka.password has ${ in it, which Flume takes for a variable's name")
    return {PASSWORD_VARIABLE: _quoted(password)}


def key_store(settings: "Settings") -> str:
    """Our key and certificate in one text, as Java takes PEM; empty where we have none."""
    ours = tls.material(settings) if uses_tls(settings) else Material()
    if not (ours.key and ours.certificate):
        return ""
    return f"{ours.key.read_text().rstrip()}\n{ours.certificate.read_text()}"


def spark(settings: "Settings") -> dict[str, str]:
    """The options of a reader: where the brokers are, and how they are spoken to."""
    given = {"bootstrap.servers": endpoints.kafka_bootstrap(settings)}
    password = _password(settings) if uses_login(settings) else ""
    given |= _java(settings, _quoted(password))
    if uses_tls(settings):
        ours = tls.material(settings)
        if ours.ca:
            given["ssl.truststore.type"] = "PEM"
            given["ssl.truststore.certificates"] = ours.ca.read_text()
        if ours.key and ours.certificate:
            given["ssl.keystore.type"] = "PEM"
            given["ssl.keystore.key"] = ours.key.read_text()
            given["ssl.keystore.certificate.chain"] = ours.certificate.read_text()
    return {f"kafka.{key}": value for key, value in given.items()}


def _java(settings: "Settings", password: str) -> dict[str, str]:
    """What every Java client is told; nothing where nothing is secured."""
    if protocol(settings) == PLAINTEXT:
        return {}
    given = {"security.protocol": protocol(settings)}
    if uses_login(settings):
        kafka = settings.kafka
        module = _MODULES.get(kafka.mechanism, _SCRAM)
        given["sasl.mechanism"] = kafka.mechanism
        given["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required"
            f' username="{kafka.username}" password="{password}";'
        )
    return given


def _password(settings: "Settings") -> str:
    password = settings.secret("kafka.password")
    if not password:
        raise UsageError(
            f"there is no password for {settings.kafka.username} at Kafka",
            "name its file with kafka.password_file, or set CLICKSTREAM_KAFKA__PASSWORD",
        )
    return password


def _quoted(text: str) -> str:
    """As it stands between the quotes of a JAAS configuration."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
