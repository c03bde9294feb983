"""The brokers that the other tests stand on are what they claim to be."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.conftest import MakeSettings, MakeTopics
from tests.kafka.broker import KafkaBroker


def produce(brokers: str, topic: str, *values: bytes) -> None:
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": brokers, "acks": "all"})
    for value in values:
        producer.produce(
            topic, value, partition=0, on_delivery=lambda error, _: failed.append(error) if error else None
        )
    assert producer.flush(30) == 0
    assert not failed


def consume(brokers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def test_records_survive_a_killed_broker_on_the_same_address(kafka: KafkaBroker, topics: MakeTopics) -> None:
    [topic] = topics("events", partitions=1)
    produce(kafka.brokers, topic, b"before")
    address, pid = kafka.brokers, (kafka.folder / "pid").read_text()

    kafka.kill()
    assert not Path("/proc", pid.strip()).exists()
    kafka.start()

    produce(kafka.brokers, topic, b"after")
    assert kafka.brokers == address
    assert consume(kafka.brokers, topic, 2) == [b"before", b"after"]


def test_a_stopped_broker_comes_back_with_its_records(kafka: KafkaBroker, topics: MakeTopics) -> None:
    [topic] = topics("alerts", partitions=1, cleanup_policy="compact")
    produce_key = Producer({"bootstrap.servers": kafka.brokers})
    produce_key.produce(topic, b"state", key=b"fingerprint")
    assert produce_key.flush(30) == 0

    kafka.stop()
    assert not kafka.running
    kafka.start()

    assert consume(kafka.brokers, topic, 1) == [b"state"]


def test_the_mock_cluster_carries_records(mock_kafka: str, topic_prefix: str) -> None:
    produce(mock_kafka, f"{topic_prefix}.events", b"one")
    assert consume(mock_kafka, f"{topic_prefix}.events", 1) == [b"one"]


def test_settings_keep_a_tests_groups_and_topics_its_own(settings: MakeSettings, topic_prefix: str) -> None:
    made = settings("127.0.0.1:1", worker={"chunk_records": 7})
    assert made.kafka.topic("events") == f"{topic_prefix}.events"
    assert made.worker.chunk_records == 7
    assert made.worker.group.startswith(topic_prefix)
