"""The worker on Apache Kafka itself. Each test fails without the remedy it names."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import Producer

from processing.pipeline import PartitionPipeline
from schemas.errors import BrokerError, RecordError
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.lifecycle import until_signalled
from streams.runtime.topics import TOPICS, create_topics
from streams.worker.app import Worker
from streams.worker.chunks import ByteBudget
from tests.conftest import MakeSettings, MakeTopics
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.topics import read_all
from tests.traffic import lines
from tests.waiting import until


async def publish(settings: Settings, raws: list[bytes], partition: int | None = None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers, linger_ms=5)
    await producer.start()
    for i, raw in enumerate(raws):
        where = i % settings.kafka.partitions if partition is None else partition
        await producer.send(settings.kafka.topic("events"), raw, partition=where)
    await producer.stop()


def behind(worker: Worker) -> int:
    return sum((worker.lag() or {0: 1}).values())


async def test_a_rebalance_does_not_judge_kept_partitions_again(kafka: KafkaBroker, settings: MakeSettings) -> None:
    """Faust seeks kept partitions back to the committed offset; what the state includes must be dropped."""
    tree = settings(kafka.brokers, worker={"snapshot_interval_s": 3600.0})
    await create_topics(tree.kafka)
    first, second = Worker(tree), Worker(tree)
    await first.start()
    await publish(tree, lines(2000))
    await until(lambda: judged(first) == 2000)
    await second.start()
    await until(lambda: len(second.runners) + len(second.lag() or ()) > 0)
    await publish(tree, lines(400, seed=2))
    await until(lambda: behind(first) + behind(second) == 0 and len(second.runners) == 2)
    await second.stop()
    await first.stop()
    sources = [
        (r["source_partition"], r["source_offset"], r["source_seq"])
        for r in map(_value, await read_all(tree, "scored"))
    ]
    assert sources
    assert len(sources) == len(set(sources))


async def test_a_stop_leaves_nothing_for_the_next_worker_to_repeat(kafka: KafkaBroker, settings: MakeSettings) -> None:
    tree = settings(kafka.brokers, worker={"snapshot_interval_s": 3600.0})
    await create_topics(tree.kafka)
    worker = Worker(tree)
    await worker.start()
    await publish(tree, lines(800))
    await until(lambda: judged(worker) == 800)
    await worker.stop()
    before = len(await read_all(tree, "scored"))
    again = Worker(tree)
    await again.start()
    await publish(tree, lines(40, seed=3))
    await until(lambda: judged(again) == 840)
    await again.stop()
    sources = [
        (r["source_partition"], r["source_offset"], r["source_seq"])
        for r in map(_value, await read_all(tree, "scored"))
    ]
    assert len(sources) > before
    assert len(sources) == len(set(sources))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_whatever_codec_a_producer_has_its_events_are_judged(
    kafka: KafkaBroker, settings: MakeSettings, codec: str
) -> None:
    """Services choose it, not we: librdkafka's and the Collector's defaults differ."""
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    producer = Producer({"bootstrap.servers": kafka.brokers, "compression.type": codec})
    for raw in lines(200):
        producer.produce(tree.kafka.topic("events"), raw)
    producer.flush()
    worker = Worker(tree)
    await worker.start()
    await until(lambda: judged(worker) == 200)
    await worker.stop()
    assert await read_all(tree, "scored")
    assert await read_all(tree, "dead_letters") == []


async def test_a_worker_whose_consumer_fails_says_so(kafka: KafkaBroker, settings: MakeSettings) -> None:
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    worker = Worker(tree)
    running = asyncio.create_task(worker.run())
    await until(lambda: len(worker.lag() or ()) > 0)
    await worker.app.crash(RuntimeError("a record that aiokafka cannot read"))
    with pytest.raises(BrokerError, match="a record that aiokafka cannot read"):
        await asyncio.wait_for(running, 30)
    await worker.stop()


async def test_a_worker_that_cannot_judge_ends_with_what_failed(
    kafka: KafkaBroker, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed holding what `stop` waits for: a process that did nothing, at full speed, until it was killed."""

    def fails(*_: object) -> None:
        raise RuntimeError("a defect of an agent")

    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    await publish(tree, lines(50))
    monkeypatch.setattr(PartitionPipeline, "process", fails)
    worker = Worker(tree)
    with pytest.raises(RuntimeError, match="a defect of an agent"):
        await asyncio.wait_for(until_signalled(worker.run, worker.stop), 30)
    assert judged(worker) == 0


async def test_a_worker_without_a_topic_says_what_makes_it(
    kafka: KafkaBroker, settings: MakeSettings, topics: MakeTopics
) -> None:
    tree = settings(kafka.brokers)
    topics(*(topic.name for topic in TOPICS if topic.name != "label_requests"))
    worker = Worker(tree)
    with pytest.raises(BrokerError) as raised:
        await asyncio.wait_for(until_signalled(worker.run, worker.stop), 30)
    assert (raised.value.code, raised.value.topics) == ("missing_topic", (tree.kafka.topic("label_requests"),))


async def test_a_worker_without_a_broker_says_so(settings: MakeSettings) -> None:
    worker = Worker(settings("127.0.0.1:1"))
    with pytest.raises(BrokerError) as raised:
        await asyncio.wait_for(until_signalled(worker.run, worker.stop), 30)
    assert (raised.value.field, raised.value.code) == ("kafka.brokers", "unreachable")
    assert "127.0.0.1:1" in str(raised.value)


async def test_malformed_records_are_dead_lettered_and_their_neighbours_judged(
    kafka: KafkaBroker, settings: MakeSettings
) -> None:
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    bad = malformed()
    good = [raw for raw in lines(13_000, step_ms=5) if b'"kind"' not in raw]
    mixed: list[bytes] = []
    for i in range(10_000):
        mixed += [bad[i % len(bad)], good[i % len(good)]]
    worker = Worker(tree)
    await worker.start()
    await publish(tree, mixed)
    await until(lambda: judged(worker) == len(mixed), 90)
    assert worker.error is None
    await worker.stop()
    letters = [_value(r) for r in await read_all(tree, "dead_letters")]
    origins = {(d["source_topic"], d["source_partition"], d["source_offset"]) for d in letters}
    assert len(origins) == 10_000
    assert {base64.b64decode(str(d["raw"])) for d in letters} == set(bad)
    assert all(d["reason"] in {"decode", "contract"} and d["error"] for d in letters)
    assert len(await read_all(tree, "scored")) == 10_000


async def test_labels_go_into_the_log_of_their_events(kafka: KafkaBroker, settings: MakeSettings) -> None:
    tree = settings(kafka.brokers)
    await create_topics(tree.kafka)
    worker = Worker(tree)
    await worker.start()
    label = {"feedback_id": "f", "call_id": "c1", "time": "2026-01-01T00:00:00Z", "tenant": "acme", "app": "app1"}
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers)
    await producer.start()
    value = orjson.dumps(label | {"kind": "feedback", "signal": "injection", "label": True})
    await producer.send(tree.kafka.topic("feedback"), value, partition=2)
    await producer.stop()
    await until(lambda: 2 in worker.runners and worker.runners[2].pipeline.offset == 0)
    await worker.stop()
    (forwarded,) = await read_all(tree, "events")
    assert (forwarded.partition, forwarded.value, forwarded.headers) == (2, value, (("kind", b"feedback"),))


async def test_waiting_for_an_agent_takes_no_partition_out_of_the_fetch(
    kafka: KafkaBroker, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's own bound on the buffer does so when an agent is slow, which stalls the partition for a second."""
    waits = 0
    acquire = ByteBudget.acquire

    async def counting(self: ByteBudget, size: int) -> int:
        nonlocal waits
        waits += self.used > 0 and self.used + size > self.limit
        return await acquire(self, size)

    monkeypatch.setattr(ByteBudget, "acquire", counting)
    tree = settings(kafka.brokers, worker={"chunk_records": 16, "buffer_bytes": 1 << 20})
    await create_topics(tree.kafka)
    await publish(tree, lines(12_000, step_ms=5))
    async with judging(tree) as worker:
        await until(lambda: judged(worker) == 12_000)
    assert not worker.app.monitor.topic_buffer_full
    assert waits, "the agent was never slower than the fetch: nothing was shown"


async def test_a_fetch_without_the_events_is_short(
    kafka: KafkaBroker, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause of 100 ms aiokafka fetches llm.feedback alone, where nothing comes; Faust lets that wait 1.5 s."""
    tree = settings(kafka.brokers)
    events, feedback = tree.kafka.topic("events"), tree.kafka.topic("feedback")
    fetches: list[FetchRequest] = []
    send = AIOKafkaClient.send

    async def noting(self: AIOKafkaClient, node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            fetches.append(request)
        return await send(self, node_id, request, **options)

    class Pausing(Worker):
        async def _process_records(self, partition: int, records: list[ConsumerRecord]) -> None:
            await super()._process_records(partition, records)
            time.sleep(0.15)  # noqa: ASYNC251 - the whole loop stands still, as it does while a kernel is compiled

    monkeypatch.setattr(AIOKafkaClient, "send", noting)
    await create_topics(tree.kafka)
    async with judging(tree, Pausing(tree)) as worker:
        sending = asyncio.create_task(asyncio.to_thread(_trickle, tree, lines(1_000, step_ms=5)))
        await until(lambda: judged(worker) == 1_000)
        await sending
    without = [fetch for fetch in fetches if dict(fetch.topics).keys() & {events, feedback} == {feedback}]
    assert without, "no pause left the events out of a fetch: nothing was shown"
    assert max(fetch._max_wait_ms for fetch in without) <= 100


def _trickle(settings: Settings, raws: list[bytes]) -> None:
    """Publish from a thread of its own, which goes on while the worker's stands still."""
    producer = Producer({"bootstrap.servers": settings.kafka.brokers, "linger.ms": 1})
    for i, raw in enumerate(raws):
        producer.produce(settings.kafka.topic("events"), raw, partition=i % settings.kafka.partitions)
        time.sleep(0.002)
    producer.flush()


def _value(record: ConsumerRecord) -> dict[str, object]:
    value: dict[str, object] = orjson.loads(record.value)
    return value


def malformed() -> list[bytes]:
    """Twenty kinds of records that are not events."""
    base = orjson.loads(lines(1)[0])
    wrong: list[tuple[str, object]] = [
        ("event_id", ""), ("event_id", None), ("call_id", 5), ("time", "yesterday"), ("time", "1066-01-01T00:00:00Z"),
        ("tenant", ""), ("app", None), ("messages", "x"), ("messages", [{"role": "alien", "content": "x"}]),
        ("latency_ms", -1), ("cost_usd", "free"), ("usage", {"input_tokens": 2**40}), ("schema_version", 99),
        ("kind", "whole"),
    ]  # fmt: skip
    broken = [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b"null", orjson.dumps(base)[:-20]]
    kinds = broken + [orjson.dumps(base | {field: value}) for field, value in wrong]
    assert len(set(kinds)) == 20
    return kinds


@pytest.mark.parametrize("kind", range(20))
def test_every_kind_is_malformed(kind: int) -> None:
    with pytest.raises(RecordError):
        decode_event(malformed()[kind])
