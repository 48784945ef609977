"""TLS on the hop to the collector, Kerberos at HDFS, and what an agent's Java wants for them.

Flume's collector can neither ask for certificates nor does an edge agent look at the name in the
collector's: a CA of one's own (or the certificate itself) says who the collector is, and
`flume.collector_allow` who may send to it.
"""

from pathlib import Path

from clickstream.clients import endpoints, kafka_security, kerberos, tls
from clickstream.clients.tls import Material
from clickstream.config import Settings
from clickstream.errors import ClickstreamError, UsageError
from clickstream.home import write_atomic
from clickstream.runtime import trust

OLD = "SSLv3 TLSv1 TLSv1.1"


def sink(settings: Settings, agent: str) -> dict[str, str]:
    """What an edge agent's sink is told of TLS; nothing where there is none."""
    if not settings.flume.collector_tls:
        return {}
    told = {"ssl": "true", "exclude-protocols": OLD}
    if settings.flume.collector_ca or settings.tls.ca:
        told |= _store("truststore", settings.files.trust_store(agent))
    return told


def source(settings: Settings, agent: str) -> dict[str, str]:
    """What the collector's source is told of TLS, and from whom it takes lines."""
    told = {}
    if settings.flume.collector_tls:
        told = {"ssl": "true", "exclude-protocols": OLD}
        told |= _store("keystore", settings.files.key_store(agent))
    if allowed := settings.flume.collector_allow:
        # What no rule names is let in.
        rules = [*(f"allow:ip:{address}" for address in allowed), "deny:ip:*"]
        told |= {"ipFilter": "true", "ipFilterRules": ",".join(rules)}
    return told


def hdfs_sink(settings: Settings) -> dict[str, str]:
    """What the collector's sinks to HDFS are told of Kerberos; nothing where there is none."""
    if not kerberos.on(settings):
        return {}
    keytab = settings.files.configured(settings.hdfs.keytab)
    return {"kerberosPrincipal": settings.hdfs.principal, "kerberosKeytab": str(keytab)}


def write_edge_store(settings: Settings, agent: str) -> None:
    """Write whom an edge agent trusts."""
    ca = trusted(settings).ca
    if settings.flume.collector_tls and ca:
        store = trust.trust_store(_certificates(ca))
        write_atomic(settings.files.trust_store(agent), store, private=True)


def write_collector_stores(settings: Settings, agent: str) -> None:
    """Write the collector's keys: for its own source, and for Kafka.

    Raises as `kerberos.require`: the sinks of an agent that cannot log in are silently not there.
    """
    kerberos.require(settings)
    if settings.flume.collector_tls:
        certificate, key = _pair(settings)
        private = trust.private_key(key.read_text())
        keys = trust.key_store(private, _certificates(certificate))
        write_atomic(settings.files.key_store(agent), keys, private=True)
    if store := kafka_security.key_store(settings):
        write_atomic(settings.files.kafka_key(agent), store, private=True)


def refuse_other_tls(settings: Settings, port: int) -> None:
    """Raise ClickstreamError where a collector that answers speaks TLS in another way than we do.

    Its own log would hold the lines of web logs that come to a port with TLS in clear.
    """
    host = settings.flume.collector_host
    where = f"the collector at {host}:{port}"
    if not settings.flume.collector_tls:
        if not endpoints.is_loopback(host) and tls.spoken(host, port):
            raise ClickstreamError(f"{where} speaks TLS", "set flume.collector_tls = true")
        return
    problem = tls.problem(host, port, trusted(settings), check_name=False)
    if problem and problem.answers:
        raise ClickstreamError(f"{where}: {problem.reason}", problem.hint)


def trusted(settings: Settings) -> Material:
    """Whom an edge agent trusts: `flume.collector_ca`, else `tls.ca`."""
    if file := settings.flume.collector_ca:
        ca = settings.files.configured(file)
        tls.require_certificate(ca, "flume.collector_ca")
        return Material(ca, setting="flume.collector_ca")
    return Material(tls.material(settings).ca)


def _pair(settings: Settings) -> tuple[Path, Path]:
    flume = settings.flume
    if not (flume.collector_certificate and flume.collector_key):
        raise UsageError(
            f"flume.collector_tls is on, and {settings.collector} has no certificate",
            "name it: flume.collector_certificate and flume.collector_key",
        )
    certificate, key = (
        settings.files.configured(file)
        for file in (flume.collector_certificate, flume.collector_key)
    )
    tls.require_pair(certificate, key, "flume.collector_certificate", "flume.collector_key")
    return certificate, key


def _store(kind: str, path: Path) -> dict[str, str]:
    return {kind: str(path), f"{kind}-type": "JKS", f"{kind}-password": trust.PASSWORD}


def _certificates(path: Path) -> list[bytes]:
    return trust.certificates(path.read_text(errors="replace"))
