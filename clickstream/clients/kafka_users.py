"""The users of Kafka that log in by SCRAM, and what each may do."""

from collections.abc import Mapping, Sequence

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

ITERATIONS = 4096
TIMEOUT_S = 20
OPERATIONS = (
    AclOperation.CREATE,
    AclOperation.WRITE,
    AclOperation.READ,
    AclOperation.DESCRIBE_CONFIGS,
)
"""The collector makes the topic and writes, everybody else reads; the last is for the doctor."""


def ensure(
    client: Mapping[str, str],
    user: str,
    password: str,
    topic: str,
    operations: Sequence[AclOperation] = OPERATIONS,
) -> None:
    """Make a user who may do these operations on a topic, or give it this password and the rights.

    `client` are librdkafka's keys of an administrator. Raises KafkaException.
    """
    admin = AdminClient({**client, "log_level": 0})
    credentials = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    made = UserScramCredentialUpsertion(user, credentials, password.encode())
    for done in admin.alter_user_scram_credentials([made]).values():
        done.result(TIMEOUT_S)
    every, literal, allow = "*", ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    bindings = [
        AclBinding(ResourceType.TOPIC, topic, literal, f"User:{user}", every, operation, allow)
        for operation in operations
    ]
    for done in admin.create_acls(bindings).values() if bindings else ():
        done.result(TIMEOUT_S)
