"""Delivery to Kafka, on librdkafka's mock cluster."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
import streamgauge
from confluent_kafka import Consumer, Message, TopicPartition
from streamgauge import EventPublisher, send_feedback
from unit.conftest import Wait, logged_reasons
from unit.test_publisher import balanced


def read(url: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": urlsplit(url).netloc, "group.id": "reader", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    messages: list[Message] = []
    while len(messages) < count:
        batch = consumer.consume(count - len(messages), timeout=10)
        assert batch, f"{len(messages)} of {count} came"
        messages += [message for message in batch if message.error() is None]
    consumer.close()
    return messages


def value(message: Message) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(message.value() or b"")
    return loaded


def test_events_arrive_under_their_key(mock_kafka: str) -> None:
    with EventPublisher(mock_kafka, tenant="clinic", app="triage", topic_prefix="one") as publisher:
        for n in range(1_200):
            publisher.publish({"event_id": f"e{n}", "conversation_id": f"c{n % 7}" if n % 2 else None})
        assert publisher.flush(30)
        assert (publisher.stats.delivered, publisher.stats.failed) == (1_200, {})
    messages = read(mock_kafka, "one.events", 1_200)
    assert {value(message)["event_id"] for message in messages} == {f"e{n}" for n in range(1_200)}
    for message in messages:
        assert (message.key() or b"").decode() == value(message).get("conversation_id") or "clinic/triage"


def test_a_label_goes_to_the_partition_of_its_event(mock_kafka: str) -> None:
    with EventPublisher(mock_kafka, tenant="clinic", app="triage", topic_prefix="two") as publisher:
        for n in range(20):
            with streamgauge.context("p", conversation_id=f"conversation {n}" if n else None):
                publisher.publish({"call_id": f"c{n}", "conversation_id": f"conversation {n}" if n else None})
                send_feedback(call_id=f"c{n}", signal="injection", label=True, publisher=publisher)
        assert publisher.flush(30)
    events = {value(m)["call_id"]: (m.key(), m.partition()) for m in read(mock_kafka, "two.events", 20)}
    labels = {value(m)["call_id"]: (m.key(), m.partition()) for m in read(mock_kafka, "two.feedback", 20)}
    assert events == labels
    assert len({partition for _, partition in events.values()}) > 1


def test_keys_are_partitioned_as_in_java_and_in_the_monitor(mock_kafka: str) -> None:
    with EventPublisher(mock_kafka, topic_prefix="three") as publisher:
        for n in range(10):
            publisher.publish({"conversation_id": f"c{n}"})
        assert publisher.flush(30)
    # murmur2 as in org.apache.kafka.common.utils.Utils, over 4 partitions; librdkafka's own default is CRC32.
    assert {value(m)["conversation_id"]: m.partition() for m in read(mock_kafka, "three.events", 10)} == {
        f"c{n}": murmur2(f"c{n}".encode()) % 4 for n in range(10)
    }


def murmur2(data: bytes) -> int:
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    for at in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & 0xFFFFFFFF
        k = (k ^ k >> 24) * m & 0xFFFFFFFF
        h = h * m & 0xFFFFFFFF ^ k
    if rest := data[len(data) - len(data) % 4 :]:
        h = (h ^ int.from_bytes(rest, "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_an_unreachable_broker_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture, until: Wait) -> None:
    with caplog.at_level(logging.WARNING, "streamgauge"):
        publisher = EventPublisher("kafka://127.0.0.1:1")
        publisher.publish({})
        until(lambda: "kafka._TRANSPORT" in logged_reasons(caplog))
        assert not publisher.close(1)
    assert balanced(publisher.stats)
    assert publisher.stats.failed == {"closed": 1}
    assert logged_reasons(caplog).count("kafka._TRANSPORT") == 1


def test_librdkafka_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str], until: Wait) -> None:
    publisher = EventPublisher("kafka://127.0.0.1:1")
    publisher.publish({})
    until(lambda: publisher._sender.in_flight == 1)
    publisher.close(0.2)
    assert capfd.readouterr() == ("", "")


def test_an_invalid_option_is_logged_and_the_queue_stays_bounded(caplog: pytest.LogCaptureFixture, until: Wait) -> None:
    publisher = EventPublisher("kafka://127.0.0.1:1", kafka_options={"no.such.option": 1}, queue_size=5)
    for _ in range(10):
        publisher.publish({})
    until(lambda: "transport" in logged_reasons(caplog))
    assert (publisher.stats.queued, publisher.stats.dropped["queue_full"]) == (5, 5)
    publisher.close(0)
    assert publisher.stats.failed == {"closed": 5}
    assert balanced(publisher.stats)


def test_an_event_too_large_for_the_broker_fails(mock_kafka: str) -> None:
    options = {"message.max.bytes": 1_000}
    with EventPublisher(mock_kafka, kafka_options=options, topic_prefix="four") as publisher:
        publisher.publish({"messages": [{"role": "user", "content": "x" * 5_000}]})
        assert publisher.flush(30)
        assert publisher.stats.failed == {"too_large": 1}


def test_many_events_pass_the_in_flight_limit(mock_kafka: str) -> None:
    with EventPublisher(mock_kafka, topic_prefix="five", queue_size=20_000) as publisher:
        for n in range(10_000):
            publisher.publish({"event_id": f"e{n}"})
        assert publisher.flush(60)
        assert publisher.stats.delivered == 10_000
