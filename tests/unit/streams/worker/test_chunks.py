from __future__ import annotations

import asyncio
from typing import Any, cast

import faust
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP, Message
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.chunks import BufferedBatch, ByteBudget, ChunkSchema, scheduler_class, split


def record(partition: int, offset: int, size: int = 10) -> ConsumerRecord:
    return ConsumerRecord("t", partition, offset, 0, 0, None, b"x" * size, None, 0, size, ())


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(1, 7))
def test_batches_hold_every_record_once_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    records = {TopicPartition("t", p): [record(p, o) for o in range(n)] for p, n in enumerate(sizes)}
    seen: dict[TopicPartition, list[int]] = {tp: [] for tp in records}
    for tp, batch in scheduler_class(limit)().iterate(records):
        assert 1 <= len(batch.value) <= limit
        assert batch.offset == batch.value[-1].offset
        seen[tp] += [r.offset for r in batch.value]
    assert seen == {tp: [r.offset for r in part] for tp, part in records.items()}


def test_the_scheduler_visits_partitions_round_robin() -> None:
    records = {TopicPartition("t", p): [record(p, o) for o in range(4)] for p in range(2)}
    assert [batch.partition for _, batch in scheduler_class(2)().iterate(records)] == [0, 1, 0, 1]


def test_a_batch_states_its_size() -> None:
    (batch,) = split([record(0, 0, 100), record(0, 1, 50)], 10)
    assert batch.serialized_value_size >= 150


async def test_a_full_budget_blocks_the_next_batch_until_bytes_are_released() -> None:
    budget = ByteBudget(100)
    generation = await budget.acquire(80)
    waiting = asyncio.create_task(budget.acquire(30))
    await asyncio.sleep(0)
    assert not waiting.done()
    await budget.release(80, generation)
    assert await waiting == generation
    assert budget.used == 30


async def test_a_batch_larger_than_the_budget_is_admitted_alone() -> None:
    budget = ByteBudget(10)
    generation = await budget.acquire(1000)
    await budget.release(1000, generation)
    assert budget.used == 0


async def test_a_reset_ignores_releases_of_an_earlier_generation() -> None:
    budget = ByteBudget(100)
    old = await budget.acquire(100)
    await budget.reset()
    await budget.acquire(60)
    await budget.release(100, old)
    assert budget.used == 60


async def test_a_cancelled_wait_reserves_no_bytes() -> None:
    budget = ByteBudget(10)
    await budget.acquire(10)
    waiting = asyncio.create_task(budget.acquire(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.used == 10


def message(offsets: range, partition: int = 0, generation: int = 1) -> Message:
    (batch,) = split([record(partition, o) for o in offsets], 1000)
    # Faust annotates values as bytes; the scheduler passes a list of records.
    value = cast(bytes, batch.value)
    made = Message("t", partition, batch.offset, 0.0, 0, [], None, value, None, 0, batch.serialized_value_size)
    made.tp = TP("t", partition)
    made.generation_id = generation
    return made


class Fetched:
    """Schema under test; passes messages through it in fetch order."""

    def __init__(self, limit: int = 100) -> None:
        self.budget = ByteBudget(1 << 20)
        self._decode = ChunkSchema(self.budget, limit).compile(faust.App("test"))

    async def put(self, *args: Any) -> BufferedBatch:
        batch = (await self._decode(message(*args))).value
        assert isinstance(batch, BufferedBatch)
        return batch


async def test_records_fetched_while_a_batch_waits_join_the_batch() -> None:
    fetched = Fetched()
    first, other_partition, second = [await fetched.put(*m) for m in ((range(3),), (range(3), 1), (range(3, 4),))]
    assert [r.offset for r in first.drain()] == [0, 1, 2, 3]
    assert len(other_partition.drain()) == 3
    assert second.records == []
    third = await fetched.put(range(4, 6))
    assert [r.offset for r in third.drain()] == [4, 5]
    for batch in (first, other_partition, second, third):
        await fetched.budget.release(batch.size, batch.budget_generation)
    assert fetched.budget.used == 0


async def test_joined_batches_do_not_exceed_the_limit() -> None:
    fetched = Fetched(limit=4)
    batches = [await fetched.put(range(3 * k, 3 * k + 3)) for k in range(3)]
    assert [len(b.records) for b in batches] == [3, 3, 3]


async def test_records_of_a_later_generation_do_not_join_a_batch_of_an_earlier_generation() -> None:
    fetched = Fetched()
    old, new = await fetched.put(range(3), 0, 1), await fetched.put(range(3, 5), 0, 2)
    assert [len(old.records), len(new.records)] == [3, 2]
    await fetched.budget.reset()
    after = await fetched.put(range(5, 6), 0, 2)
    assert len(after.records) == 1
