"""The database of the batch views: packets, rights and text that fit."""

from collections.abc import Iterator

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.doctor import clock, endpoint
from clickstream.doctor.finding import Finding, ok, problem, warning
from clickstream.views import batch_server
from clickstream.views.batch_server import Server

PORT = 3306
MIB = 2**20
LEAST_PACKET, ENOUGH_PACKET = MIB, 16 * MIB
"""Below the first a part of a visitor set does not fit; the second is the server's default."""
WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP")
CHARSET = "utf8mb4"


def check(settings: Settings) -> Iterator[Finding]:
    """The server's address, then what it says of itself."""
    url = endpoints.database_url(settings)
    where = [(url.host, url.port or PORT)] if url.host else []
    yield from (found := endpoint.reached("the database", where, "database.url"))
    if endpoint.nobody_answers(found):
        return
    told = batch_server.asked(settings)
    yield from of_tls(url.host or "", "ssl_ca" in url.query, told)
    yield from of(url.database or "", told)


def of_tls(host: str, checked: bool, told: Server) -> Iterator[Finding]:
    """The connection to a server on a host; `checked`: it must show a certificate we trust."""
    if told.tls and told.valid_until is not None:
        yield endpoint.validity("the database speaks TLS; its certificate", told.valid_until)
    if not host or endpoints.is_loopback(host):
        return
    hint = "add ssl_ca=FILE to database.url"
    if not told.tls:
        yield warning(f"the database at {host} is spoken to without TLS", hint)
    elif not checked:
        yield warning(f"nobody checks that the database at {host} is the right one", hint)


def of(database: str, told: Server) -> Iterator[Finding]:
    """What a server has told of a database."""
    if not told.version:
        yield ok(f"the batch views lie in a database of {told.kind}")
        return
    yield ok(f"the batch views lie in {told.version}")
    yield clock.service("the database", told.ahead_s)
    yield _packet(int(told.settings["max_allowed_packet"]))
    yield _charset(told)
    if told.settings["innodb_flush_log_at_trx_commit"] != "1":
        text = "the database commits before it syncs (innodb_flush_log_at_trx_commit is not 1)"
        yield warning(f"{text}: a day that was counted may be gone after a crash", "set it to 1")
    yield _writer(database, told)
    if told.reader_rights is not None:
        who = "the user of database.reader_url"
        yield endpoint.reader(who, database, (f"{database}.*", "it"), told.reader_rights)


def _packet(size: int) -> Finding:
    text = f"the database takes packets of {size / MIB:g} MiB (max_allowed_packet)"
    hint = f"set max_allowed_packet to {ENOUGH_PACKET // MIB}M"
    if size < LEAST_PACKET:
        return problem(f"{text}: visitor sets do not fit", hint)
    if size < ENOUGH_PACKET:
        return warning(f"{text}: days of many files may not fit", hint)
    return ok(text)


def _charset(told: Server) -> Finding:
    used = {told.settings[f"character_set_{each}"] for each in ("client", "results")}
    if used != {CHARSET}:
        text = f"the connection to the database is in {', '.join(sorted(used))}: bytes would change"
        return problem(text, f"database.url: leave charset out, or say charset={CHARSET}")
    return ok(f"the connection to the database is in {CHARSET}")


def _writer(database: str, told: Server) -> Finding:
    missing = [each for each in WRITES if not {each, endpoint.EVERYTHING} & told.rights]
    if missing:
        text = f"the user of database.url lacks {', '.join(missing)} in {database}"
        return problem(text, f"GRANT {', '.join(WRITES)} ON {database}.* TO it")
    return ok(f"the user of database.url may write in {database}")
