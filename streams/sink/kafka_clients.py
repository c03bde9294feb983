"""Kafka clients of the sink: consumer, commit markers and dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.settings import Settings
from streams.runtime.dead_letters import Origin, build_dead_letter, send_reducing
from streams.runtime.metrics import SINK_ERRORS
from streams.runtime.producer import Producer
from streams.runtime.topics import client_options
from streams.sink.inserter import RejectedRecord
from streams.sink.range_planner import CommitMarker


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
        metadata_max_age_ms=10_000,  # topics created later are found within 10 s
        isolation_level="read_committed",
    )


class MarkerStore:
    """Reader of committed offsets with their metadata, which aiokafka's consumer does not expose."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = None

    async def read(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, CommitMarker]:
        """Return the marker of each partition; an empty marker if nothing was committed."""
        requested = list(partitions)
        if self._admin is None:
            admin = AIOKafkaAdminClient(**client_options(self._settings.kafka))
            await admin.start()
            self._admin = admin
        committed = await self._admin.list_consumer_group_offsets(self._settings.sink.group, partitions=requested)
        none = (-1, "")
        return {tp: CommitMarker.parse(*(committed.get(tp) or none)) for tp in requested}

    async def close(self) -> None:
        """Disconnect."""
        if self._admin is not None:
            await self._admin.close()


class DeadLetters:
    """Sender of rejected records to ``<prefix>.dead_letters``; waits for each delivery."""

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

    async def send(self, tp: TopicPartition, rejected: Sequence[RejectedRecord]) -> None:
        """Send the dead letters of rejected records and wait until they are written.

        A rejected dead letter is counted and not sent again, which would never end. It stays in its topic.
        """
        if tp.topic == self._topic:
            SINK_ERRORS.labels("bad_dead_letter").inc(len(rejected))
            return
        for item in rejected:
            if self._producer is not None:
                key = f"{tp.topic}-{tp.partition}-{item.record.offset}".encode()
                await send_reducing(self._producer, self._topic, key, dead_letter(tp, item))


def dead_letter(tp: TopicPartition, rejected: RejectedRecord) -> dict[str, Any]:
    """Return the dead letter of a rejected record; identical on every retry."""
    record = rejected.record
    origin = Origin(f"{tp.topic}-{tp.partition}-{record.offset}", tp.topic, tp.partition, record.offset)
    return build_dead_letter(origin, rejected.error, record.key, record.value)
