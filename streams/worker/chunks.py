"""Batches of records that pass through Faust as one message each (ADR 0001).

Faust spends 125-245 us on every message that it hands to an agent. A batch of hundreds of records costs the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka import ConsumerRecord
from faust.events import Event
from faust.types import TP, AppT, EventT, Message

_PER_RECORD_OVERHEAD = 200


@dataclass(slots=True)
class RecordBatch:
    """Consecutive records of one partition, with the attributes that Faust reads from a record.

    ``offset`` is the offset of the last record. Faust drops every message below the highest offset that it has seen,
    and after a seek back a batch may start below that offset and end above it.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    value: list[ConsumerRecord]
    headers: tuple[()] = ()
    key: None = None
    checksum: None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0


def split(records: list[ConsumerRecord], limit: int) -> Iterator[RecordBatch]:
    """Split the records of one partition into batches of at most ``limit`` records."""
    for start in range(0, len(records), limit):
        part = records[start : start + limit]
        last = part[-1]
        size = sum(len(r.value or b"") + _PER_RECORD_OVERHEAD for r in part)
        yield RecordBatch(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp,
            last.timestamp_type,
            part,
            serialized_value_size=size,
        )


class ChunkScheduler:
    """Faust ``ConsumerScheduler`` that visits partitions round-robin, one batch per visit."""

    limit = 256

    def iterate(self, records: Mapping[TP, list[ConsumerRecord]]) -> Iterator[tuple[TP, RecordBatch]]:
        """Yield the batches of one fetch, round-robin over partitions; called by Faust's consumer."""
        pending = [(tp, split(part, self.limit)) for tp, part in records.items()]
        while pending:
            remaining = []
            for tp, batches in pending:
                if (batch := next(batches, None)) is not None:
                    yield tp, batch
                    remaining.append((tp, batches))
            pending = remaining


def scheduler_class(limit: int) -> type[ChunkScheduler]:
    """Return a scheduler class for batches of at most ``limit`` records (Faust expects a class, not an instance)."""
    return type("ChunkScheduler", (ChunkScheduler,), {"limit": limit})


class ByteBudget:
    """Back-pressure: a bound on the bytes of buffered records, enforced by blocking the fetch loop.

    Faust's own bound, ``stream_buffer_maxsize``, removes a full partition from a fetch that is already waiting, which
    stalls the partition for a second. Blocking at the handover of a batch stalls no partition.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._released = asyncio.Condition()
        self._generation = 0

    async def acquire(self, size: int) -> int:
        """Reserve bytes, waiting until they fit; return the generation that `release` expects.

        A batch larger than the whole budget is admitted when nothing else is buffered.
        """
        async with self._released:
            await self._released.wait_for(lambda: self.used == 0 or self.used + size <= self.limit)
            self.used += size
            return self._generation

    async def release(self, size: int, generation: int) -> None:
        """Release bytes; bytes of an earlier generation were released by `reset`."""
        async with self._released:
            if generation == self._generation:
                self.used -= size
                self._released.notify_all()

    async def reset(self) -> None:
        """Release all bytes and start a new generation: a rebalance has dropped the queued batches."""
        async with self._released:
            self._generation += 1
            self.used = 0
            self._released.notify_all()


@dataclass(slots=True)
class BufferedBatch:
    """Batch that waits for the agent and holds bytes of the budget.

    Records fetched while the batch waits are appended to it, and their own message carries no records. Without this, a
    worker that falls behind at one record per fetch would score one record at a time and never catch up.

    Attributes
    ----------
    budget_generation
        Generation of the byte budget that `ByteBudget.release` expects.
    group_generation
        Generation of the consumer group in which the batch was fetched.
    """

    records: list[ConsumerRecord]
    topic: str
    partition: int
    size: int
    budget_generation: int
    group_generation: int

    def drain(self) -> list[ConsumerRecord]:
        """Remove and return all records; records fetched later start a new batch."""
        records, self.records = self.records, []
        return records


class ChunkSchema(faust.Schema[bytes, bytes]):
    """Faust schema that passes batches through undecoded once the budget admits them.

    The agent decodes, so that its guard covers decoding errors.

    Parameters
    ----------
    budget
        Byte budget shared by all topics.
    limit
        Maximum number of records in a buffered batch.
    """

    def __init__(self, budget: ByteBudget, limit: int) -> None:
        super().__init__(key_serializer="raw", value_serializer="raw")
        self.budget = budget
        self.limit = limit
        self._last: dict[TP, BufferedBatch] = {}

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """Return the function that Faust calls for each message."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:  # noqa: ARG001 - Faust's signature
            generation = await self.budget.acquire(message.serialized_value_size)
            return Event(app, None, self._buffer(message, generation), None, message)

        return decode

    def _buffer(self, message: Message, budget_generation: int) -> BufferedBatch:
        records, size = cast(list[ConsumerRecord], message.value), message.serialized_value_size
        generation = cast(int, message.generation_id)
        batch = BufferedBatch(records, message.topic, message.partition, size, budget_generation, generation)
        last = self._last.get(message.tp)
        # Faust silently drops batches of an earlier generation, so records of a later generation must not join them.
        joinable = (
            last is not None
            and last.records
            and (last.budget_generation, last.group_generation) == (budget_generation, generation)
        )
        if last is None or not joinable or len(last.records) + len(records) > self.limit:
            self._last[message.tp] = batch
        else:
            last.records += records
            last.size += size
            batch.records, batch.size = [], 0
        return batch
