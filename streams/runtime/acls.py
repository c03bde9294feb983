"""Kafka ACLs: one user per service with the minimum rights (table in docs/security.md)."""

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
    """Rights of a service.

    Attributes
    ----------
    read, write
        Short names of topics; either right includes describing the topic.
    groups
        Consumer groups that the service may join: names, or prefixes that end with ``*``.
    """

    name: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """User name in Kafka."""
        return f"{USER_PREFIX}{self.name}"


def roles(settings: Settings) -> tuple[Role, ...]:
    """Return the roles of an installation.

    The worker trusts the ``snapshots`` and ``events`` topics. Only the worker may write ``snapshots``. ``events`` has
    many writers, so commands in it are signed.
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
    """Grant each role its rights; existing grants stay. Return the number of grants.

    Raises
    ------
    BrokerError
        If the broker does not respond or refuses; the message names the remedy.
    """
    kafka = settings.kafka
    wanted = [acl for role in roles(settings) for acl in _bindings(role, kafka)]
    admin = AdminClient(_options(kafka))  # kept in a variable: pending requests end with the client
    try:
        for granted in admin.create_acls(wanted, request_timeout=_WAIT_S).values():
            granted.result(_WAIT_S)
    except (KafkaException, TimeoutError) as error:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: {error}; run as a super user on a cluster with an authorizer",
            "kafka.brokers",
            "not_granted",
        ) from error
    return len(wanted)


def _bindings(role: Role, kafka: KafkaSettings) -> Iterator[AclBinding]:
    rights = [(role.read, AclOperation.READ), (role.write, AclOperation.WRITE)]
    for names, operation in rights:
        for name in names:
            yield _allow(role, ResourceType.TOPIC, _full_name(name, kafka), operation)
    # Each service checks that the topics exist and reads their record size; neither is confidential.
    for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS):
        yield _allow(role, ResourceType.TOPIC, f"{kafka.topic('')}*", operation)
    for group in role.groups:
        yield _allow(role, ResourceType.GROUP, group, AclOperation.READ)


def _allow(role: Role, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if name.endswith("*") else ResourcePatternType.LITERAL
    user, anywhere = f"User:{role.user}", "*"
    return AclBinding(kind, name.rstrip("*"), pattern, user, anywhere, operation, AclPermissionType.ALLOW)


def _full_name(name: str, kafka: KafkaSettings) -> str:
    otlp = {"otlp_spans": kafka.otlp_spans_topic, "otlp_logs": kafka.otlp_logs_topic}
    return otlp.get(name) or kafka.topic(name)


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
