"""A broker inside this process: librdkafka's mock cluster, from the confluent-kafka wheel.

It speaks Kafka's protocol, groups included, on loopback. It keeps about 5 MB or 100,000 messages of a partition, in
memory: for trying out, never for keeping.
"""

from __future__ import annotations

from confluent_kafka import Producer

from schemas.setting_sections import KafkaSettings
from streams.runtime.topics import TOPICS

PARTITIONS = 4
"""What the mock cluster gives every topic."""

LINGER_MS = 20
"""The mock cluster returns one message set per fetch: without lingering producers, p50 was 800 ms at 1,000 events/s."""


class EmbeddedBroker:
    """A mock cluster that lives as long as this object."""

    def __init__(self) -> None:
        self._cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
        self.brokers = next(iter(self._cluster.list_topics(timeout=10).brokers.values()))
        self.address = f"{self.brokers.host}:{self.brokers.port}"

    def create_topics(self, kafka: KafkaSettings) -> None:
        """Make the topics: the mock cluster does so when asked about them."""
        for topic in TOPICS:
            self._cluster.list_topics(kafka.topic(topic.name), timeout=10)

    def close(self) -> None:
        """Let go of the cluster."""
        self._cluster.flush(1)
        del self._cluster
