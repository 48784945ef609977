"""The formats of the servers, and the refusal to read stored lines in another one.

A vhost_combined line passes as a combined one with its columns shifted. So once a server has valid
lines, its format may only change within a family (formats of one `reading`). The ledger records in
which format lines were judged last; no agent may judge them in another one.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from clickstream import weblog
from clickstream.config import Settings
from clickstream.errors import BadInput
from clickstream.ledger import VALID, Chunk, Ledger
from clickstream.weblog import Format


def of(settings: Settings, server: str) -> Format:
    """The format that is configured for a server."""
    configured = settings.servers[server]
    return weblog.format_of(configured.format, configured.client)


def readings(settings: Settings) -> dict[str, Format]:
    """The formats of the servers whose stored lines are not read as COMBINED."""
    forms = {server: of(settings, server) for server in settings.servers}
    return {
        server: form for server, form in forms.items() if form.reading != weblog.COMBINED.reading
    }


def record_formats(ledger: Ledger, settings: Settings, servers: Iterable[str]) -> None:
    """Record how the lines of the servers are judged from now on; before any of them is spooled.

    Raises BadInput where valid lines of a server stand there that are read in another way, or where
    chunks wait that were judged in another format.
    """
    for server in servers:
        check(ledger, settings, server)
        _refuse_waiting(ledger, settings, server, ledger.open_chunks(server))
        words = _words(settings, server)
        if ledger.metadata(_key(server)) != words:
            ledger.set_metadata(_key(server), words)


def check(ledger: Ledger, settings: Settings, server: str) -> None:
    """Refuse a format in which the valid lines of a server would be misread; raises BadInput."""
    before, now = _recorded(ledger, settings, server), of(settings, server)
    if before.reading != now.reading and ledger.totals(server)[VALID]:
        raise BadInput(
            f"the lines of {server} were taken as {before.name}; with servers.{server}.format ="
            f' "{now.name}" they would be misread',
            "set it back, and give logs of the other format to another server ([servers.NAME])",
        )


def check_home(settings: Settings) -> None:
    """The same for every server, where this home has a ledger."""
    with _ledger(settings) as ledger:
        for server in settings.servers if ledger else ():
            check(cast(Ledger, ledger), settings, server)


def check_agent(settings: Settings, server: str, waits: Callable[[Chunk], bool]) -> None:
    """Refuse to start a server's agent where it would not judge lines as the ledger has.

    `waits`: whether a chunk still has to go through the agent. Raises BadInput.
    """
    with _ledger(settings) as ledger:
        if ledger is None:
            return
        check(ledger, settings, server)
        waiting = [chunk for chunk in ledger.open_chunks(server) if waits(chunk)]
        _refuse_waiting(ledger, settings, server, waiting)


def _refuse_waiting(ledger: Ledger, settings: Settings, server: str, waiting: list[Chunk]) -> None:
    before = _recorded(ledger, settings, server)
    if waiting and before.line != of(settings, server).line:
        raise BadInput(
            f"lines of {server} that were judged as {before.name} wait for its agent",
            f'let it take them first: servers.{server}.format = "{before.name}", clickstream'
            " ingest start, clickstream ingest replay --wait; then change the format",
        )


@contextmanager
def _ledger(settings: Settings) -> Iterator[Ledger | None]:
    path = settings.files.ledger
    if path.is_file():
        with Ledger.open(path) as ledger:
            yield ledger
    else:
        yield None


def _recorded(ledger: Ledger, settings: Settings, server: str) -> Format:
    """The format in which the lines were judged last; the present one where none is recorded."""
    words = ledger.metadata(_key(server))
    if not words:
        return of(settings, server)
    return weblog.format_of(*(json.loads(words) if words.startswith("[") else [words]))


def _words(settings: Settings, server: str) -> str:
    """The format as the ledger notes it: its name, else its and its client's words as JSON."""
    configured = settings.servers[server]
    if configured.format in weblog.FORMATS and not configured.client:
        return configured.format
    return json.dumps([configured.format, configured.client])


def _key(server: str) -> str:
    return f"format.{server}"
