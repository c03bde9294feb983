"""The demo as a person runs it: a process of its own, begin to end."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer

from tools.demo.tcp_proxy import doorway

DEADLINE_S = 200


def test_the_demo_catches_all_incidents_and_its_sql_is_exact(tmp_path: Path) -> None:
    stray = {"STREAMGAUGE_KAFKA__BROKERS": "nowhere:1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "demo"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=os.environ | stray,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"\b4 of 4\b", said)
    checks = re.findall(r"^\s+(ok|FAIL)\s+\w+", said, re.MULTILINE)
    assert len(checks) == 15
    assert set(checks) == {"ok"}
    assert "Traceback" not in said
    assert not list(tmp_path.glob("streamgauge-demo-*"))


async def test_clients_find_the_broker_through_the_doorway(mock_kafka: str) -> None:
    def there_and_back(brokers: str) -> bytes | None:
        producer = Producer({"bootstrap.servers": brokers})
        producer.produce("events", b"one")
        assert producer.flush(10) == 0
        consumer = Consumer({"bootstrap.servers": brokers, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["events"])
        [message] = consumer.consume(1, timeout=20)
        consumer.close()
        return message.value()

    async with doorway(0, mock_kafka) as brokers:
        assert brokers != mock_kafka
        assert await asyncio.to_thread(there_and_back, brokers) == b"one"


async def test_where_the_port_is_taken_the_brokers_own_address_is_told(mock_kafka: str) -> None:
    async with doorway(int(mock_kafka.rpartition(":")[2]), mock_kafka) as brokers:
        assert brokers == mock_kafka
