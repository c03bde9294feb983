"""A Collector's topics on Apache Kafka itself: what it wrote is judged where its segment's state is."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from schemas.settings import Settings
from streams.runtime.partitioning import partition_of
from streams.runtime.topics import create_topics
from streams.worker.app import Worker
from tests import collector
from tests.conftest import MakeSettings
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.kafka.broker import create_topics as create_named
from tests.topics import read_all, values
from tests.waiting import until
from tools import doctor

OTLP_PARTITIONS = 3
"""Not as many as the events have: theirs is the Collector's choice."""


def otlp_settings(settings: MakeSettings, brokers: str, prefix: str, **kafka: object) -> Settings:
    names = {"otlp": True, "otlp_spans_topic": f"{prefix}_spans", "otlp_logs_topic": f"{prefix}_logs"}
    return settings(brokers, kafka={"brokers": brokers, "topic_prefix": prefix} | names | kafka)


async def ready(tree: Settings) -> None:
    names = [tree.kafka.otlp_spans_topic, tree.kafka.otlp_logs_topic]
    create_named(tree.kafka.brokers, names, partitions=OTLP_PARTITIONS)
    await create_topics(tree.kafka)


async def export(tree: Settings, topic: str, bodies: list[bytes]) -> None:
    """Write as the Collector does: no key, so any partition."""
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=5)
    await producer.start()
    for i, body in enumerate(bodies):
        await producer.send(topic, body, partition=i % OTLP_PARTITIONS)
    await producer.stop()


def settled(worker: Worker) -> bool:
    """Whether all that is on its topics is forwarded and judged."""
    return sum((worker.lag() or {"": 1}).values()) == 0


async def test_spans_of_both_encodings_are_scored_where_their_app_is(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    tree = otlp_settings(settings, kafka.brokers, topic_prefix)
    await ready(tree)
    bodies = [
        encode(collector.spans(2 * i, 2 * i + 1, app=f"app{i % 5}"))
        for i, encode in ((i, (collector.as_proto, collector.as_json)[i % 2]) for i in range(100))
    ]
    async with judging(tree) as worker:
        await export(tree, tree.kafka.otlp_spans_topic, bodies)
        await until(lambda: judged(worker) == 200, 60)
        names = [f"{tree.kafka.otlp_spans_topic}-{p}" for p in range(OTLP_PARTITIONS)]
        assert (worker.lag() or {}).keys() >= set(names), "readiness does not see whether they are forwarded"
        await until(lambda: settled(worker))
    scored = await values(tree, "scored")
    assert {row["event"]["event_id"] for row in scored} == {collector.call_id(n) for n in range(200)}
    homes = {(row["event"]["app"], row["source_partition"]) for row in scored}
    assert homes == {(f"app{i}", partition_of(b"acme/app%d" % i, tree.kafka.partitions)) for i in range(5)}
    usage: Any = scored[0]["event"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], scored[0]["event"]["latency_ms"]) == (40, 2, 812)


async def test_an_evaluation_result_becomes_a_label_in_the_log_of_its_event(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    tree = otlp_settings(settings, kafka.brokers, topic_prefix)
    await ready(tree)
    async with judging(tree) as worker:
        await export(tree, tree.kafka.otlp_spans_topic, [collector.as_proto(collector.spans(1))])
        await until(lambda: judged(worker) == 1, 60)
        await export(tree, tree.kafka.otlp_logs_topic, [collector.as_json(collector.evaluation(1, "fail"))])
        await until(lambda: judged(worker) == 2)
    event, label = sorted(await read_all(tree, "events"), key=lambda r: int(r.offset))
    assert event.partition == label.partition
    assert orjson.loads(label.value)["call_id"] == orjson.loads(event.value)["call_id"]
    assert label.headers == (("kind", b"feedback"),)


async def test_what_cannot_be_read_is_dead_lettered_whole_and_its_neighbours_are_scored(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    tree = otlp_settings(settings, kafka.brokers, topic_prefix)
    await ready(tree)
    broken = [
        b"{",
        b"\xff\xfe",
        collector.as_proto(collector.spans(1))[:-3],
        b'{"resourceLogs": []}',
        b'{"resourceSpans": [}',
    ]
    bodies = [body for i, bad in enumerate(broken) for body in (bad, collector.as_json(collector.spans(i)))]
    async with judging(tree) as worker:
        await export(tree, tree.kafka.otlp_spans_topic, bodies)
        await until(lambda: judged(worker) == len(broken) and settled(worker), 60)
    letters = await values(tree, "dead_letters")
    assert Counter(base64.b64decode(letter["raw"]) for letter in letters) == Counter(broken)
    assert {letter["source_topic"] for letter in letters} == {tree.kafka.otlp_spans_topic}
    assert all(letter["reason"] in {"decode", "contract"} and letter["error"] for letter in letters)


async def test_a_worker_judges_without_the_topics_and_takes_them_up_when_they_are_made(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    tree = otlp_settings(settings, kafka.brokers, topic_prefix)
    await create_topics(tree.kafka.model_copy(update={"otlp": False}))
    (finding,) = [f for f in await doctor._broker(tree) if f.check == "otlp topics"]
    assert not finding.ok
    worker = Worker(tree)
    worker.app.conf.consumer_metadata_max_age_ms = 1000
    async with judging(tree, worker):
        await until(lambda: len(worker.lag() or ()) == tree.kafka.partitions, 60)
        await ready(tree)
        await export(tree, tree.kafka.otlp_spans_topic, [collector.as_proto(collector.spans(1))])
        await until(lambda: judged(worker) == 1, 60)
    assert all(f.ok for f in await doctor._broker(tree))


async def test_a_restarted_worker_forwards_no_record_again(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    tree = otlp_settings(settings, kafka.brokers, topic_prefix)
    await ready(tree)
    for begin in (0, 10):
        await one_life(tree, [collector.as_proto(collector.spans(n)) for n in range(begin, begin + 10)], begin + 10)
    names = [event["event_id"] for event in await values(tree, "events")]
    assert sorted(names) == sorted({collector.call_id(n) for n in range(20)})


async def one_life(tree: Settings, bodies: list[bytes], total: int) -> None:
    """Run a worker until it has judged, and those before it, so many."""
    async with judging(tree) as worker:
        await export(tree, tree.kafka.otlp_spans_topic, bodies)
        await until(lambda: judged(worker) == total, 60)
