"""How every client of ours talks to Kafka: addresses, security, topics."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import BrokerError
from schemas.settings import Kafka

MAX_MESSAGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """One of our topics and how it is kept."""

    name: str
    purpose: str
    config: tuple[tuple[str, str], ...] = ()


_COMPACT = (("cleanup.policy", "compact"), ("segment.ms", "600000"), ("min.cleanable.dirty.ratio", "0.1"))
TOPICS = (
    Topic("events", "what services publish"),
    Topic("feedback", "labels for events"),
    Topic("scored", "events with their signals"),
    Topic("alerts", "changes of state of alerts", _COMPACT),
    Topic("aggregates", "one-minute windows"),
    Topic("deadletter", "records that could not be judged"),
    Topic("snapshots", "state of the workers", _COMPACT),
    Topic("shadow", "what a second version would have said"),
    Topic("verdicts", "what the tiers said"),
)


def topics(kafka: Kafka) -> dict[str, Topic]:
    """Return every topic this installation has, by its full name; a Collector's only where they are read."""
    ours = {kafka.topic(t.name): t for t in TOPICS}
    return ours | {name: Topic(name, "OTLP") for name in otlp_topics(kafka)}


def otlp_topics(kafka: Kafka) -> list[str]:
    """Return the topics of a Collector that are read: none unless ``kafka.otlp`` is on."""
    return [kafka.otlp_spans_topic, kafka.otlp_logs_topic] if kafka.otlp else []


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Return the connection arguments that every aiokafka client takes."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.brokers, "security_protocol": kafka.security_protocol}
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=kafka.ca_file)
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password.get_secret_value() if kafka.password else None,
        }
    return options


async def create_topics(kafka: Kafka) -> list[str]:
    """Create the topics that do not exist yet; return their full names.

    Raises
    ------
    BrokerError
        If the broker does not answer or refuses, with the remedy.
    """
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        try:
            return await _create_missing(admin, kafka)
        finally:
            await admin.close()
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: {error!r}; is the broker up, and may we create topics?"
        ) from error


async def _create_missing(admin: AIOKafkaAdminClient, kafka: Kafka) -> list[str]:
    present = set(await admin.list_topics())
    wanted = {name: t for name, t in topics(kafka).items() if name not in present}
    new = [
        NewTopic(
            name,
            kafka.partitions,
            kafka.replication_factor,
            topic_configs={"max.message.bytes": str(MAX_MESSAGE_BYTES), **dict(t.config)},
        )
        for name, t in wanted.items()
    ]
    response = await admin.create_topics(new) if new else None
    for topic, code, *rest in response.topic_errors if response else ():
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise BrokerError(f"topic {topic}: {error.__name__} {rest}; create it by hand or grant us CREATE")
    return list(wanted)
