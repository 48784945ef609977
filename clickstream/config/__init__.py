"""The settings: every section (`sections`), and where each value came from.

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
from typing import Any, NamedTuple

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator

from clickstream.config import layers, secrets, secured
from clickstream.config.layers import PREFIX, Tree
from clickstream.config.sections import (
    Alerts,
    Batch,
    Cassandra,
    Dashboard,
    Database,
    Flume,
    Follow,
    Hdfs,
    Kafka,
    Replay,
    Section,
    Server,
    Spark,
    Speed,
    Stack,
    Tls,
)
from clickstream.errors import UsageError
from clickstream.home import Home
from clickstream.rows import ALL
from clickstream.weblog.categories import Categories

SERVER_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
FLAGS = PREFIX + "FLAGS"


class Origin(NamedTuple):
    """Where the values came from: the file read, the flags given, and what each source holds."""

    file: Path | None
    flags: dict[str, str]
    sources: tuple[tuple[str, Tree], ...]


_SERVERS: Tree = {"servers": {"weblog1": {"agent": "agent1"}, "weblog2": {"agent": "agent2"}}}


class Settings(Section):
    """Everything that can be configured. `home` holds the state of one deployment."""

    home: Path = Path()
    servers: dict[str, Server] = Field(default_factory=lambda: _servers(_SERVERS))
    collector: str = "agent3"
    stack: Stack = Stack()
    tls: Tls = Tls()
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
    dashboard: Dashboard = Dashboard()

    _origin: Origin = PrivateAttr(default=Origin(None, {}, ()))

    @field_validator("servers")
    @classmethod
    def _names(cls, servers: dict[str, Server]) -> dict[str, Server]:
        for name in servers:
            if name == ALL or not SERVER_NAME.match(name):
                rule = f"[A-Za-z0-9._-]+, and not {ALL!r}"
                raise ValueError(f"{name!r} is not a server name ({rule})")
        agents = [server.agent for server in servers.values()]
        if len(set(agents)) < len(agents):
            raise ValueError("two servers name the same agent")
        return servers

    @property
    def origin(self) -> Origin:
        """Where the values came from."""
        return self._origin

    def require_server(self, name: str) -> None:
        """Raise UsageError, with the names of those there are, for an unknown server."""
        if name not in self.servers:
            hint = f"servers of this configuration: {', '.join(self.servers)}"
            raise UsageError(f"there is no server {name}", hint)

    @property
    def files(self) -> Home:
        """The files of the home."""
        return Home(self.home)

    def secret(self, key: str) -> str:
        """A secret by its key, from `<key>_file` where that is named; empty where none is given.

        Raises UsageError where the file is missing, or others may read it.
        """
        section, name = key.split(".")
        given: SecretStr = getattr(getattr(self, section), name)
        return self.secret_file(key + secrets.FILE) or given.get_secret_value()

    def secret_file(self, key: str) -> str:
        """What the file holds that a key names, empty where it names none; raises as `secret`."""
        section, name = key.split(".")
        file: str = getattr(getattr(self, section), name)
        return secrets.read(self.files.configured(file), key) if file else ""

    def child_env(self) -> dict[str, str]:
        """The environment in which a child of ours loads these same settings."""
        env = dict(os.environ) | {PREFIX + "HOME": str(self.home)}
        if self.origin.flags:
            env[FLAGS] = json.dumps(self.origin.flags)
        if self.origin.file:
            env[PREFIX + "CONFIG"] = str(self.origin.file)
        return env


def _servers(tree: Tree) -> dict[str, Server]:
    return {name: Server(**server) for name, server in tree["servers"].items()}


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
    root = _home(home)
    found = _file(file, root)
    sources = _sources(given, found, Home(root))
    try:
        settings = Settings.model_validate(_merged([tree for _, tree in sources]))
    except ValidationError as error:
        hint = "clickstream config show lists every key"
        raise UsageError(_sentence(error, sources), hint) from None
    settings.home = root
    settings._origin = Origin(found, given, sources)
    return settings


def _sources(
    flags: Mapping[str, str], file: Path | None, home: Home
) -> tuple[tuple[str, Tree], ...]:
    """What each source gives; raises UsageError where a secret stands where others can read it."""
    secret = set(secrets.keys(Settings))
    flagged = layers.parsed({tuple(key.split(".")): text for key, text in flags.items()}, secret)
    variables = layers.parsed(layers.environment(Settings.model_fields), secret)
    written = layers.read(file) if file else {}
    secrets.refuse_in_flags(flagged, secret)
    if file:
        secrets.refuse_in_public(written, secret, file)
    local = secured.tree(home, layers.laid_over([flagged, variables, written]))
    trees = secrets.nearest([flagged, variables, written, local], secret)
    return tuple(zip(("flag", "environment", "file", "secured stack"), trees, strict=True))


def shown(settings: Settings) -> list[Shown]:
    """Every key in force with its source; secrets are masked."""
    sources = [(name, layers.leaves(tree)) for name, tree in settings.origin.sources]
    rows = [Shown("home", str(settings.home), "the home in use")]
    for key, value in layers.leaves(settings.model_dump(exclude={"home"})).items():
        source = next((name for name, keys in sources if key in keys), "default")
        rows.append(Shown(".".join(key), secrets.masked(key[-1], value), source))
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


def _sentence(error: ValidationError, sources: Sequence[tuple[str, Tree]]) -> str:
    return "; ".join(_problem(problem, sources) for problem in error.errors())


def _problem(problem: Any, sources: Sequence[tuple[str, Tree]]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    source = next((name for name, tree in sources if layers.holds(tree, problem["loc"])), "default")
    unknown = problem["type"] == "extra_forbidden"
    return f"{'unknown setting ' if unknown else ''}{key} ({source})" + (
        "" if unknown else f": {problem['msg']}"
    )
