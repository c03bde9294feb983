"""The sink against librdkafka's mock cluster and the embedded engine: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from schemas.setting_sections import ClickHouseSettings, KafkaSettings, SinkSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.sink import Sink


@pytest.fixture
def broker() -> Iterator[Any]:
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "linger.ms": 20})
    producer.list_topics(timeout=10)
    yield producer
    producer.flush(10)


def _brokers(producer: Any) -> str:
    meta = producer.list_topics(timeout=10)
    return ",".join(f"{b.host}:{b.port}" for b in meta.brokers.values())


@pytest.fixture
def settings(broker: Any, tmp_path: Path) -> Settings:
    return Settings(
        kafka=KafkaSettings(brokers=_brokers(broker), session_timeout_s=6, heartbeat_s=1),
        sink=SinkSettings(batch_rows=50, linger_s=0.1, retry_max_s=0.5),
        clickhouse=ClickHouseSettings(path=tmp_path / "store"),
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Any]:
    client = connect(settings.clickhouse)
    migrate(client, settings)
    yield client
    client.close()


def scored(offset: int, **event: Any) -> bytes:
    call = {
        "event_id": f"e{offset}",
        "call_id": f"c{offset}",
        "time": "2026-01-01T00:00:00Z",
        "tenant": "t",
        "app": "a",
    }
    return orjson.dumps(
        {"event": call | event, "signals": {}, "source_partition": 0, "source_offset": offset, "source_seq": 0}
    )


def publish(broker: Any, topic: str, values: list[bytes], partition: int = 0) -> None:
    for value in values:
        broker.produce(topic, value, partition=partition)
    assert broker.flush(10) == 0


@asynccontextmanager
async def running(settings: Settings, factory: Callable[[], Any] | None = None) -> AsyncIterator[Sink]:
    sink = Sink(settings, factory or (lambda: connect(settings.clickhouse)))
    task = asyncio.create_task(sink.run())
    try:
        yield sink
    finally:
        await sink.stop()
        await task


async def until(client: Any, query: str, wanted: Any, seconds: float = 30) -> None:
    for _ in range(int(seconds * 10)):
        found = await asyncio.to_thread(client.command, query)
        if found == wanted:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{query}: {found}, wanted {wanted}")


COUNT = "SELECT count() FROM streamgauge.events"


async def test_every_record_lands_once_and_repeats_are_dropped(broker: Any, settings: Settings, store: Any) -> None:
    publish(broker, "llm.scored", [scored(i) for i in range(200)])
    async with running(settings):
        await until(store, COUNT, 200)
        publish(broker, "llm.scored", [scored(i) for i in range(150, 260)])  # a worker came back from its snapshot
        await until(store, COUNT, 260)
    async with running(settings):
        publish(broker, "llm.scored", [scored(i) for i in range(250, 300)])
        await until(store, COUNT, 300)
    assert store.command("SELECT uniqExact(event_id) FROM streamgauge.events") == 300


async def test_a_bad_row_becomes_a_dead_letter_and_its_neighbours_land(
    broker: Any, settings: Settings, store: Any
) -> None:
    publish(broker, "llm.scored", [scored(0), b"{nonsense", scored(1), scored(2, latency_ms="soon"), scored(3)])
    async with running(settings):
        await until(store, COUNT, 3)
        await until(store, "SELECT count() FROM streamgauge.dead_letters", 2)
    rows = store.query("SELECT reason, source_offset FROM streamgauge.dead_letters ORDER BY source_offset").result_rows
    assert rows == [("sink", 1), ("sink", 3)]


async def test_nothing_is_lost_while_clickhouse_is_away(broker: Any, settings: Settings, store: Any) -> None:
    away = True

    def factory() -> Any:
        if away:
            raise OSError("connection refused")
        return connect(settings.clickhouse)

    async with running(settings, factory) as sink:
        publish(broker, "llm.scored", [scored(i) for i in range(120)])
        for _ in range(200):
            if any(part.failures for part in sink._parts.values()):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the sink never noticed that ClickHouse is away")
        publish(broker, "llm.scored", [scored(i) for i in range(120, 200)])
        away = False
        await until(store, COUNT, 200)
    assert store.command("SELECT uniqExact(event_id) FROM streamgauge.events") == 200
