"""The client on Apache Kafka itself: brokers that go and come, topics that are missing, groups of subscribers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import streamgauge
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from streamgauge import EventPublisher, Stats

from tests.conftest import MakeTopics
from tests.kafka.broker import KafkaBroker

ALERT: dict[str, Any] = {
    "fingerprint": "f",
    "state": "firing",
    "rule": "r",
    "severity": "critical",
    "signal": "s",
    "summary": ".",
    "segment": {"tenant": "clinic", "app": "triage"},
    "value": 1.0,
    "threshold": 0.5,
    "started_at": "2026-01-01T00:00:00Z",
    "changed_at": "2026-01-01T00:00:00Z",
    "source_partition": 0,
    "source_offset": 0,
}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "did not happen within 60 s"
        time.sleep(0.01)


def balanced(stats: Stats) -> bool:
    ended = stats.delivered + sum(stats.dropped.values()) + sum(stats.failed.values())
    return stats.published == ended + stats.queued


def end_of(reader: Consumer, partition: TopicPartition) -> int:
    """Return the end of a partition; a broker that came back a moment ago may not lead it yet."""
    end = time.monotonic() + 30
    while True:
        try:
            return reader.get_watermark_offsets(partition, timeout=30)[1]
        except KafkaException as error:
            leaderless = error.args[0].code() in {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
            if not leaderless or time.monotonic() > end:
                raise
            time.sleep(0.1)


def ids(broker: KafkaBroker, topic: str) -> Counter[str]:
    reader = Consumer({"bootstrap.servers": broker.brokers, "group.id": "reader"})
    found: Counter[str] = Counter()
    for number in reader.list_topics(topic, timeout=30).topics[topic].partitions:
        end = end_of(reader, TopicPartition(topic, number))
        reader.assign([TopicPartition(topic, number, 0)])
        while end and reader.position([TopicPartition(topic, number)])[0].offset < end:
            for message in reader.consume(1_000, timeout=1):
                found[json.loads(message.value() or b"")["event_id"]] += 1
    reader.close()
    return found


def test_a_broker_that_is_killed_and_comes_back_gets_each_event_once(kafka: KafkaBroker, topics: MakeTopics) -> None:
    (topic,) = topics("events")
    publisher = EventPublisher(f"kafka://{kafka.brokers}", topic_prefix=topic.removesuffix(".events"), queue_size=2_000)
    taken = set()
    for n in range(500):
        if publisher.publish({"event_id": f"before-{n}"}):
            taken.add(f"before-{n}")
    until(lambda: publisher.stats.delivered > 0)
    kafka.kill()
    for n in range(5_000):
        if publisher.publish({"event_id": f"away-{n}"}):
            taken.add(f"away-{n}")
    assert publisher.stats.dropped["queue_full"] > 0
    assert publisher.stats.queued <= 2_000
    kafka.start()
    assert publisher.flush(60)
    stats = publisher.stats
    publisher.close()
    assert (stats.published, stats.failed, stats.queued) == (5_500, {}, 0)
    assert stats.delivered == len(taken) == 5_500 - stats.dropped["queue_full"]
    assert ids(kafka, topic) == Counter(taken)


def test_a_topic_that_is_missing_is_failed_by_name(kafka: KafkaBroker, topic_prefix: str) -> None:
    options = {"topic.metadata.propagation.max.ms": 500}
    publisher = EventPublisher(f"kafka://{kafka.brokers}", topic_prefix=topic_prefix, kafka_options=options)
    publisher.publish({})
    assert publisher.flush(60)
    assert set(publisher.stats.failed) <= {"unknown_topic", "unknown_topic_or_part"}
    assert sum(publisher.stats.failed.values()) == 1
    assert balanced(publisher.stats)
    publisher.close()


def test_a_group_of_subscribers_goes_on_where_it_was(kafka: KafkaBroker, topics: MakeTopics) -> None:
    (topic,) = topics("alerts", cleanup_policy="compact", partitions=1)
    writer = Producer({"bootstrap.servers": kafka.brokers})
    for n in range(4):
        writer.produce(topic, json.dumps(ALERT | {"alert_id": f"a{n}"}).encode(), f"f{n}".encode())
    assert writer.flush(30) == 0

    def some(count: int) -> list[str]:
        prefix = topic.removesuffix(".alerts")
        with streamgauge.subscribe_alerts(
            f"kafka://{kafka.brokers}", topic_prefix=prefix, group_id=f"{prefix}-pagers", start="earliest", idle_s=30
        ) as alerts:
            return [next(alerts).alert_id for _ in range(count)]

    assert some(2) == ["a0", "a1"]
    # Nobody saw the handling of a1 end, so it comes again rather than never.
    assert some(3) == ["a1", "a2", "a3"]
