"""Publishing programs in their own processes, and the ingest service."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from gateway import Gateway, listening


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    seconds: float
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs a program that finds its address in ``STREAMGAUGE_URL``."""

    def __call__(self, program: str, url: str | None = None, **settings: object) -> Ended: ...


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as running:
        yield running


@pytest.fixture
def run(gateway: Gateway) -> Run:
    def start(program: str, url: str | None = None, **settings: object) -> Ended:
        given = {f"STREAMGAUGE_{name.upper()}": str(value) for name, value in settings.items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
            env=kept | {"STREAMGAUGE_URL": url or gateway.url} | given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, time.monotonic() - start, done.stdout, done.stderr)

    return start


class Cluster:
    """librdkafka's mock cluster, and what is in it."""

    def __init__(self) -> None:
        self._host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
        broker = next(iter(self._host.list_topics(timeout=10).brokers.values()))
        self.url = f"kafka://{broker.host}:{broker.port}"

    def events(self) -> list[bytes]:
        """Return all records of the events topic."""
        consumer = Consumer({"bootstrap.servers": urlsplit(self.url).netloc, "group.id": "reader", "log_level": 0})
        found: list[bytes] = []
        for number in consumer.list_topics("llm.events", timeout=10).topics["llm.events"].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition("llm.events", number), timeout=10)
            consumer.assign([TopicPartition("llm.events", number, 0)])
            read: list[bytes] = []
            while len(read) < end:
                read += [m.value() or b"" for m in consumer.consume(end - len(read), 10) if m.error() is None]
            found += read
        consumer.close()
        return found


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
