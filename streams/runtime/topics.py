"""Kafka connection options and topics, shared by all clients of the monitor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.errors import BrokerError
from schemas.setting_sections import KafkaSettings
from streams.runtime import record_batches as _guard  # noqa: F401 - bounds what every consumer reads
from streams.runtime.tls import kafka_tls

MAX_MESSAGE_BYTES = 32 << 20
VISIBLE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Topic:
    """Topic of the monitor and its configuration."""

    name: str
    purpose: str
    config: tuple[tuple[str, str], ...] = ()
    required: bool = True
    """True if every worker requires the topic."""


_COMPACT = (("cleanup.policy", "compact"), ("segment.ms", "600000"), ("min.cleanable.dirty.ratio", "0.1"))
BROKER_TIMESTAMPS = ("message.timestamp.type", "LogAppendTime")
"""Topic option of topics that services write: the broker sets each record's time and ignores the producer's. This time
bounds the time of events (`agents.common.watermark`), and retention counts from it."""
TOPICS = (
    Topic("events", "events that services publish", (BROKER_TIMESTAMPS,)),
    Topic("feedback", "labels for events", (BROKER_TIMESTAMPS,)),
    Topic("scored", "events with their signals"),
    Topic("alerts", "alert state changes", _COMPACT),
    Topic("aggregates", "one-minute aggregate windows"),
    Topic("dead_letters", "records that could not be scored or stored"),
    Topic("quality", "live quality of the agents, measured against labels"),
    Topic("label_requests", "requests for labels of informative events"),
    Topic("snapshots", "state snapshots of the workers", _COMPACT),
    Topic("shadow", "findings of the shadow version", required=False),
    Topic("verdicts", "results of the reviewers", required=False),
)


def topics(kafka: KafkaSettings) -> dict[str, Topic]:
    """Return the topics of this installation, by full name; includes a Collector's topics if the worker reads them."""
    monitor_topics = {kafka.topic(t.name): t for t in TOPICS}
    return monitor_topics | {name: Topic(name, "OTLP") for name in otlp_topics(kafka)}


def otlp_topics(kafka: KafkaSettings) -> list[str]:
    """Return the Collector topics that the worker reads; none unless ``kafka.otlp`` is on."""
    return [kafka.otlp_spans_topic, kafka.otlp_logs_topic] if kafka.otlp else []


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the connection arguments of every aiokafka client."""
    options: dict[str, Any] = {"bootstrap_servers": kafka.brokers, "security_protocol": kafka.security_protocol}
    if (tls := kafka_tls(kafka)) is not None:
        options["ssl_context"] = tls
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": kafka.password.get_secret_value() if kafka.password else None,
        }
    return options


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Return all topics of the broker with their partition counts.

    The request names no topic, because a broker with ``auto.create.topics.enable`` creates the topics that it is asked
    for.
    """
    return {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if not t["error_code"]}


async def has_producer_timestamps(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Return whether the producer sets the time of a topic's records.

    Returns False if the broker does not expose the option: librdkafka's mock cluster, or no DESCRIBE_CONFIGS right.
    """
    name, expected = BROKER_TIMESTAMPS
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})])
    except KafkaError:
        return False
    rows = [row for response in responses for *_, entries in response.resources for row in entries]
    return any(row[0] == name and row[1] != expected for row in rows)


async def create_topics(kafka: KafkaSettings) -> list[str]:
    """Create missing topics; return their full names, usually once they are visible.

    Raises
    ------
    BrokerError
        If the broker does not respond or refuses; the message names the remedy.
    """
    async with _admin(kafka) as admin:
        return await _create_missing(admin, kafka)


async def check_topics(kafka: KafkaSettings) -> None:
    """Check that the topics required by a worker exist; a Collector may create its own topics later.

    Missing topics are checked for up to 5 s: a broker may learn of a new topic with a delay.

    Raises
    ------
    BrokerError
        If a topic is missing or the broker does not respond; the message names the remedy.
    """
    async with _admin(kafka) as admin:
        missing = await _wait_visible(admin, [kafka.topic(t.name) for t in TOPICS if t.required])
    if missing:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: missing topics: {', '.join(missing)}; run: streamgauge topics create",
            code="missing_topic",
            topics=tuple(missing),
        )


@asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: {error!r}; check that the broker is up and that this user may describe "
            "and create topics",
            "kafka.brokers",
        ) from error
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, kafka: KafkaSettings) -> list[str]:
    present = await partition_counts(admin)
    missing = {name: topic for name, topic in topics(kafka).items() if name not in present}
    if not missing:
        return []
    cluster = await admin.describe_cluster()
    if cluster["controller_id"] in {broker["node_id"] for broker in cluster["brokers"]}:
        await _create(admin, kafka, missing)
    else:
        await _create_by_lookup(admin, list(missing))
    return list(missing)


async def _create(admin: AIOKafkaAdminClient, kafka: KafkaSettings, missing: Mapping[str, Topic]) -> None:
    new = [
        NewTopic(
            name,
            kafka.partitions,
            kafka.replication_factor,
            topic_configs={"max.message.bytes": str(MAX_MESSAGE_BYTES), **dict(topic.config)},
        )
        for name, topic in missing.items()
    ]
    response = await admin.create_topics(new)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise BrokerError(
                f"topic {name}: {error.__name__} {rest}; create the topic by hand, or grant this user CREATE",
                code="not_created",
                topics=(name,),
            )
    # A topic that stays invisible is created all the same: a user with CREATE may lack DESCRIBE.
    await _wait_visible(admin, list(missing))


async def _wait_visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[str]:
    """Wait until topics are visible; return the topics that are not visible after 5 s.

    A controller responds once a topic is in its log, which brokers read with a delay. Each request may reach a
    different broker.
    """
    deadline = asyncio.get_running_loop().time() + VISIBLE_WITHIN_S
    while True:
        present = await partition_counts(admin)
        hidden = [name for name in names if name not in present]
        if not hidden or asyncio.get_running_loop().time() > deadline:
            return hidden
        await asyncio.sleep(0.05)


async def _create_by_lookup(admin: AIOKafkaAdminClient, missing: Sequence[str]) -> None:
    """Create topics on librdkafka's mock cluster, which has no controller and creates the topics it is asked for."""
    await admin.describe_topics(list(missing))
    if missing_topics := await _wait_visible(admin, missing):
        raise BrokerError(
            f"topics {', '.join(missing_topics)}: not created, because the cluster has no controller; "
            "check its controllers, then retry",
            code="not_created",
            topics=tuple(missing_topics),
        )
