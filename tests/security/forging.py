"""What a test writes to Kafka in somebody else's name, and the workers that read it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaProducer

from agents.learning import Learner
from agents.learning.output_rows import TrainableAgent
from processing.pipeline import Record
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline, state_versions
from streams.runtime.snapshot_codec import Snapshot, encode
from streams.worker.app import Worker
from streams.worker.warmup import warm
from tests.conftest import MakeSettings
from tests.judging import judged
from tests.kafka.broker import KafkaBroker
from tests.topics import read_all
from tests.traffic import lines
from tests.waiting import until

KEYS = {"old": "o" * 32, "new": "n" * 32}
FEW = lines(200, seed=9)
ONE_PARTITION: dict[str, object] = {"partitions": 1}


async def write(
    tree: Settings, topic: str, records: Sequence[tuple[bytes | None, bytes]], partition: int = 0, **more: Any
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, max_request_size=32 << 20)
    await producer.start()
    for key, value in records:
        await producer.send_and_wait(tree.kafka.topic(topic), value, key=key, partition=partition, **more)
    await producer.stop()


async def publish(tree: Settings, raws: Sequence[bytes], partition: int = 0) -> None:
    await write(tree, "events", [(None, raw) for raw in raws], partition)


def in_pieces(raw: bytes, partition: int, slot: int = 0, offset: int = 5) -> list[tuple[bytes, bytes]]:
    """Whatever bytes as a snapshot that its manifest vouches for."""
    cuts = [raw[at : at + 500_000] for at in range(0, len(raw), 500_000)]
    manifest = {"offset": offset, "slot": slot, "pieces": len(cuts), "crc": zlib.crc32(raw)}
    records = [(b"%d/%d/%d" % (partition, slot, i), cut) for i, cut in enumerate(cuts)]
    return [*records, (b"%d/manifest/%d" % (partition, slot), orjson.dumps(manifest))]


def forged(tree: Settings, partition: int, offset: int, **parts: dict[str, Any]) -> Snapshot:
    """A snapshot as a fresh worker would write it, with other values in some parts."""
    pipeline = build_pipeline(partition, tree)
    state = pipeline.state()
    return Snapshot(
        partition, offset, state_versions(pipeline), {**state, **{n: {**state[n], **p} for n, p in parts.items()}}
    )


def packed(state: Any) -> bytes:
    return encode(Snapshot(0, 0, {}, state))


def signing(settings: MakeSettings, kafka: KafkaBroker, *names: str, partitions: int = 1) -> Settings:
    keys = {name: KEYS[name] for name in names}
    return settings(kafka.brokers, kafka={"partitions": partitions}, security={"signing_keys": keys})


async def log_of(tree: Settings) -> list[Record]:
    """The events of partition 0 with the broker's time of each."""
    log = sorted((r for r in await read_all(tree, "events") if r.partition == 0), key=lambda r: r.offset)
    return [Record(r.offset, decode_event(r.value), r.value, r.timestamp, r.timestamp_type == 1) for r in log]


async def judged_whole(tree: Settings, count: int) -> Any:
    """The state of one run over the first few events."""
    pipeline = build_pipeline(0, tree)
    pipeline.process((await log_of(tree))[:count])
    return pipeline.state()


def learner_of(worker: Worker, partition: int = 0) -> Learner:
    agents = worker.runners[partition].pipeline.agents
    return next(a.learner for a in agents if isinstance(a, TrainableAgent) and a.name == "injection")


class Run(Protocol):
    """Starts a worker and waits until its pipelines have judged so many records; without a number, all there are."""

    async def __call__(self, tree: Settings, count: int | None = None) -> Worker: ...


@asynccontextmanager
async def running() -> AsyncIterator[Run]:
    """Start workers that are stopped also where the test fails: Faust's threads would keep pytest from ending."""
    started: list[Worker] = []

    async def start(tree: Settings, count: int | None = None) -> Worker:
        warm(tree)
        worker = Worker(tree)
        started.append(worker)
        await worker.start()
        every = tree.kafka.partitions
        if count is None:
            await until(lambda: len(worker.runners) == every and not sum((worker.lag() or {0: 1}).values()), 60)
        else:
            await until(lambda: judged(worker) == count, 60)
        return worker

    yield start
    for worker in started:
        await worker.stop()
    assert [worker.error for worker in started if worker.error] == []
