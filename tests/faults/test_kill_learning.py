"""SIGKILL while labels are learned and a model is rolled back: the weights are those of an uninterrupted run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord

from agents.learning.output_rows import TrainableAgent
from processing.pipeline import Record
from schemas.learning import ModelCommand
from schemas.settings import Settings
from streams.runtime.decode import COMMAND_HEADER, decode_record
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

EVENTS = 6_000
POINTS = ("after_score", "after_write", "before_snapshot", "after_snapshot", "after_commit")


def label_of(raw: bytes, n: int) -> bytes | None:
    """A label for a whole call; false ones and contradictory ones among them."""
    call = orjson.loads(raw)
    if call.get("kind") is not None:
        return None
    attack = any("previous instructions" in m["content"] for m in call["messages"])
    signal = ("injection", "hallucination")[n % 2]
    said = {"kind": "feedback", "feedback_id": f"f{n}", "signal": signal, "label": attack ^ (n % 7 == 0)}
    who = {"user_id": f"user{n % 5}", "source": "annotator"}
    return orjson.dumps(said | who | {name: call[name] for name in ("call_id", "time", "tenant", "app")})


async def publish(tree: Settings, raws: list[bytes], rate: float) -> int:
    """Publish events, each tenth followed by its label on the topic of feedback; return how many labels."""
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=5, enable_idempotence=True)
    await producer.start()
    begin, given = time.monotonic(), 0
    for n, raw in enumerate(raws):
        item = decode_record(raw)
        assert not isinstance(item, ModelCommand)
        await producer.send(tree.kafka.topic("events"), raw, key=event_key(item))
        if n % 10 == 0 and (said := label_of(raw, n)) is not None:
            await producer.send(tree.kafka.topic("feedback"), said, key=event_key(item))
            given += 1
        if n == len(raws) // 2:
            await producer.flush()
            for partition in range(tree.kafka.partitions):
                command = ModelCommand(
                    command_id="c", time="2026-01-01T00:00:00Z", action="rollback", signal="injection",
                    version="shipped", partition=partition,
                )  # fmt: skip
                value = command.model_dump_json(exclude_none=True).encode()
                await producer.send(tree.kafka.topic("events"), value, partition=partition, headers=[COMMAND_HEADER])
        if n % 200 == 0:
            await asyncio.sleep(max(0.0, begin + n / rate - time.monotonic()))
    await producer.stop()
    return given


async def log_of(tree: Settings) -> dict[int, list[ConsumerRecord]]:
    """Read the log of the events, by partition."""
    records = await read_all(tree, "events")
    return {p: [r for r in records if r.partition == p] for p in range(tree.kafka.partitions)}


async def restarted_until(worker: Service, done: Any, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not await done():
        assert time.monotonic() < deadline, f"the worker did not finish; exits {worker.exits}"
        if not worker.running:
            worker.start()
        await asyncio.sleep(0.5)


async def test_what_was_learned_survives_sigkill_to_the_last_bit(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    tree = settings(
        kafka.brokers,
        kafka={"session_timeout_s": 6.0, "heartbeat_s": 1.0, "partitions": 2},
        worker={"snapshot_interval_s": 0.5},
    )
    await create_topics(tree.kafka)
    with Service("worker", tree, tmp_path / "worker.log") as worker:
        worker.start()
        feeding = asyncio.create_task(publish(tree, lines(EVENTS, step_ms=20), rate=100))
        for point in POINTS:
            worker.kill()
            worker.start(crash_at=f"worker.{point}:2")
            deadline = time.monotonic() + 150
            while worker.running:
                assert time.monotonic() < deadline, f"worker.{point} was never reached"
                await asyncio.sleep(0.1)
            worker.start()
            await asyncio.sleep(2)
        given = await feeding

        async def forwarded() -> bool:
            log = await read_all(tree, "events")
            ids = {orjson.loads(r.value)["feedback_id"] for r in log if b'"feedback"' in r.value}
            return len(ids) == given

        async def judged() -> bool:
            log = await log_of(tree)
            found = [(await load(tree, p), records) for p, records in log.items() if records]
            return all(snapshot is not None and snapshot.offset == rs[-1].offset for snapshot, rs in found)

        await restarted_until(worker, forwarded, 120)
        await restarted_until(worker, judged, 120)
        worker.stop()
        assert worker.exits.count(-9) >= len(POINTS)
    await same_weights(tree)


async def same_weights(tree: Settings) -> None:
    """The agents in the snapshots are, bit for bit, those of one run over the log that the killed workers left."""
    learned = 0
    for partition, records in (await log_of(tree)).items():
        pipeline = build_pipeline(partition, tree)
        pipeline.process(
            [
                Record(r.offset, decode_record(r.value, r.headers), r.value, r.timestamp, r.timestamp_type == 1)
                for r in records
            ]
        )
        found = await load(tree, partition)
        if found is None:
            assert not records
            continue
        for agent in pipeline.agents:
            if isinstance(agent, TrainableAgent):
                mine, theirs = ({"agent": part} for part in (agent.state(), found.parts[agent.name]))
                assert encode(Snapshot(0, 0, {}, mine)) == encode(Snapshot(0, 0, {}, theirs))
                learned += agent.learner.counts.learned
                assert agent.learner.counts.command_applied == (agent.name == "injection")
    assert learned > 50  # that anything was at stake
