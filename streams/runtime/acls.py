"""What each service may do in Kafka: one user per service, and only what it does (docs/security.md has the table)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # named in its documentation, though not in __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas.errors import BrokerError
from schemas.setting_sections import KafkaSettings
from schemas.settings import Settings

USER_PREFIX = "streamgauge_"
_WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Role:
    """A service's rights.

    Attributes
    ----------
    read, write
        Topics by their short names; to describe them goes with either.
    groups
        Consumer groups it may be in: names, or beginnings of names that end with ``*``.
    """

    name: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """Its name in Kafka."""
        return f"{USER_PREFIX}{self.name}"


def roles(settings: Settings) -> tuple[Role, ...]:
    """Return the roles of an installation.

    Whoever writes ``snapshots`` or ``events`` writes what the worker trusts, so nobody but the worker writes the first;
    the second has many writers, for which reason commands in it are signed.
    """
    otlp = ("otlp_spans", "otlp_logs") if settings.kafka.otlp else ()
    return (
        Role(
            "worker",
            read=("events", "feedback", "snapshots", "alerts", "label_requests", "shadow", *otlp),
            write=(
                *("events", "feedback", "scored", "alerts", "aggregates", "dead_letters", "quality"),
                *("label_requests", "snapshots", "shadow"),
            ),
            groups=(settings.worker.group,),
        ),
        Role(
            "sink",
            read=("scored", "alerts", "aggregates", "dead_letters", "quality", "feedback"),
            write=("dead_letters",),
            groups=(settings.sink.group,),
        ),
        Role("ingest", write=("events", "feedback", "dead_letters")),
        Role("reviewers", read=("scored",), write=("verdicts", "feedback"), groups=(f"{settings.reviewers.group}-*",)),
        Role("services", read=("alerts",), write=("events", "feedback", *otlp), groups=("alerts-*",)),
    )


def create_acls(settings: Settings) -> int:
    """Grant each role what it may do; what is granted already stays. Return the number of grants.

    Raises
    ------
    BrokerError
        If the broker does not answer or refuses, with the remedy.
    """
    kafka = settings.kafka
    wanted = [acl for role in roles(settings) for acl in _bindings(role, kafka)]
    admin = AdminClient(_options(kafka))  # held: what it was asked for ends with it
    try:
        for granted in admin.create_acls(wanted, request_timeout=_WAIT_S).values():
            granted.result(_WAIT_S)
    except (KafkaException, TimeoutError) as error:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: {error}; ACLs are made by a super user, where an authorizer is configured",
            "kafka.brokers",
            "not_granted",
        ) from error
    return len(wanted)


def _bindings(role: Role, kafka: KafkaSettings) -> Iterator[AclBinding]:
    rights = [(role.read, AclOperation.READ), (role.write, AclOperation.WRITE)]
    for names, operation in rights:
        for name in names:
            yield _allow(role, ResourceType.TOPIC, _full(name, kafka), operation)
    # Each service looks whether the topics are there, and how large a record they take; neither is a secret.
    for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS):
        yield _allow(role, ResourceType.TOPIC, f"{kafka.topic('')}*", operation)
    for group in role.groups:
        yield _allow(role, ResourceType.GROUP, group, AclOperation.READ)


def _allow(role: Role, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if name.endswith("*") else ResourcePatternType.LITERAL
    user, anywhere = f"User:{role.user}", "*"
    return AclBinding(kind, name.rstrip("*"), pattern, user, anywhere, operation, AclPermissionType.ALLOW)


def _full(name: str, kafka: KafkaSettings) -> str:
    own = {"otlp_spans": kafka.otlp_spans_topic, "otlp_logs": kafka.otlp_logs_topic}
    return own.get(name) or kafka.topic(name)


def _options(kafka: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap.servers": kafka.brokers,
        "security.protocol": kafka.security_protocol,
        "log_level": 0,
    }
    if kafka.ca_file is not None:
        options["ssl.ca.location"] = str(kafka.ca_file)
    if kafka.security_protocol.startswith("SASL"):
        password = kafka.password.get_secret_value() if kafka.password else ""
        options |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.username or "",
            "sasl.password": password,
        }
    return options
