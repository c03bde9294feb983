"""Broker in the process of the test, and its records."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
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
