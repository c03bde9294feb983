"""SIGKILL at every named point and at random times: what is in ClickHouse is what one uninterrupted run gives."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from processing.pipeline import Record
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.decode import decode_event
from streams.runtime.partitioning import event_key
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, encode
from streams.runtime.snapshot_store import load
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.faults.processes import Service
from tests.kafka.broker import KafkaBroker
from tests.topics import read_all
from tests.traffic import lines
from tools.replay import replay

WORKER_POINTS = ("after_score", "after_write", "before_snapshot", "after_snapshot", "after_commit")
SINK_POINTS = ("before_intent", "after_intent", "after_insert", "after_commit")
RANDOM_KILLS = 10
EVENTS = 50_000
_PLAIN = ("tenant", "app", "model", "prompt_version", "source_partition", "events", "cost_nanousd", "injection_flags")


async def publish(settings: Settings, raws: list[bytes], rate: float) -> None:
    """Publish in order, at about ``rate`` records a second."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers, linger_ms=5, enable_idempotence=True)
    await producer.start()
    begin = time.monotonic()
    for i, raw in enumerate(raws):
        await producer.send(settings.kafka.topic("events"), raw, key=event_key(decode_event(raw)))
        if i % 500 == 0:
            await asyncio.sleep(max(0.0, begin + i / rate - time.monotonic()))
    await producer.stop()


async def waiting(settings: Settings, group: str, topics: tuple[str, ...]) -> int:
    """Return how many records of the topics the group has not committed yet."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(settings.kafka.topic(t), p) for t in topics for p in range(settings.kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        return sum([ends[tp] - (await consumer.committed(tp) or 0) for tp in tps])
    finally:
        await consumer.stop()


async def drained(settings: Settings, services: list[Service], limit_s: float) -> None:
    """Keep the services up until the worker has read all events, then until the sink has all outputs."""
    outputs = ("scored", "alerts", "aggregates", "dead_letters")
    for group, topics in ((settings.worker.group, ("events",)), (settings.sink.group, outputs)):
        deadline = time.monotonic() + limit_s
        while await waiting(settings, group, topics) > 0:
            assert time.monotonic() < deadline, f"{group} did not finish; exits {[s.exits for s in services]}"
            for service in services:
                if not service.running:
                    service.start()
            await asyncio.sleep(0.5)


async def interrupt(worker: Service, sink: Service, rng: random.Random) -> None:
    """Kill at each named point, then at random times."""
    for service, name, points in ((worker, "worker", WORKER_POINTS), (sink, "sink", SINK_POINTS)):
        for point in points:
            service.kill()
            service.start(crash_at=f"{name}.{point}:{rng.randrange(1, 3)}")
            deadline = time.monotonic() + 40
            while service.running:
                assert time.monotonic() < deadline, f"{name}.{point} was never reached"
                await asyncio.sleep(0.1)
            service.start()
    for i in range(RANDOM_KILLS):
        await asyncio.sleep(rng.uniform(2, 7))
        victim = (worker, sink)[i % 2]
        victim.kill()
        victim.start()


def rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_killed_at_every_point_nothing_is_lost_and_nothing_is_twice(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    tree = settings(
        kafka.brokers,
        kafka={"session_timeout_s": 6.0, "heartbeat_s": 1.0},
        worker={"snapshot_interval_s": 1.0},
        sink={"linger_s": 0.3, "batch_rows": 2000},
        clickhouse={"path": tmp_path / "store"},
    )
    raws = lines(EVENTS, step_ms=20)
    await create_topics(tree.kafka)
    store = connect(tree.clickhouse)
    migrate(store, tree)
    store.close()
    with (
        Service("worker", tree, tmp_path / "worker.log") as worker,
        Service("sink", tree, tmp_path / "sink.log") as sink,
    ):
        worker.start()
        sink.start()
        feeding = asyncio.create_task(publish(tree, raws, rate=400))
        await interrupt(worker, sink, random.Random(5))
        await feeding
        await drained(tree, [worker, sink], 180)
        worker.stop()
        await drained(tree, [sink], 60)
        sink.stop()
        assert worker.exits.count(-9) >= len(WORKER_POINTS) + RANDOM_KILLS // 2
        assert sink.exits.count(-9) >= len(SINK_POINTS) + RANDOM_KILLS // 2
    await same_as_uninterrupted(tree, raws, tmp_path)


async def same_as_uninterrupted(tree: Settings, raws: list[bytes], tmp_path: Path) -> None:
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join(raws))
    replay([source], tmp_path / "replayed", tree)
    scored = rows(tmp_path / "replayed" / "scored.jsonl")
    store = connect(tree.clickhouse, tree.clickhouse.database)

    counted = store.query("SELECT count(), uniqExact(event_id) FROM events").result_rows[0]
    kept = {
        r[0]: (orjson.loads(r[1]), orjson.loads(r[2]))
        for r in store.query("SELECT event_id, event, signals FROM events").result_rows
    }
    names = ", ".join(("window_start", *_PLAIN, "latency_ms"))
    windows = store.query(f"SELECT {names} FROM aggregates_1m FINAL").result_rows
    alerts = store.query("SELECT DISTINCT alert_id, state FROM alerts").result_rows
    store.close()

    assert counted == (len(scored), len(scored))
    assert kept == {r["event"]["event_id"]: (r["event"], r["signals"]) for r in scored}
    expected = rows(tmp_path / "replayed" / "aggregates.jsonl")
    assert {_window(dict(zip(names.split(", "), w, strict=True))) for w in windows} == {_window(w) for w in expected}
    assert set(alerts) == {(a["alert_id"], a["state"]) for a in rows(tmp_path / "replayed" / "alerts.jsonl")}
    await same_state(tree)


def _window(row: dict[str, Any]) -> tuple[Any, ...]:
    histogram = tuple(sorted((int(k), v) for k, v in row["latency_ms"].items()))
    start = str(row["window_start"])[:16].replace("T", " ")
    return (start, *(row[n] for n in _PLAIN), histogram)


async def same_state(tree: Settings) -> None:
    """The agents' last snapshots equal, bit for bit, the state of a run without interruption."""
    pipelines = {p: build_pipeline(p, tree) for p in range(tree.kafka.partitions)}
    for r in await read_all(tree, "events"):
        pipelines[r.partition].process(
            [Record(r.offset, decode_event(r.value), r.value, r.timestamp, r.timestamp_type == 1)]
        )
    for partition, pipeline in pipelines.items():
        found = await load(tree, partition)
        if pipeline.offset < 0:
            assert found is None
            continue
        assert found is not None
        assert found.offset == pipeline.offset
        parts = {name: part for name, part in pipeline.state().items() if name != "aggregates"}
        mine = encode(Snapshot(partition, 0, {}, parts))
        theirs = encode(Snapshot(partition, 0, {}, {n: found.parts[n] for n in parts}))
        assert mine == theirs
