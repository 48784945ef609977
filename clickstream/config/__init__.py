"""The settings: every key, its default, and where its value came from.

Precedence: flag > environment > file > default. A flag is `--set section.key=value`; the
environment spells the same key `CLICKSTREAM_SECTION__KEY`; the file is TOML
(`configs/clickstream.toml` holds every key with its default and a comment). Each of the three is
read into one tree of the same shape; the trees laid over one another are the settings, and the
first tree that holds a key is where its value came from.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from clickstream.config import layers
from clickstream.config.layers import PREFIX, Tree
from clickstream.errors import UsageError
from clickstream.home import Home
from clickstream.weblog.categories import Categories

SERVER_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
FLAGS = PREFIX + "FLAGS"
MASK = "***"
SECRET_KEY = re.compile(r"password|secret|token|credential|jaas|webhook", re.IGNORECASE)
WEB_URL = re.compile(r"https?://[^\s/?#]+[^\s]*\Z", re.IGNORECASE)
URL_PASSWORD = re.compile(r"(://[^:/@]*:).*(?=@)")
URL_OPTION = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def _list(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Server(_Section):
    """A web server whose log is ingested."""

    agent: str
    format: Literal["common", "combined", "vhost_combined"] = "combined"


class Ports(_Section):
    """Ports of the local stack on 127.0.0.1; 0 = a free one, remembered by the home."""

    kafka: Port = 0
    kafka_controller: Port = 0
    namenode: Port = 0
    namenode_http: Port = 0
    datanode: Port = 0
    datanode_http: Port = 0
    datanode_ipc: Port = 0
    cassandra: Port = 0
    cassandra_storage: Port = 0
    mariadb: Port = 0


class Heap(_Section):
    """Java heaps of the local services, in MB."""

    kafka: Positive = 256
    namenode: Positive = 256
    datanode: Positive = 192
    cassandra: Positive = 384
    edge_agent: Positive = 192
    collector_agent: Positive = 320


class Stack(_Section):
    """The local services."""

    start_timeout_seconds: Positive = 120
    ports: Ports = Ports()
    heap_mb: Heap = Heap()


class Hdfs(_Section):
    """Where the source logs, the master dataset and the quarantine lie."""

    url: str = ""
    web: str = ""
    user: str = ""
    source: str = "/source"
    master: str = "/master"
    quarantine: str = "/quarantine"


class Kafka(_Section):
    """The topic of valid stamped lines: one partition per server."""

    bootstrap: str = ""
    topic: str = "clickstream"
    replication_factor: Positive = 1


class Cassandra(_Section):
    """The real-time views."""

    hosts: Annotated[list[str], BeforeValidator(_list)] = []
    port: Port = 9042
    datacenter: str = "datacenter1"
    keyspace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")] = "clickstream"
    replication_factor: Positive = 1
    username: str = ""
    password: SecretStr = SecretStr("")
    ttl_days: Positive = 90


class Database(_Section):
    """The batch views: SQLAlchemy URLs, or the local MariaDB when empty; reports use the reader."""

    url: SecretStr = SecretStr("")
    reader_url: SecretStr = SecretStr("")


class Flume(_Section):
    """The agents."""

    channel: Literal["file", "memory"] = "file"
    capacity: Positive = 1_000_000
    batch_size: Positive = 1000
    minimum_free_mb: Positive = 500
    collector_host: str = "127.0.0.1"
    collector_bind: str = "127.0.0.1"
    collector_port: Port = 0
    roll_bytes: Positive = 134_217_728
    roll_seconds: Positive = 60
    idle_timeout_seconds: Annotated[int, Field(gt=0, le=10)] = 3
    call_timeout_seconds: Positive = 30
    start_timeout_seconds: Positive = 60
    restart_attempts: Positive = 10
    restart_max_delay_seconds: Positive = 60
    restart_reset_seconds: Positive = 300

    @model_validator(mode="after")
    def _batch_fits(self) -> "Flume":
        if self.batch_size > self.capacity:
            raise ValueError(f"batch_size {self.batch_size} is above capacity {self.capacity}")
        return self


class Replay(_Section):
    """Spooling: how lines become chunks, and when replay waits."""

    chunk_lines: Positive = 5000
    chunk_bytes: Positive = 8_388_608
    pause_fill_percent: Annotated[float, Field(gt=0, le=100)] = 80
    max_spooled_chunks: Positive = 20
    wait_timeout_seconds: Positive = 300
    max_invalid_percent: Annotated[float, Field(ge=0, le=100)] = 50


class Follow(_Section):
    """Following a log that a web server writes: how often it is looked at, and when it is over."""

    poll_seconds: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    quiet_seconds: Annotated[float, Field(ge=0)] = 30


class Spark(_Section):
    """How both jobs are submitted."""

    master: str = "local[*]"
    driver_memory: str = "1g"
    conf: dict[str, str] = {}


HOST = "host"
HOST_AND_AGENT = "host+agent"


class Batch(_Section):
    """The batch layer: who is one visitor."""

    visitor: Literal["host", "host+agent"] = "host"


class Speed(_Section):
    """The speed layer: trigger, windows and thresholds."""

    trigger_seconds: Positive = 1
    max_rows_per_batch: Positive = 100_000
    checkpoint: str = ""
    window_seconds: Positive = 300
    ddos_requests_per_second: Positive = 100
    health_non_200: Positive = 10
    health_resolve_non_200: Annotated[int, Field(ge=0)] = 10
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


class Alerts(_Section):
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


class Origin(NamedTuple):
    """Where the values came from: the file read, the flags given, and what each source holds."""

    file: Path | None
    flags: dict[str, str]
    sources: tuple[tuple[str, Tree], ...]


_SERVERS: Tree = {"servers": {"weblog1": {"agent": "agent1"}, "weblog2": {"agent": "agent2"}}}


class Settings(_Section):
    """Everything that can be configured. `home` holds the state of one deployment."""

    home: Path = Path()
    servers: dict[str, Server] = {
        name: Server(**server) for name, server in _SERVERS["servers"].items()
    }
    collector: str = "agent3"
    stack: Stack = Stack()
    hdfs: Hdfs = Hdfs()
    kafka: Kafka = Kafka()
    cassandra: Cassandra = Cassandra()
    database: Database = Database()
    flume: Flume = Flume()
    replay: Replay = Replay()
    follow: Follow = Follow()
    spark: Spark = Spark()
    categories: Categories = Categories()
    batch: Batch = Batch()
    speed: Speed = Speed()
    alerts: Alerts = Alerts()

    _origin: Origin = PrivateAttr(default=Origin(None, {}, ()))

    @field_validator("servers")
    @classmethod
    def _names(cls, servers: dict[str, Server]) -> dict[str, Server]:
        for name in servers:
            if name == "all" or not SERVER_NAME.match(name):
                raise ValueError(f"{name!r} is not a server name ([A-Za-z0-9._-]+, and not 'all')")
        agents = [server.agent for server in servers.values()]
        if len(set(agents)) < len(agents):
            raise ValueError("two servers name the same agent")
        return servers

    @property
    def origin(self) -> Origin:
        """Where the values came from."""
        return self._origin

    @property
    def vhosts(self) -> tuple[str, ...]:
        """The servers whose log has a column for the virtual host in front."""
        named = self.servers.items()
        return tuple(name for name, server in named if server.format == "vhost_combined")

    @property
    def files(self) -> Home:
        """The files of the home."""
        return Home(self.home)

    def child_env(self) -> dict[str, str]:
        """The environment in which a child of ours loads these same settings."""
        env = dict(os.environ) | {PREFIX + "HOME": str(self.home)}
        if self.origin.flags:
            env[FLAGS] = json.dumps(self.origin.flags)
        if self.origin.file:
            env[PREFIX + "CONFIG"] = str(self.origin.file)
        return env


class Shown(NamedTuple):
    """One key of `config show`."""

    key: str
    value: str
    source: str


def load(
    file: Path | None = None,
    home: Path | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings; raises UsageError that names each wrong or unknown key."""
    given = json.loads(os.environ.get(FLAGS, "{}")) | dict(flags or {})
    place = _home(home)
    found = _file(file, place)
    sources = (
        ("flag", layers.tree({tuple(key.split(".")): text for key, text in given.items()})),
        ("environment", layers.tree(layers.environment(Settings.model_fields))),
        ("file", layers.read(found) if found else {}),
    )
    try:
        settings = Settings.model_validate(_merged([tree for _, tree in sources]))
    except ValidationError as error:
        hint = "clickstream config show lists every key"
        raise UsageError(_sentence(error, sources), hint) from None
    settings.home = place
    settings._origin = Origin(found, given, sources)
    return settings


def shown(settings: Settings) -> list[Shown]:
    """Every key in force with its source; secrets are masked."""
    sources = [(name, layers.leaves(tree)) for name, tree in settings.origin.sources]
    rows = [Shown("home", str(settings.home), "the home in use")]
    for key, value in layers.leaves(settings.model_dump(exclude={"home"})).items():
        source = next((name for name, keys in sources if key in keys), "default")
        rows.append(Shown(".".join(key), _masked(key[-1], value), source))
    return rows


def _merged(trees: Sequence[Tree]) -> Tree:
    """All keys. Servers replace those of the default, unless none of them comes with an agent."""
    merged = layers.laid_over(trees)
    agents = [key for key in layers.leaves(merged) if key[0] == "servers" and key[2:] == ("agent",)]
    return merged if agents or not merged.get("servers") else layers.laid_over([merged, _SERVERS])


def _home(home: Path | None) -> Path:
    given = home or os.environ.get(PREFIX + "HOME")
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("clickstream"))


def _file(file: Path | None, home: Path) -> Path | None:
    named = file or os.environ.get(PREFIX + "CONFIG")
    if not named:
        own = Home(home).configuration
        return own if own.is_file() else None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"there is no configuration file {path}")
    return path


def _masked(name: str, value: Any) -> str:
    secret = isinstance(value, SecretStr)
    text = value.get_secret_value() if secret else str(value)
    if text and (SECRET_KEY.search(name) or (secret and "://" not in text)):
        return MASK
    return URL_OPTION.sub(rf"\1{MASK}", URL_PASSWORD.sub(rf"\1{MASK}", text))


def _sentence(error: ValidationError, sources: Sequence[tuple[str, Tree]]) -> str:
    return "; ".join(_problem(problem, sources) for problem in error.errors())


def _problem(problem: Any, sources: Sequence[tuple[str, Tree]]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    source = next((name for name, tree in sources if layers.holds(tree, problem["loc"])), "default")
    unknown = problem["type"] == "extra_forbidden"
    return f"{'unknown setting ' if unknown else ''}{key} ({source})" + (
        "" if unknown else f": {problem['msg']}"
    )
