"""The hop from the web hosts to the collector: who it is, and who may send to it."""

from collections.abc import Iterator

from clickstream.clients import endpoints
from clickstream.config import Settings
from clickstream.doctor import endpoint
from clickstream.doctor.finding import Finding, ok, warning
from clickstream.ingest.flume import agent_config, security


def check(settings: Settings) -> Iterator[Finding]:
    """The collector as an agent of a web host sees it, and whom it lets send."""
    yield from _senders(settings)
    host, port = settings.flume.collector_host, agent_config.collector_port(settings)
    address = (host, port)
    remote = not endpoints.is_loopback(host)
    if not remote and not (port and endpoints.port_open(port, host)):
        return  # whether it should run here is told by the check of agents
    yield from (found := endpoint.reached("the collector", [address], "flume.collector_host"))
    if endpoint.nobody_answers(found):
        return
    trusted = security.trusted(settings) if settings.flume.collector_tls else None
    hint = "set flume.collector_tls = true"
    # Flume does not look at the name in a certificate.
    yield from endpoint.transport("the collector", [address], trusted, hint, check_name=False)


def _senders(settings: Settings) -> Iterator[Finding]:
    """Only of a collector that is on this host, and listens to others."""
    bound = settings.flume.collector_bind
    here = settings.files.agent(settings.collector).exists()
    if not here or endpoints.is_loopback(bound):
        return
    if settings.flume.collector_allow:
        yield ok("the collector takes lines from the addresses of flume.collector_allow alone")
    else:
        text = f"the collector listens on {bound} and takes lines from anybody"
        yield warning(text, "name the web hosts in flume.collector_allow")
