"""What becomes of a worker's partitions when it dies, and when it is stopped, under load."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.settings import Settings
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.faults.processes import Service, free_port
from tests.kafka.broker import KafkaBroker
from tests.traffic import lines

RATE = 200


class Arrivals:
    """When each partition's scored records come, and the longest pause of each since `reset`.

    Attributes
    ----------
    published
        By partition, the offset of the next event to be published.
    judged
        By partition, the highest source offset seen on the scored topic.
    """

    def __init__(self, partitions: int) -> None:
        self.published = dict.fromkeys(range(partitions), 0)
        self.judged = dict.fromkeys(range(partitions), -1)
        self.longest = dict.fromkeys(range(partitions), 0.0)
        self._last: dict[int, float] = {}

    def note(self, partition: int, source_offset: int) -> None:
        now = time.monotonic()
        pause = now - self._last.get(partition, now)
        self.longest[partition] = max(self.longest[partition], pause)
        self._last[partition] = now
        self.judged[partition] = max(self.judged[partition], source_offset)

    def reset(self) -> None:
        self.longest = dict.fromkeys(self.longest, 0.0)

    async def caught_up(self, limit_s: float) -> None:
        """Wait until an event of every partition that is published from now on has been judged."""
        wanted = dict(self.published)
        deadline = time.monotonic() + limit_s
        while any(self.judged[p] < offset for p, offset in wanted.items()):
            assert time.monotonic() < deadline, f"published {wanted}, judged {self.judged}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def under_load(settings: Settings) -> AsyncIterator[Arrivals]:
    """Publish to every partition in turn, and watch what comes out."""
    arrivals = Arrivals(settings.kafka.partitions)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers)
    consumer = AIOKafkaConsumer(settings.kafka.topic("scored"), bootstrap_servers=settings.kafka.brokers)
    await producer.start()
    await consumer.start()

    async def publish() -> None:
        for i, raw in enumerate(lines(60_000)):
            partition = i % settings.kafka.partitions
            await producer.send(settings.kafka.topic("events"), raw, partition=partition)
            arrivals.published[partition] += 1
            await asyncio.sleep(1 / RATE)

    async def watch() -> None:
        async for record in consumer:
            arrivals.note(record.partition, orjson.loads(record.value)["source_offset"])

    tasks = [asyncio.create_task(publish()), asyncio.create_task(watch())]
    try:
        yield arrivals
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await producer.stop()
        await consumer.stop()


async def partitions_of(settings: Settings, limit_s: float = 60) -> set[int]:
    """Return what a worker is assigned, as its readiness page says, once it is assigned anything."""
    url = f"http://127.0.0.1:{settings.worker.health_port}/ready"
    deadline = time.monotonic() + limit_s
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(url) as answer:
                    if lag := (await answer.json())["lag"]:
                        return {int(partition) for partition in lag}
            assert time.monotonic() < deadline, "it was never assigned a partition"
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("way", "limit_s"), [("kill", 15.0), ("stop", 3.0)])
async def test_partitions_go_on(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path, way: str, limit_s: float
) -> None:
    tree, other = settings(kafka.brokers), settings(kafka.brokers, worker={"health_port": free_port()})
    await create_topics(tree.kafka)
    with (
        Service("worker", tree, tmp_path / "first.log") as first,
        Service("worker", other, tmp_path / "second.log") as second,
    ):
        first.start()
        async with under_load(tree) as arrivals:
            await arrivals.caught_up(60)
            second.start()
            await partitions_of(other)
            await arrivals.caught_up(20)
            moved = await partitions_of(other)  # now: a second rebalance may have followed the first
            arrivals.reset()
            await asyncio.to_thread(second.kill if way == "kill" else second.stop)
            await arrivals.caught_up(30)
        assert second.exits == [-9 if way == "kill" else 0]
    pauses = {p: arrivals.longest[p] for p in moved}
    assert max(pauses.values()) < limit_s, pauses
    assert way == "stop" or min(pauses.values()) > 1, "the killed worker's partitions never paused: was it killed?"
