"""Lower bound of the cost: aiokafka's fetch loop and orjson only."""

from __future__ import annotations

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from throughput_probe import arguments


async def main() -> None:
    broker, topic, probe = arguments()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, p) for p in range(4)])
    while True:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            probe.start()
            for record in records:
                orjson.loads(record.value)
            if probe.add(len(records)):
                await consumer.stop()
                return


asyncio.run(main())
