"""SIGKILL of a worker while it forwards OTLP: each span is judged once, though some are forwarded twice (ADR 0007)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.settings import Settings
from streams.runtime.topics import create_topics
from tests import collector
from tests.conftest import MakeSettings
from tests.faults.processes import Service
from tests.kafka.broker import KafkaBroker
from tests.kafka.broker import create_topics as create_named
from tests.topics import values

POINTS = ("amid_otlp", "after_otlp")
RANDOM_KILLS = 6
SPANS, PER_RECORD, PARTITIONS = 12_000, 5, 3


def tree_of(settings: MakeSettings, brokers: str, prefix: str) -> Settings:
    return settings(
        brokers,
        kafka={
            "brokers": brokers,
            "topic_prefix": prefix,
            "session_timeout_s": 6.0,
            "heartbeat_s": 1.0,
            "otlp": True,
            "otlp_spans_topic": f"{prefix}_spans",
            "otlp_logs_topic": f"{prefix}_logs",
        },
        worker={"snapshot_interval_s": 1.0},
    )


async def export(tree: Settings, rate: float) -> None:
    """Write all spans in order of number, as several apps', round robin over the partitions."""
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=5, enable_idempotence=True)
    await producer.start()
    begin = time.monotonic()
    for i, first in enumerate(range(0, SPANS, PER_RECORD)):
        request = collector.spans(*range(first, first + PER_RECORD), app=f"app{i % 7}")
        body = (collector.as_proto, collector.as_json)[i % 2](request)
        await producer.send(tree.kafka.otlp_spans_topic, body, partition=i % PARTITIONS)
        if i % 20 == 0:
            await asyncio.sleep(max(0.0, begin + first / rate - time.monotonic()))
    await producer.stop()


async def waiting(tree: Settings) -> int:
    """Return how many records of the two hops the worker's group has not committed yet."""
    group = tree.worker.group
    consumer = AIOKafkaConsumer(bootstrap_servers=tree.kafka.brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(tree.kafka.otlp_spans_topic, p) for p in range(PARTITIONS)]
        tps += [TopicPartition(tree.kafka.topic("events"), p) for p in range(tree.kafka.partitions)]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        return sum([ends[tp] - (await consumer.committed(tp) or 0) for tp in tps])
    finally:
        await consumer.stop()


async def interrupt(worker: Service, rng: random.Random) -> None:
    for point in POINTS:
        worker.kill()
        worker.start(crash_at=f"worker.{point}:{rng.randrange(2, 5)}")
        deadline = time.monotonic() + 40
        while worker.running:
            assert time.monotonic() < deadline, f"worker.{point} was never reached"
            await asyncio.sleep(0.1)
        worker.start()
    for _ in range(RANDOM_KILLS):
        await asyncio.sleep(rng.uniform(2, 6))
        worker.kill()
        worker.start()


async def test_killed_while_it_forwards_each_span_is_judged_once(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str, tmp_path: Path
) -> None:
    tree = tree_of(settings, kafka.brokers, topic_prefix)
    create_named(kafka.brokers, [tree.kafka.otlp_spans_topic, tree.kafka.otlp_logs_topic], partitions=PARTITIONS)
    await create_topics(tree.kafka)
    with Service("worker", tree, tmp_path / "worker.log") as worker:
        worker.start()
        feeding = asyncio.create_task(export(tree, rate=SPANS / 60))
        await interrupt(worker, random.Random(5))
        await feeding
        deadline = time.monotonic() + 120
        while await waiting(tree) > 0:
            assert time.monotonic() < deadline, f"the worker did not finish; exits {worker.exits}"
            await asyncio.sleep(0.5)
        worker.stop()
    assert worker.exits.count(-9) >= len(POINTS) + RANDOM_KILLS

    forwarded = Counter(event["event_id"] for event in await values(tree, "events"))
    assert set(forwarded) == {collector.call_id(n) for n in range(SPANS)}
    assert forwarded.total() > SPANS, "nothing was forwarded twice: did a kill fall between delivery and commit?"
    # The worker repeats rows after a crash, under the same source: the sink keeps the first of each (ADR 0003).
    rows = {(r["source_partition"], r["source_offset"], r["source_seq"]): r for r in await values(tree, "scored")}
    judged = Counter(row["event"]["event_id"] for row in rows.values())
    assert judged == Counter(dict.fromkeys(forwarded, 1))
