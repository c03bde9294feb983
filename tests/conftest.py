"""Fixtures for every kind of test: brokers (real and mock), topics of a test's own, settings for them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Protocol

import pytest
from confluent_kafka import Producer

from schemas.settings import Settings
from streams.runtime.process_tuning import relax_gc
from tests.kafka.broker import KafkaBroker, create_topics


class MakeTopics(Protocol):
    """Creates topics on the real Kafka by their short names; returns their full names."""

    def __call__(self, *names: str, partitions: int = 4, **config: str) -> list[str]: ...


class MakeSettings(Protocol):
    """Builds settings for a broker; ``worker={"chunk_records": 7}`` and the like change parts of the tree."""

    def __call__(self, brokers: str, **parts: dict[str, object]) -> Settings: ...


def pytest_configure() -> None:
    """Compile kernels without a cycle collector that walks all of pytest's and numba's objects meanwhile."""
    relax_gc()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real Kafka, so that no test is put into `make test` by a forgotten marker."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """Apache Kafka itself, one node for the whole run."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture(autouse=True)
def _kafka_back_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that killed the broker and failed must not fail those after it."""
    yield
    if "kafka" in request.fixturenames:
        request.getfixturevalue("kafka").start()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses: tests share a broker, never a topic or a group."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def topics(kafka: KafkaBroker, topic_prefix: str) -> MakeTopics:
    """Factory: ``topics("events", "alerts", partitions=2)``; config as keywords, ``cleanup_policy="compact"``."""

    def make(*names: str, partitions: int = 4, **config: str) -> list[str]:
        full = [f"{topic_prefix}.{name}" for name in names]
        options = {key.replace("_", "."): value for key, value in config.items()}
        create_topics(kafka.brokers, full, partitions=partitions, config=options)
        return full

    return make


@pytest.fixture
def settings(topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """Factory: settings for a broker, with topics and groups of this test's own, free ports, nothing from outside."""
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)

    def make(brokers: str, **parts: dict[str, object]) -> Settings:
        own: dict[str, dict[str, object]] = {
            "kafka": {"brokers": brokers, "topic_prefix": topic_prefix},
            "worker": {"group": f"{topic_prefix}-worker", "health_port": 0},
            "sink": {"group": f"{topic_prefix}-sink", "health_port": 0},
        }
        tree = {name: own.get(name, {}) | parts.get(name, {}) for name in own.keys() | parts.keys()}
        return Settings.model_validate(tree)

    return make


@pytest.fixture
def mock_kafka() -> Iterator[str]:
    """librdkafka's mock cluster (4 partitions per topic, in memory, made when first named); its ``host:port``."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    host.flush(1)  # the cluster lives as long as this client
