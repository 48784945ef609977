"""The local services: Kafka, HDFS, Cassandra, MariaDB, each started from jars on loopback."""
