from __future__ import annotations

import asyncio
from typing import Any, cast

import faust
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP, Message
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.chunks import ByteBudget, ChunkSchema, Held, cut, scheduler


def record(partition: int, offset: int, size: int = 10) -> ConsumerRecord:
    return ConsumerRecord("t", partition, offset, 0, 0, None, b"x" * size, None, 0, size, ())


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(1, 7))
def test_runs_hold_every_record_once_in_order_and_no_more_than_the_limit(sizes: list[int], limit: int) -> None:
    records = {TopicPartition("t", p): [record(p, o) for o in range(n)] for p, n in enumerate(sizes)}
    seen: dict[TopicPartition, list[int]] = {tp: [] for tp in records}
    for tp, run in scheduler(limit)().iterate(records):
        assert 1 <= len(run.value) <= limit
        assert run.offset == run.value[-1].offset
        seen[tp] += [r.offset for r in run.value]
    assert seen == {tp: [r.offset for r in part] for tp, part in records.items()}


def test_partitions_take_turns() -> None:
    records = {TopicPartition("t", p): [record(p, o) for o in range(4)] for p in range(2)}
    assert [run.partition for _, run in scheduler(2)().iterate(records)] == [0, 1, 0, 1]


def test_a_run_knows_its_size() -> None:
    (run,) = cut([record(0, 0, 100), record(0, 1, 50)], 10)
    assert run.serialized_value_size >= 150


async def test_the_budget_makes_the_next_run_wait_until_there_is_room() -> None:
    budget = ByteBudget(100)
    era = await budget.acquire(80)
    waiting = asyncio.create_task(budget.acquire(30))
    await asyncio.sleep(0)
    assert not waiting.done()
    await budget.release(80, era)
    assert await waiting == era
    assert budget.used == 30


async def test_a_run_larger_than_the_budget_passes_alone() -> None:
    budget = ByteBudget(10)
    era = await budget.acquire(1000)
    await budget.release(1000, era)
    assert budget.used == 0


async def test_a_rebalance_forgets_what_it_dropped() -> None:
    budget = ByteBudget(100)
    old = await budget.acquire(100)
    await budget.reset()
    await budget.acquire(60)
    await budget.release(100, old)
    assert budget.used == 60


async def test_a_cancelled_wait_takes_nothing() -> None:
    budget = ByteBudget(10)
    await budget.acquire(10)
    waiting = asyncio.create_task(budget.acquire(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.used == 10


def message(offsets: range, partition: int = 0, generation: int = 1) -> Message:
    (run,) = cut([record(partition, o) for o in offsets], 1000)
    # Faust's annotation knows bytes only; a run takes their place.
    value = cast(bytes, run.value)
    told = Message("t", partition, run.offset, 0.0, 0, [], None, value, None, 0, run.serialized_value_size)
    told.tp = TP("t", partition)
    told.generation_id = generation
    return told


class Fetched:
    """What the schema makes of messages, in the order in which they were fetched."""

    def __init__(self, limit: int = 100) -> None:
        self.budget = ByteBudget(1 << 20)
        self._decode = ChunkSchema(self.budget, limit).compile(faust.App("test"))

    async def put(self, *args: Any) -> Held:
        held = (await self._decode(message(*args))).value
        assert isinstance(held, Held)
        return held


async def test_what_is_fetched_while_a_run_waits_joins_it() -> None:
    fetched = Fetched()
    first, other, second = [await fetched.put(*m) for m in ((range(3),), (range(3), 1), (range(3, 4),))]
    assert [r.offset for r in first.take()] == [0, 1, 2, 3]
    assert len(other.take()) == 3
    assert second.records == []
    third = await fetched.put(range(4, 6))
    assert [r.offset for r in third.take()] == [4, 5]
    for held in (first, other, second, third):
        await fetched.budget.release(held.size, held.era)
    assert fetched.budget.used == 0


async def test_joined_runs_do_not_exceed_the_limit() -> None:
    fetched = Fetched(limit=4)
    runs = [await fetched.put(range(3 * k, 3 * k + 3)) for k in range(3)]
    assert [len(r.records) for r in runs] == [3, 3, 3]


async def test_a_run_of_an_earlier_generation_takes_no_record_of_a_later_one() -> None:
    fetched = Fetched()
    old, new = await fetched.put(range(3), 0, 1), await fetched.put(range(3, 5), 0, 2)
    assert [len(old.records), len(new.records)] == [3, 2]
    await fetched.budget.reset()
    after = await fetched.put(range(5, 6), 0, 2)
    assert len(after.records) == 1
