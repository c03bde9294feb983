"""The sink's three connections to Kafka: records in, marks back, dead letters out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.settings import Settings
from streams.runtime.dead_letters import Origin, letter, post
from streams.runtime.metrics import SINK_ERRORS
from streams.runtime.producer import Producer
from streams.runtime.topics import client_options
from streams.sink.inserter import Bad
from streams.sink.range_planner import Mark


def consumer(settings: Settings) -> Any:
    """Return the sink's consumer, not started."""
    kafka = settings.kafka
    return AIOKafkaConsumer(
        **client_options(kafka),
        group_id=settings.sink.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(kafka.session_timeout_s * 1000),
        heartbeat_interval_ms=int(kafka.heartbeat_s * 1000),
        max_partition_fetch_bytes=4 << 20,
        metadata_max_age_ms=10_000,  # topics that appear later are found within ten seconds
        isolation_level="read_committed",
    )


class Marks:
    """Reads committed offsets with their metadata, which aiokafka's consumer does not show."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = None

    async def read(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Mark]:
        """Return each partition's mark; an empty one where nothing was committed."""
        wanted = list(partitions)
        if self._admin is None:
            admin = AIOKafkaAdminClient(**client_options(self._settings.kafka))
            await admin.start()
            self._admin = admin
        found = await self._admin.list_consumer_group_offsets(self._settings.sink.group, partitions=wanted)
        none = (-1, "")
        return {tp: Mark.parse(*(found.get(tp) or none)) for tp in wanted}

    async def close(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            await self._admin.close()


class DeadLetters:
    """Writes records that no table takes to ``<prefix>.dead_letters``, each delivery awaited."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka.topic("dead_letters")
        self._kafka = settings.kafka
        self._producer: Producer | None = None

    async def start(self) -> None:
        """Connect."""
        self._producer = Producer(self._kafka, ["dead_letters"], linger_ms=0)
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, tp: TopicPartition, bad: Sequence[Bad]) -> None:
        """Write them and wait until the broker has them.

        A dead letter that does not fit its own table is only counted: writing another would never end. It stays in
        its topic.
        """
        if tp.topic == self._topic:
            SINK_ERRORS.labels("bad_dead_letter").inc(len(bad))
            return
        for one in bad:
            if self._producer is not None:
                key = f"{tp.topic}-{tp.partition}-{one.record.offset}".encode()
                await post(self._producer, self._topic, key, dead_letter(tp, one))


def dead_letter(tp: TopicPartition, bad: Bad) -> dict[str, Any]:
    """Return the dead letter of one record; the same at every try."""
    record = bad.record
    origin = Origin(f"{tp.topic}-{tp.partition}-{record.offset}", tp.topic, tp.partition, record.offset)
    return letter(origin, bad.error, record.key, record.value)
