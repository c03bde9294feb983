"""docs/integrations/alerts-and-feedback: its programs with a broker in this process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from docs_and_examples import pages
from docs_and_examples.scripts import Place

ADDRESS = "localhost:9092"
ALERT: dict[str, Any] = {
    "alert_id": "a-1",
    "fingerprint": "f-1",
    "state": "firing",
    "rule": "injection-rate",
    "severity": "critical",
    "signal": "injection",
    "segment": {"tenant": "clinic", "app": "triage"},
    "summary": "Attacks on triage rose from 1 % to 9 %.",
    "value": 0.09,
    "threshold": 0.05,
    "started_at": "2026-11-24T09:30:00Z",
    "changed_at": "2026-11-24T09:30:00Z",
    "source_partition": 0,
    "source_offset": 7,
}


@pytest.fixture
def kafka() -> Iterator[str]:
    """librdkafka's own mock cluster, in memory, as long as its producer lives."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    host.list_topics("llm.alerts", timeout=10)
    yield f"{broker.host}:{broker.port}"
    host.flush(1)


def program(at: Place, number: int, kafka: str) -> Path:
    """Write one block of the page, with the address of the broker that is there."""
    block = pages.blocks("alerts-and-feedback", "python")[number]
    assert ADDRESS in block.code
    path = at.folder / f"block_{number}.py"
    path.write_text(block.code.replace(ADDRESS, kafka))
    return path


def first_line(at: Place, path: Path, kafka: str) -> str:
    """Return what the program says first. It hears what comes after it has begun, so the alert is raised until then."""
    heard = threading.Event()
    raising = threading.Thread(target=keep_raising, args=(kafka, heard))
    raising.start()
    with subprocess.Popen(
        [sys.executable, str(path)], env=at.environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        running.terminate()
    heard.set()
    raising.join()
    return line


def keep_raising(kafka: str, heard: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    while not heard.wait(0.1):
        producer.produce("llm.alerts", json.dumps(ALERT))
        producer.flush(10)


def test_alerts_are_printed_as_they_come(at: Place, kafka: str) -> None:
    assert (
        first_line(at, program(at, 0, kafka), kafka)
        == "firing injection-rate Attacks on triage rose from 1 % to 9 %.\n"
    )


def test_alerts_for_async_programs(at: Place, kafka: str) -> None:
    assert first_line(at, program(at, 1, kafka), kafka) == "a-1 0.09 > 0.05\n"


def test_feedback_comes_after_its_call_under_the_same_key(at: Place, kafka: str) -> None:
    at.python(program(at, 2, kafka))
    (event,), (label,) = records(kafka, "llm.events"), records(kafka, "llm.feedback")
    assert event[0] == label[0] == b"c-1"
    assert event[1]["call_id"] == label[1]["call_id"]
    assert (label[1]["signal"], label[1]["label"], label[1]["source"]) == ("hallucination", True, "thumbs")


def records(kafka: str, topic: str) -> list[tuple[bytes | None, dict[str, Any]]]:
    """Return keys and values of a topic."""
    reader = Consumer({"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0})
    parts = [TopicPartition(topic, n) for n in range(4)]
    left = sum(reader.get_watermark_offsets(part)[1] for part in parts)
    reader.assign([TopicPartition(part.topic, part.partition, 0) for part in parts])
    found: list[tuple[bytes | None, dict[str, Any]]] = []
    while len(found) < left:
        message = reader.poll(10)
        assert message is not None
        assert message.error() is None
        found.append((message.key(), json.loads(message.value() or b"")))
    reader.close()
    return found
