"""What is on a topic, all of it, by now."""

from __future__ import annotations

from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.settings import Settings


async def read_all(tree: Settings, topic: str) -> list[ConsumerRecord]:
    """Return the records of all partitions of one of our topics."""
    consumer = AIOKafkaConsumer(bootstrap_servers=tree.kafka.brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        tps = [TopicPartition(tree.kafka.topic(topic), p) for p in range(tree.kafka.partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for part in (await consumer.getmany(timeout_ms=300)).values():
                records += part
        return records
    finally:
        await consumer.stop()


async def values(tree: Settings, topic: str) -> list[dict[str, Any]]:
    """Return their values."""
    return [orjson.loads(record.value) for record in await read_all(tree, topic)]
