"""How every client of ours talks to Kafka: addresses, security, topics."""

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
from streams.runtime import record_batches as _guard  # noqa: F401 - every consumer of ours reads within its bounds
from streams.runtime.tls import kafka_tls

MAX_MESSAGE_BYTES = 32 << 20
SHOWN_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Topic:
    """One of our topics and how it is kept."""

    name: str
    purpose: str
    config: tuple[tuple[str, str], ...] = ()
    needed: bool = True
    """By every worker."""


_COMPACT = (("cleanup.policy", "compact"), ("segment.ms", "600000"), ("min.cleanable.dirty.ratio", "0.1"))
STAMPED_BY_BROKER = ("message.timestamp.type", "LogAppendTime")
"""Of topics that services write: the time of a record is the broker's, whatever its producer says. It bounds the time
of events (`agents.common.watermark`), and retention counts from it."""
TOPICS = (
    Topic("events", "what services publish", (STAMPED_BY_BROKER,)),
    Topic("feedback", "labels for events", (STAMPED_BY_BROKER,)),
    Topic("scored", "events with their signals"),
    Topic("alerts", "changes of state of alerts", _COMPACT),
    Topic("aggregates", "one-minute windows"),
    Topic("dead_letters", "records that could not be judged"),
    Topic("quality", "live quality of the agents, by labels"),
    Topic("label_requests", "events whose labels are worth having"),
    Topic("snapshots", "state of the workers", _COMPACT),
    Topic("shadow", "what a second version would have said", needed=False),
    Topic("verdicts", "what the reviewers said", needed=False),
)


def topics(kafka: KafkaSettings) -> dict[str, Topic]:
    """Return every topic this installation has, by its full name; a Collector's only where they are read."""
    ours = {kafka.topic(t.name): t for t in TOPICS}
    return ours | {name: Topic(name, "OTLP") for name in otlp_topics(kafka)}


def otlp_topics(kafka: KafkaSettings) -> list[str]:
    """Return the topics of a Collector that are read: none unless ``kafka.otlp`` is on."""
    return [kafka.otlp_spans_topic, kafka.otlp_logs_topic] if kafka.otlp else []


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the connection arguments that every aiokafka client takes."""
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


async def partitions_of(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Return every topic of the broker with the number of its partitions.

    All are listed and none is asked for by its name: a broker with ``auto.create.topics.enable`` makes what it is asked
    about.
    """
    return {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if not t["error_code"]}


async def stamped_by_producers(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Return whether the records of a topic have the time that their producer says.

    False where the broker does not show it: librdkafka's mock cluster, or a user without DESCRIBE_CONFIGS.
    """
    name, wanted = STAMPED_BY_BROKER
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: None})])
    except KafkaError:
        return False
    rows = [row for response in responses for *_, shown in response.resources for row in shown]
    return any(row[0] == name and row[1] != wanted for row in rows)


async def create_topics(kafka: KafkaSettings) -> list[str]:
    """Create the topics that do not exist yet; return their full names, as a rule once they can be seen.

    Raises
    ------
    BrokerError
        If the broker does not answer or refuses, with the remedy.
    """
    async with _admin(kafka) as admin:
        return await _create_missing(admin, kafka)


async def check_topics(kafka: KafkaSettings) -> None:
    """Look whether all topics are there that a worker needs; a Collector may still make its own.

    Those that are missing get a few seconds: they may have been made a moment ago, and this broker not know it yet.

    Raises
    ------
    BrokerError
        If one is missing, or the broker does not answer, with the remedy.
    """
    async with _admin(kafka) as admin:
        missing = await _not_shown(admin, [kafka.topic(t.name) for t in TOPICS if t.needed])
    if missing:
        raise BrokerError(
            f"kafka.brokers={kafka.brokers}: no topic {', '.join(missing)}; run: streamgauge topics create",
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
            f"kafka.brokers={kafka.brokers}: {error!r}; is the broker up, and may we see and create topics?",
            "kafka.brokers",
        ) from error
    finally:
        await admin.close()


async def _create_missing(admin: AIOKafkaAdminClient, kafka: KafkaSettings) -> list[str]:
    present = await partitions_of(admin)
    missing = {name: topic for name, topic in topics(kafka).items() if name not in present}
    if not missing:
        return []
    cluster = await admin.describe_cluster()
    if cluster["controller_id"] in {broker["node_id"] for broker in cluster["brokers"]}:
        await _create(admin, kafka, missing)
    else:
        await _ask_for(admin, list(missing))
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
                f"topic {name}: {error.__name__} {rest}; create it by hand or grant us CREATE",
                code="not_created",
                topics=(name,),
            )
    # What is not shown by then is made all the same: whoever may CREATE need not be allowed to DESCRIBE.
    await _not_shown(admin, list(missing))


async def _not_shown(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[str]:
    """Return the topics that are not shown within a few seconds.

    A controller answers once a topic is in its log, which brokers read a little later; each look may ask another one.
    """
    deadline = asyncio.get_running_loop().time() + SHOWN_WITHIN_S
    while True:
        present = await partitions_of(admin)
        left = [name for name in names if name not in present]
        if not left or asyncio.get_running_loop().time() > deadline:
            return left
        await asyncio.sleep(0.05)


async def _ask_for(admin: AIOKafkaAdminClient, missing: Sequence[str]) -> None:
    """Have topics made by a broker without a controller: librdkafka's mock cluster makes what it is asked about."""
    await admin.describe_topics(list(missing))
    if left := await _not_shown(admin, missing):
        raise BrokerError(
            f"topics {', '.join(left)}: the cluster has no controller now, and only it makes topics; "
            "look at its controllers, then try again",
            code="not_created",
            topics=tuple(left),
        )
