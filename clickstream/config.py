"""The settings: every key, its default, and where its value came from.

Precedence: flag > environment > file > default. A flag is `--set section.key=value`; the
environment spells the same key `CLICKSTREAM_SECTION__KEY`; the file is TOML
(`configs/clickstream.toml` holds every key with its default and a comment).
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from clickstream.errors import UsageError

PREFIX = "CLICKSTREAM_"
NESTED = "__"
SERVER_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
FILE_NAME = "clickstream.toml"

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Server(_Section):
    """A web server whose log is ingested."""

    agent: str


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
    """Where the source logs, the master copy and the quarantine lie."""

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
    client: dict[str, str] = {}


class Cassandra(_Section):
    """The real-time views."""

    hosts: list[str] = []
    port: Port = 9042
    datacenter: str = "datacenter1"
    keyspace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")] = "clickstream"
    replication_factor: Positive = 1
    username: str = ""
    password: SecretStr = SecretStr("")
    ttl_days: Positive = 90


class Database(_Section):
    """The batch views: an SQLAlchemy URL, or the local MariaDB when empty."""

    url: SecretStr = SecretStr("")


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


class Replay(_Section):
    """Spooling: how lines become chunks, and when replay waits."""

    chunk_lines: Positive = 5000
    chunk_bytes: Positive = 8_388_608
    max_line_bytes: Annotated[int, Field(gt=0, le=1_048_576)] = 262_144
    pause_fill_percent: Annotated[float, Field(gt=0, le=100)] = 80
    max_spooled_chunks: Positive = 20
    wait_timeout_seconds: Positive = 120


class Spark(_Section):
    """How both jobs are submitted."""

    master: str = "local[*]"
    driver_memory: str = "1g"
    conf: dict[str, str] = {}


class Speed(_Section):
    """The speed layer: trigger, windows and thresholds."""

    trigger_seconds: Positive = 1
    max_rows_per_batch: Positive = 50_000
    checkpoint: str = ""
    window_seconds: Positive = 300
    ddos_requests_per_second: Positive = 100
    health_non_200: Positive = 10
    alert_gap_seconds: Positive = 60
    max_ahead_seconds: Positive = 86_400


class Settings(BaseSettings):
    """Everything that can be configured. `home` holds the state of one deployment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, extra="forbid", env_ignore_empty=False
    )

    home: Path = Path()
    servers: dict[str, Server] = {
        "weblog1": Server(agent="agent1"),
        "weblog2": Server(agent="agent2"),
    }
    collector: str = "agent3"
    stack: Stack = Stack()
    hdfs: Hdfs = Hdfs()
    kafka: Kafka = Kafka()
    cassandra: Cassandra = Cassandra()
    database: Database = Database()
    flume: Flume = Flume()
    replay: Replay = Replay()
    spark: Spark = Spark()
    speed: Speed = Speed()

    _origin: "Origin" = PrivateAttr()

    @field_validator("servers")
    @classmethod
    def _names(cls, servers: dict[str, Server]) -> dict[str, Server]:
        for name in servers:
            if name == "all" or not SERVER_NAME.match(name):
                raise ValueError(f"{name!r} is no server name ([A-Za-z0-9._-]+, and not 'all')")
        agents = [server.agent for server in servers.values()]
        if len(set(agents)) < len(agents):
            raise ValueError("two servers name the same agent")
        return servers

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, file: in this order."""
        file = TomlConfigSettingsSource(settings_cls, cls.model_config.get("toml_file"))
        return init_settings, env_settings, file

    @property
    def origin(self) -> "Origin":
        """Where the values came from."""
        return self._origin

    def path(self, *parts: str) -> Path:
        """A place in the home."""
        return self.home.joinpath(*parts)

    def child_env(self) -> dict[str, str]:
        """The environment in which a child of ours loads these same settings."""
        env = dict(os.environ) | self.origin.flag_env | {PREFIX + "HOME": str(self.home)}
        if self.origin.file:
            env[PREFIX + "CONFIG"] = str(self.origin.file)
        return env


class Origin(NamedTuple):
    """Where the values came from: the file read, the flags and the environment given."""

    file: Path | None
    flag_env: dict[str, str]


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
    flag_env = {PREFIX + key.upper().replace(".", NESTED): v for key, v in (flags or {}).items()}
    place = _home(home)
    found = _file(file, place)
    _refuse_unknown_environment()
    bound = type(
        "Settings",
        (Settings,),
        {"model_config": Settings.model_config | SettingsConfigDict(toml_file=found)},
    )
    try:
        settings = bound(**_nested(flag_env), home=place)
    except ValidationError as error:
        raise UsageError(_sentence(error), "clickstream config show lists every key") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{found} is not valid TOML: {error}") from None
    settings._origin = Origin(found, flag_env)
    return settings


def shown(settings: Settings) -> list[Shown]:
    """Every key in force with its source; secrets are masked."""
    file = tomllib.loads(settings.origin.file.read_text()) if settings.origin.file else {}
    sources = [
        ("flag", _leaves(_nested(settings.origin.flag_env))),
        ("environment", _leaves(_nested(os.environ))),
        ("file", _leaves(file)),
    ]
    rows = []
    for key, value in _leaves(settings.model_dump(mode="json", exclude={"home"})).items():
        source = next((name for name, keys in sources if _covered(key, keys)), "default")
        rows.append(Shown(key, str(value), source))
    return [Shown("home", str(settings.home), "the home in use"), *rows]


def _home(home: Path | None) -> Path:
    given = home or os.environ.get(PREFIX + "HOME")
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("clickstream"))


def _file(file: Path | None, home: Path) -> Path | None:
    named = file or os.environ.get(PREFIX + "CONFIG")
    if not named:
        own = home / FILE_NAME
        return own if own.is_file() else None
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"there is no configuration file {path}")
    return path


def _refuse_unknown_environment() -> None:
    for name in os.environ:
        section, nested, _ = name.removeprefix(PREFIX).partition(NESTED)
        if name.startswith(PREFIX) and nested and section.lower() not in Settings.model_fields:
            raise UsageError(f"unknown setting {name} in the environment")


def _nested(env: Mapping[str, str]) -> dict[str, Any]:
    """`{"CLICKSTREAM_KAFKA__TOPIC": "t"}` -> `{"kafka": {"topic": "t"}}`; JSON for lists, tables."""
    tree: dict[str, Any] = {}
    for name, text in env.items():
        path = name.removeprefix(PREFIX).lower().split(NESTED)
        if name.startswith(PREFIX) and (len(path) > 1 or path[0] in Settings.model_fields):
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = _value(text)
    tree.pop("home", None)
    return tree


def _value(text: str) -> Any:
    import json

    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def _covered(key: str, keys: Mapping[str, Any]) -> bool:
    return key in keys


def _sentence(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        parts.append(f"unknown setting {key}" if unknown else f"{key}: {problem['msg']}")
    return "; ".join(parts)
