"""The sections of the configuration: every key, its type, its default.

`configs/clickstream.toml` says what each key is for, in the same order.
"""

import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from clickstream import weblog
from clickstream.weblog.server_words import NoClient

# name@REALM or name/host@REALM; it stands in files of Flume and Spark, and in a file name.
PRINCIPAL = r"^([A-Za-z0-9_.+-]+(/[A-Za-z0-9_.-]+)?@[A-Za-z0-9_.-]+)?$"
WEB_URL = re.compile(r"https?://[^\s/?#]+[^\s]*\Z", re.IGNORECASE)


def _list(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _statuses(value: Any) -> Any:
    """A list, commas, or a number, as one list: in order, since it is compared."""
    values = _list(str(value) if isinstance(value, int) else value)
    return sorted({str(each).strip() for each in values}) if isinstance(values, list) else values


def _hadoop_url(url: str) -> str:
    if url.lower().startswith("swebhdfs:"):
        raise ValueError(
            "Spark cannot use swebhdfs://, for its client has not all of the classes"
            " (RuntimeDelegateImpl) and ends at the first answer that is no 200; name hdfs://"
        )
    return url


HadoopUrl = Annotated[str, AfterValidator(_hadoop_url)]
Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A table of the configuration; an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid")


class Server(Section):
    """A web server whose log is ingested."""

    agent: str
    format: str = "combined"
    client: Annotated[str, Field(validate_default=True)] = ""

    @field_validator("format")
    @classmethod
    def _readable(cls, format: str) -> str:
        with suppress(NoClient):  # The next key may name it.
            weblog.format_of(format)
        return format

    @field_validator("client")
    @classmethod
    def _of_the_format(cls, client: str, others: ValidationInfo) -> str:
        if "format" in others.data:
            weblog.format_of(others.data["format"], client)
        return client


class Ports(Section):
    """Ports of the local stack on 127.0.0.1; 0 = a free one, remembered by the home."""

    kafka: Port = 0
    kafka_controller: Port = 0
    kdc: Port = 0
    namenode: Port = 0
    namenode_http: Port = 0
    datanode: Port = 0
    datanode_http: Port = 0
    datanode_ipc: Port = 0
    cassandra: Port = 0
    cassandra_storage: Port = 0
    mariadb: Port = 0


class Heap(Section):
    """Java heaps of the local services, in MB."""

    kafka: Positive = 256
    namenode: Positive = 256
    datanode: Positive = 192
    cassandra: Positive = 384
    edge_agent: Positive = 192
    collector_agent: Positive = 320


class Stack(Section):
    """The local services."""

    start_timeout_seconds: Positive = 120
    kerberos: bool = False
    ports: Ports = Ports()
    heap_mb: Heap = Heap()


class Tls(Section):
    """TLS to the stores: files in PEM."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key come together")
        return self


class Hdfs(Section):
    """Where the source logs, the master dataset and the quarantine lie; who we are there."""

    url: HadoopUrl = ""
    web: str = ""
    user: str = ""
    principal: Annotated[str, Field(pattern=PRINCIPAL)] = ""
    keytab: str = ""
    conf_dir: str = ""
    krb5_conf: str = ""
    source: str = "/source"
    master: str = "/master"
    quarantine: str = "/quarantine"

    @model_validator(mode="after")
    def _pair(self) -> "Hdfs":
        if bool(self.principal) != bool(self.keytab):
            raise ValueError("principal and keytab come together")
        return self


class Kafka(Section):
    """The topic of valid stamped lines: one partition per server."""

    bootstrap: str = ""
    topic: str = "clickstream"
    replication_factor: Positive = 1
    security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    # It stands between quotes in a line of a configuration file of Java's.
    username: Annotated[str, Field(pattern=r"^[^\x00-\x1f\"\\$]*$")] = ""
    password: SecretStr = SecretStr("")
    password_file: str = ""

    @model_validator(mode="after")
    def _login(self) -> "Kafka":
        if self.security.startswith("SASL") and not self.username:
            raise ValueError(f"security {self.security} needs a username")
        if self.username and not self.security.startswith("SASL"):
            raise ValueError("a username needs security SASL_SSL or SASL_PLAINTEXT")
        return self


class Cassandra(Section):
    """The real-time views."""

    hosts: Annotated[list[str], BeforeValidator(_list)] = []
    port: Port = 9042
    datacenter: str = "datacenter1"
    keyspace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")] = "clickstream"
    replication_factor: Positive = 1
    tls: bool = False
    check_hostname: bool = True
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: str = ""
    reader_username: str = ""
    reader_password: SecretStr = SecretStr("")
    reader_password_file: str = ""
    ttl_days: Positive = 90


class Database(Section):
    """The batch views: SQLAlchemy URLs, or the local MariaDB when empty; reports use the reader.

    A password file holds the password of a URL that has none.
    """

    url: SecretStr = SecretStr("")
    password_file: str = ""
    reader_url: SecretStr = SecretStr("")
    reader_password_file: str = ""


class Flume(Section):
    """The agents."""

    channel: Literal["file", "memory"] = "file"
    capacity: Positive = 1_000_000
    batch_size: Positive = 1000
    minimum_free_mb: Positive = 500
    collector_host: str = "127.0.0.1"
    collector_bind: str = "127.0.0.1"
    collector_port: Port = 0
    collector_tls: bool = False
    collector_ca: str = ""
    collector_certificate: str = ""
    collector_key: str = ""
    collector_allow: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.([0-9]{1,3}|\*)){1,3}$")]],
        BeforeValidator(_list),
    ] = []
    roll_bytes: Positive = 134_217_728
    max_open_files: Positive = 100
    block_mb: Positive = 16
    roll_seconds: Positive = 60
    idle_timeout_seconds: Annotated[int, Field(gt=0, le=10)] = 3
    call_timeout_seconds: Positive = 30
    start_timeout_seconds: Positive = 60
    java_options: list[str] = []
    restart_attempts: Positive = 10
    restart_max_delay_seconds: Positive = 60
    restart_reset_seconds: Positive = 300

    @model_validator(mode="after")
    def _batch_fits(self) -> "Flume":
        if self.batch_size > self.capacity:
            raise ValueError(f"batch_size {self.batch_size} is above capacity {self.capacity}")
        return self


class Replay(Section):
    """Spooling: how lines become chunks, and when replay waits."""

    chunk_lines: Positive = 5000
    chunk_bytes: Positive = 8_388_608
    pause_fill_percent: Annotated[float, Field(gt=0, le=100)] = 80
    max_spooled_chunks: Positive = 20
    wait_timeout_seconds: Positive = 300
    max_invalid_percent: Annotated[float, Field(ge=0, le=100)] = 50


class Follow(Section):
    """Following a log that a web server writes: how often it is looked at, and when it is over."""

    poll_seconds: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    quiet_seconds: Annotated[float, Field(ge=0)] = 30


class Spark(Section):
    """How both jobs are submitted."""

    master: str = "local[*]"
    driver_memory: str = "1g"
    conf: dict[str, str] = {}


HOST = "host"
HOST_AND_AGENT = "host+agent"


class Batch(Section):
    """The batch layer: who is one visitor."""

    visitor: Literal["host", "host+agent"] = "host"


class Speed(Section):
    """The speed layer: trigger, windows and thresholds."""

    trigger_seconds: Positive = 1
    max_rows_per_batch: Positive = 100_000
    checkpoint: HadoopUrl = ""
    window_seconds: Positive = 300
    ddos_requests_per_second: Positive = 100
    health_non_200: Positive = 10
    health_resolve_non_200: Annotated[int, Field(ge=0)] = 10
    healthy_statuses: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{3}$")]],
        BeforeValidator(_statuses),
        Field(min_length=1),
    ] = ["200"]
    alert_gap_seconds: Positive = 60
    max_ahead_seconds: Positive = 86_400
    store_timeout_seconds: Positive = 300
    unhealthy_seconds: Positive = 60

    @model_validator(mode="after")
    def _resolves_below(self) -> "Speed":
        opens, resolves = self.health_non_200, self.health_resolve_non_200
        if "health_resolve_non_200" not in self.model_fields_set:
            self.health_resolve_non_200 = min(opens, resolves)
        elif resolves > opens:
            raise ValueError(f"health_resolve_non_200 {resolves} is above health_non_200 {opens}")
        return self


class Alerts(Section):
    """Where changes of alerts are delivered, and how patiently."""

    stdout: bool = True
    file: str = ""
    webhook: SecretStr = SecretStr("")
    timeout_seconds: Positive = 10
    retry_max_seconds: Positive = 60

    @field_validator("webhook")
    @classmethod
    def _http(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not WEB_URL.match(url.get_secret_value()):
            raise ValueError("the webhook is not an http:// or https:// URL")
        return url


class Dashboard(Section):
    """Where the dashboard listens, and who may ask it.

    `names`: further values of the Host header that are ours; `metrics_token` opens /metrics alone.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    names: list[str] = []
    metrics_token: SecretStr = SecretStr("")
