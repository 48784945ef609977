"""Kafka, Cassandra and MariaDB with TLS and logins, whose users have the rights of docs/cluster.md.

No more than those: the statements are read from that page.
"""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pymysql
from confluent_kafka.admin import AclOperation

from clickstream.clients import kafka_users
from clickstream.clients.endpoints import LOOPBACK, port_open
from clickstream.config import Settings
from clickstream.stack import ports
from clickstream.stack.cassandra import Cassandra
from clickstream.stack.hdfs import Hdfs
from clickstream.stack.kafka import Kafka
from clickstream.stack.mariadb import MariaDB
from clickstream.stack.service import Service
from tests.certificates import Authority

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
ADMINISTRATOR = "administrator"
JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required"
ACL = re.compile(r"User:(\w+) ((?:--operation \w+ ?)+)")


def documented(heading: str, language: str) -> str:
    """A block of a section of the page."""
    section = PAGE.read_text().partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


def statements(heading: str, passwords: dict[str, str]) -> Iterator[str]:
    """The SQL of a section, with the passwords of its users."""
    for line in documented(heading, "sql").splitlines():
        statement = line.partition(" -- ")[0].strip()
        if made := re.match(r"CREATE (?:USER|ROLE) (\w+)", statement):
            statement = statement.replace("…", passwords[made[1]])
        yield statement


class SecuredKafka(Kafka):
    """SASL_SSL with SCRAM for clients, mutual TLS for the controller, and rights by ACL."""

    authority: Authority
    passwords: dict[str, str]

    def _properties(self, data):
        plain = super()._properties(data)
        store = self.authority.issue("kafka").store
        text = plain.content
        for old, new in (
            ("listeners=PLAINTEXT:", "listeners=SASL_SSL:"),
            ("inter.broker.listener.name=PLAINTEXT", "inter.broker.listener.name=SASL_SSL"),
            ("CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT", "CONTROLLER:SSL,SASL_SSL:SASL_SSL"),
        ):
            assert old in text
            text = text.replace(old, new)
        login = f'{JAAS} username="{ADMINISTRATOR}" password="{self._password()}";'
        added = f"""
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={self.authority.ca}
listener.name.controller.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{ADMINISTRATOR};User:CN=kafka
"""
        return plain._replace(content=text + added)

    def _main(self, *arguments):
        if "format" in arguments:
            user = f"[name={ADMINISTRATOR},password={self._password()}]"
            arguments = (*arguments, "--add-scram", f"SCRAM-SHA-512={user}")
        return super()._main(*arguments)

    def after_start(self):
        """The users of the page, and one without rights."""
        rights = ACL.findall(documented("Kafka", "sh").replace("\\\n", ""))
        operations = {
            name: [AclOperation[word.upper()] for word in words.replace("--operation", "").split()]
            for name, words in rights
        }
        assert sum(map(len, operations.values())) == 3
        for name in (*operations, "nobody"):
            allowed = operations.get(name, [])
            password = self.passwords[name]
            kafka_users.ensure(self._client(), name, password, "clickstream", allowed)

    def _password(self):
        return self.passwords.setdefault(ADMINISTRATOR, secrets.token_urlsafe(16))

    def _client(self):
        return {
            "bootstrap.servers": f"{LOOPBACK}:{self.ports['kafka']}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": ADMINISTRATOR,
            "sasl.password": self._password(),
            "ssl.ca.location": str(self.authority.ca),
        }


class SecuredCassandra(Cassandra):
    """TLS for clients, and roles."""

    authority: Authority
    passwords: dict[str, str]

    def prepare(self):
        super().prepare()
        file = self.directory / "conf" / "cassandra.yaml"
        store = self.authority.issue("cassandra").store
        file.write_text(
            file.read_text()
            + f"""
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
client_encryption_options:
  enabled: true
  optional: false
  keystore: {store}
  truststore: {self.authority.ca}
  require_client_auth: false
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
"""
        )

    def ready(self, process):
        if not port_open(self.ports[process]):
            return False
        import ssl

        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import Cluster, NoHostAvailable

        cluster = Cluster(
            [LOOPBACK],
            port=self.ports["cassandra"],
            protocol_version=5,
            auth_provider=PlainTextAuthProvider("cassandra", "cassandra"),
            ssl_context=ssl.create_default_context(cafile=self.authority.ca),
        )
        try:
            session = cluster.connect()
            for statement in statements("Cassandra", self.passwords):
                session.execute(statement.replace("'dc1': 3", "'datacenter1': 1"))
        except NoHostAvailable:
            return False
        finally:
            cluster.shutdown()
        return True


class SecuredMariaDB(MariaDB):
    """TLS demanded of every user."""

    authority: Authority
    passwords: dict[str, str]

    def commands(self):
        argv = [word for word in super().commands()["mariadb"] if word != "--skip-ssl"]
        own = self.authority.issue("mariadb")
        argv += [f"--ssl-cert={own.certificate}", f"--ssl-key={own.key}"]
        return {"mariadb": [*argv, "--require-secure-transport=ON"]}

    def _start_sql(self):
        return "".join(f"{line}\n" for line in statements("MariaDB", self.passwords))

    def ready(self, process):
        try:
            pymysql.connect(
                host=LOOPBACK,
                port=self.ports[process],
                user="clickstream_reader",
                password=self.passwords["clickstream_reader"],
                database="clickstream",
            ).close()
        except pymysql.MySQLError:
            return False
        return True


def services(settings: Settings, authority: Authority, passwords: dict[str, str]) -> list[Service]:
    """A secured cluster in a home, not yet started: its HDFS is as it is."""
    kinds = (Hdfs, SecuredKafka, SecuredCassandra, SecuredMariaDB)
    found = [kind(settings) for kind in kinds]
    for service in found:
        service.authority, service.passwords = authority, passwords
    ports.assign(settings, [name for service in found for name in service.port_names()])
    return found
