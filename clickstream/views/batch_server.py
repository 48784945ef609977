"""What the database of the batch views says of itself: version, clock, settings, rights."""

import re
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.views import batch_connection

_FACTS = """SELECT VERSION() AS version, UNIX_TIMESTAMP(NOW(6)) AS now, DATABASE() AS name,
    @@max_allowed_packet AS max_allowed_packet, @@character_set_client AS character_set_client,
    @@character_set_results AS character_set_results,
    @@innodb_flush_log_at_trx_commit AS innodb_flush_log_at_trx_commit"""
_TLS = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_cipher', 'Ssl_server_not_after')"
_GRANT = re.compile(r"GRANT (.+?) ON (\S+) TO ")
_EVERY = {"*.*", "*"}


class Server(NamedTuple):
    """The answers; of SQLite, which is a file, only its `kind`.

    `rights` are the writer's in its database, `reader_rights` the reader's, None where reports are
    answered as the writer. `tls`: the connection is encrypted; `valid_until`: epoch seconds, the
    end of its certificate.
    """

    kind: str
    version: str = ""
    ahead_s: float = 0.0
    settings: Mapping[str, str] = {}
    rights: frozenset[str] = frozenset()
    reader_rights: frozenset[str] | None = None
    tls: bool = False
    valid_until: float | None = None


def asked(settings: Settings) -> Server:
    """Ask the database as its writer and as its reader; changes nothing.

    Raises NotRunning where it does not answer or refuses a login.
    """
    writer, reader = (endpoints.database_url(settings, each) for each in (False, True))
    facts, rights = _asked(writer)
    reader_rights = None if reader == writer else _asked(reader)[1]
    if not facts:
        return Server(writer.get_backend_name())
    until = facts.pop("Ssl_server_not_after", "")
    return Server(
        writer.get_backend_name(),
        str(facts.pop("version")),
        float(facts.pop("now")) - time.time(),
        {name: str(value) for name, value in facts.items()},
        rights,
        reader_rights,
        bool(facts.get("Ssl_cipher")),
        ssl.cert_time_to_seconds(until) if until else None,
    )


def rights_in(database: str, grants: Iterable[str]) -> frozenset[str]:
    """The privileges that `SHOW GRANTS` names for all of a database."""
    found = set[str]()
    for grant in grants:
        match = _GRANT.match(grant)
        target = match[2].replace("`", "").replace("\\", "") if match else ""
        if match and (target in _EVERY or target in (f"{database}.*", database)):
            found |= {each.strip() for each in match[1].split(",")}
    return frozenset(found - {"USAGE"})


def _asked(url: sa.URL) -> tuple[dict[str, Any], frozenset[str]]:
    engine = batch_connection.engine(url)
    try:
        with batch_connection.errors(url), engine.connect() as connection:
            if engine.dialect.name not in ("mysql", "mariadb"):
                return {}, frozenset()
            facts = dict(connection.execute(sa.text(_FACTS)).mappings().one())
            facts.update((str(name), value) for name, value in connection.execute(sa.text(_TLS)))
            grants = connection.execute(sa.text("SHOW GRANTS")).scalars().all()
            return facts, rights_in(str(facts["name"]), map(str, grants))
    finally:
        engine.dispose()
