"""How the stored lines of a server are read, and the refusal to read them in another way.

A vhost_combined line passes as a combined one with its columns shifted. So once a server has valid
lines, its format may only change within a family (`weblog.reader`): the ledger notes the family.
"""

from collections.abc import Iterable

from clickstream import weblog
from clickstream.config import Settings
from clickstream.errors import BadInput
from clickstream.ledger import VALID, Ledger
from clickstream.weblog import Format


def of(settings: Settings, server: str) -> Format:
    """The format that is configured for a server."""
    return weblog.FORMATS[settings.servers[server].format]


def settle(ledger: Ledger, settings: Settings, servers: Iterable[str]) -> None:
    """Note how the lines of the servers will be read; before any of them is spooled.

    Raises BadInput where valid lines of a server stand there that are read in another way.
    """
    for server in servers:
        check(ledger, settings, server)
        if ledger.noted(_key(server)) != (family := _family(settings, server)):
            ledger.note(_key(server), family)


def check(ledger: Ledger, settings: Settings, server: str) -> None:
    """Refuse a format in which the valid lines of a server would be misread; raises BadInput."""
    # Until formats could be chosen, every line was a common or combined one.
    noted = ledger.noted(_key(server)) or weblog.COMBINED.name
    if noted != _family(settings, server) and ledger.totals(server)[VALID]:
        raise BadInput(
            f"the lines of {server} were taken as {noted}; with servers.{server}.format ="
            f' "{settings.servers[server].format}" they would be misread',
            "set it back, and give logs of the other format to another server ([servers.NAME])",
        )


def check_home(settings: Settings) -> None:
    """The same for every server, where this home has a ledger."""
    path = settings.path("ledger.db")
    if path.is_file():
        with Ledger.open(path) as ledger:
            for server in settings.servers:
                check(ledger, settings, server)


def _key(server: str) -> str:
    return f"format.{server}"


def _family(settings: Settings, server: str) -> str:
    return weblog.reader(of(settings, server)).name
