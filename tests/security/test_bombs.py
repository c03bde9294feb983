"""Record batches made to stop or exhaust every consumer: one dead letter each, and all others go on as before."""

from __future__ import annotations

import asyncio
import hashlib
import os
from io import StringIO
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime import record_batches
from streams.runtime.snapshot_codec import Snapshot
from streams.runtime.snapshot_store import load, to_records
from streams.runtime.topics import create_topics
from streams.sink.table_rows import TABLES
from tests import raw_batches
from tests.conftest import MakeSettings
from tests.faults.memory import forget_peak, peak, resident
from tests.faults.processes import Service
from tests.faults.test_kill import waiting
from tests.kafka.broker import KafkaBroker
from tests.raw_batches import CODECS, SNAPPY
from tests.security.processes import (
    EXTRA_BYTES,
    bomb,
    event,
    eventually,
    judged_after,
    letters,
    produce,
    scored,
    worker_of,
)
from tests.waiting import until
from tools.model_registry import pending_requests
from tools.tail_alerts import tail

ALERT = {
    "alert_id": "a", "fingerprint": "f", "state": "firing", "rule": "r", "severity": "info", "signal": "injection",
    "segment": {}, "summary": "rose", "value": 1.0, "threshold": 0.5, "started_at": "2026-01-01T00:00:00Z",
    "changed_at": "2026-01-01T00:00:00Z", "source_partition": 0, "source_offset": 0,
}  # fmt: skip
BOMB = 1_000_000_000
SNAPPY_BOMB = 600_000_000
"""Snappy packs zeros 21 to 1, and a batch has at most 32 MB."""


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """A batch of zeros for each codec."""
    return {name: raw_batches.zeros(codec, SNAPPY_BOMB if codec == SNAPPY else BOMB) for name, codec in CODECS.items()}


async def test_bombs_of_every_codec_cost_a_worker_little_and_one_dead_letter_each(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path, bombs: dict[str, bytes]
) -> None:
    tree = settings(kafka.brokers, worker={"snapshot_interval_s": 0.5})
    await create_topics(tree.kafka)
    async with worker_of(tree, tmp_path) as worker:
        await judged_after(tree, "before")
        forget_peak(worker.pid)
        before = resident(worker.pid)
        places = set()
        for partition, (name, raw) in enumerate(bombs.items()):
            places.add((tree.kafka.topic("events"), partition, await bomb(tree, raw, partition)))
            await judged_after(tree, name)
        places.add((tree.kafka.topic("feedback"), 0, await bomb(tree, bombs["zstd"], 0, "feedback")))
        await judged_after(tree, "feedback")
        assert peak(worker.pid) - before < EXTRA_BYTES
    found = await letters(tree)
    assert {(x.source_topic, x.source_partition, x.source_offset) for x in found} == places
    assert len(found) == len(places)
    assert {x.reason for x in found} == {"batch"}
    packed = [raw[61:] for raw in (*bombs.values(), bombs["zstd"])]
    assert {(x.raw_bytes, x.raw_sha256) for x in found} == {(len(p), hashlib.sha256(p).hexdigest()) for p in packed}
    async with worker_of(tree, tmp_path):  # started again it goes on behind them
        await judged_after(tree, "again")
    assert len(await letters(tree)) == len(found)


async def test_batches_that_no_client_can_read_are_passed_over(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    """Kafka itself does not look at the name of a header, nor at how many records a batch has."""
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    record = raw_batches.record
    header = batch_of(record(event("first")), record(event("second"), 1, b"\xff\xfe"))
    count = record_batches.MAX_BATCH_RECORDS + 1
    crowd = batch_of(*(record(b"{}", n) for n in range(count)))
    async with worker_of(tree, tmp_path):
        await bomb(tree, header, 0)
        offset = await bomb(tree, crowd, 1)
        await judged_after(tree, "after")
    found = {(x.source_partition, x.source_offset): x.reason for x in await letters(tree)}
    assert found == {(0, 1): "batch", (1, offset + count - 1): "batch"}
    assert "first" in await scored(tree)


def batch_of(*records: bytes) -> bytes:
    return raw_batches.batch(b"".join(records), raw_batches.NONE, len(records))


async def test_bombs_on_every_topic_cost_a_sink_little_and_one_dead_letter_each(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path, bombs: dict[str, bytes]
) -> None:
    tree = settings(kafka.brokers, clickhouse={"path": tmp_path / "store"}, sink={"linger_s": 0.2})
    await create_topics(tree.kafka)
    store = connect(tree.clickhouse)
    migrate(store, tree)
    store.close()
    topics = ("scored", "alerts", "feedback", "aggregates")
    row = b'{"event":%s,"signals":{},"source_partition":0,"source_offset":7,"source_seq":0}' % event("stored")
    with Service("sink", tree, tmp_path / "sink.log") as sink:
        sink.start()
        for topic in topics:
            await produce(tree, b"{", 0, topic, key=b"k")
        await _all_stored(tree)
        forget_peak(sink.pid)
        before = resident(sink.pid)
        for topic, raw in zip(topics, bombs.values(), strict=True):
            await bomb(tree, raw, 0, topic)
        await bomb(tree, bombs["gzip"], 0, "dead_letters")  # of which there is no dead letter
        await produce(tree, row, 0, "scored")
        await _all_stored(tree)
        assert peak(sink.pid) - before < EXTRA_BYTES
        sink.stop()
        assert sink.exits == [0]
    store = connect(tree.clickhouse, tree.clickhouse.database)
    assert store.query("SELECT event_id FROM events").result_rows == [("stored",)]
    kept = store.query("SELECT source_topic, reason, raw_bytes, raw_sha256 FROM dead_letters").result_rows
    store.close()
    assert {(r[0], r[3]) for r in kept if r[1] == "batch"} == {
        (tree.kafka.topic(topic), hashlib.sha256(raw[61:]).hexdigest())
        for topic, raw in zip(topics, bombs.values(), strict=True)
    }
    told = [x for x in await letters(tree) if x.reason == "batch"]
    found = {x.source_topic: x for x in told}
    assert len(found) == len(told) == len(topics)
    for topic, raw in zip(topics, bombs.values(), strict=True):
        letter = found[tree.kafka.topic(topic)]
        assert (letter.reason, letter.raw_bytes) == ("batch", len(raw) - 61)


async def _all_stored(tree: Settings) -> None:
    """Return once the sink has committed all that is on its topics, its own dead letters too."""
    names = tuple(table.topic for table in TABLES)

    async def all_committed() -> bool:
        return await waiting(tree, tree.sink.group, names) == 0

    await eventually(all_committed)


async def test_a_read_of_any_topic_passes_a_bomb_over(
    kafka: KafkaBroker, settings: MakeSettings, bombs: dict[str, bytes]
) -> None:
    """Snapshots, requests for labels, the tail of alerts: what the command line and a starting worker read."""
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    forget_peak(os.getpid())
    before = resident(os.getpid())
    for topic in ("snapshots", "label_requests", "feedback", "alerts"):
        await bomb(tree, bombs["lz4"], 0, topic)
    snapshot = Snapshot(0, 7, {}, {})
    for key, value in to_records(snapshot, 0):
        await produce(tree, value, 0, "snapshots", key=key)
    request = orjson.loads(event("c")) | {"signal": "injection", "score": 0.5, "flag": False, "probability": 0.5}
    request |= {"reason": "new", "source_partition": 0, "source_offset": 0}
    await produce(tree, orjson.dumps(request), 0, "label_requests")
    await produce(tree, orjson.dumps(ALERT), 0, "alerts", key=b"k")
    found = await load(tree, 0)
    assert found is not None
    assert found.offset == 7
    assert [r.call_id for r in await pending_requests(tree.kafka, 5, None, None)] == ["c"]
    shown = StringIO()
    task = asyncio.create_task(tail(tree.kafka, Console(file=shown, width=200), from_start=True, as_json=False))
    await until(lambda: "rose" in shown.getvalue())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert peak(os.getpid()) - before < EXTRA_BYTES


async def test_a_reviewer_passes_a_bomb_over(
    kafka: KafkaBroker, settings: MakeSettings, bombs: dict[str, bytes], tmp_path: Path
) -> None:
    """Its group begins at the end of the topic, so the bomb comes after its start."""
    judge = {"url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0, "timeout_s": 0.5, "min_score": 1.0}
    tree = settings(kafka.brokers, reviewers={"judge": judge, "group": f"t{tmp_path.name}", "health_port": 0})
    await create_topics(tree.kafka)
    with Service("reviewers", tree, tmp_path / "reviewers.log") as reviewers:
        reviewers.start()
        group = f"{tree.reviewers.group}-judge"
        await eventually(lambda: _adopted(tree, group))
        forget_peak(reviewers.pid)
        before = resident(reviewers.pid)
        for partition, raw in enumerate(bombs.values()):
            await bomb(tree, raw, partition, "scored")
        await eventually(lambda: _read(tree, group))
        assert peak(reviewers.pid) - before < EXTRA_BYTES
        reviewers.stop()
        assert reviewers.exits == [0]


async def _adopted(tree: Settings, group: str) -> bool:
    consumer = AIOKafkaConsumer(bootstrap_servers=tree.kafka.brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(tree.kafka.topic("scored"), p) for p in range(tree.kafka.partitions)]
        consumer.assign(tps)
        return all([await consumer.committed(tp) is not None for tp in tps])
    finally:
        await consumer.stop()


async def _read(tree: Settings, group: str) -> bool:
    return await waiting(tree, group, ("scored",)) == 0
