"""Attacks on a worker that runs as a process, and what must be true after each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from schemas.outputs import DeadLetter
from schemas.settings import Settings
from tests import raw_batches
from tests.faults.processes import Service
from tests.topics import read_all, values

EXTRA_BYTES = 200 << 20
"""Most that an attack may cost a process."""


def event(name: str, **more: Any) -> bytes:
    identity = {"event_id": name, "call_id": name, "time": "2026-01-01T00:00:00Z", "tenant": "acme", "app": "chat"}
    return orjson.dumps(identity | {"messages": [{"role": "user", "content": "hello"}]} | more)


@asynccontextmanager
async def worker_of(tree: Settings, tmp_path: Path) -> AsyncIterator[Service]:
    """Run a worker as a process, stopped in order at the end: it has never ended by itself."""
    with Service("worker", tree, tmp_path / "worker.log") as worker:
        worker.start()
        yield worker
        assert worker.running, (tmp_path / "worker.log").read_text()[-3000:]
        worker.stop()
        assert worker.exits == [0]


async def produce(tree: Settings, value: bytes, partition: int = 0, topic: str = "events", **more: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, max_request_size=40 << 20)
    await producer.start()
    try:
        await producer.send_and_wait(tree.kafka.topic(topic), value, partition=partition, **more)
    finally:
        await producer.stop()


async def bomb(tree: Settings, raw: bytes, partition: int = 0, topic: str = "events") -> int:
    return await raw_batches.send(tree.kafka.brokers, tree.kafka.topic(topic), partition, raw)


async def scored(tree: Settings) -> set[str]:
    return {row["event"]["event_id"] for row in await values(tree, "scored")}


async def letters(tree: Settings) -> list[DeadLetter]:
    """Return all dead letters; a batch on their topic that is refused is none."""
    found = [r.value for r in await read_all(tree, "dead_letters")]
    return [DeadLetter.model_validate_json(value) for value in found if type(value) is bytes]


async def eventually(condition: Callable[[], Awaitable[bool]], limit_s: float = 90) -> None:
    """Return once it is true; raise `TimeoutError` if it was not in time."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.2)


async def judged_after(tree: Settings, name: str) -> None:
    """Publish an event to every partition; return when all are scored."""
    names = {f"{name}-{partition}" for partition in range(tree.kafka.partitions)}
    for partition in range(tree.kafka.partitions):
        await produce(tree, event(f"{name}-{partition}"), partition)

    async def all_there() -> bool:
        return names <= await scored(tree)

    await eventually(all_there)
