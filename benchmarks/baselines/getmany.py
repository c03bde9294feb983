"""The floor: aiokafka's own fetch loop and orjson, nothing else."""

from __future__ import annotations

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from throughput_probe import arguments


async def main() -> None:
    broker, topic, meter = arguments()
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
            meter.begin()
            for record in records:
                orjson.loads(record.value)
            if meter.add(len(records)):
                await consumer.stop()
                return


asyncio.run(main())
