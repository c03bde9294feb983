"""End-to-end test of the demo in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer

from tools.demo.tcp_proxy import tcp_proxy

DEADLINE_S = 200


def test_the_demo_detects_all_incidents_and_its_figures_are_exact(tmp_path: Path) -> None:
    stray = {"STREAMGAUGE_KAFKA__BROKERS": "nowhere:1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "demo"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=os.environ | stray,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert re.search(r"\b4 of 4\b", output)
    checks = re.findall(r"^\s+(ok|FAIL)\s+\w+", output, re.MULTILINE)
    assert len(checks) == 15
    assert set(checks) == {"ok"}
    assert "Traceback" not in output
    assert not list(tmp_path.glob("streamgauge-demo-*"))


async def test_clients_reach_the_broker_through_the_proxy(mock_kafka: str) -> None:
    def round_trip(brokers: str) -> bytes | None:
        producer = Producer({"bootstrap.servers": brokers})
        producer.produce("events", b"one")
        assert producer.flush(10) == 0
        consumer = Consumer({"bootstrap.servers": brokers, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["events"])
        [message] = consumer.consume(1, timeout=20)
        consumer.close()
        return message.value()

    async with tcp_proxy(0, mock_kafka) as brokers:
        assert brokers != mock_kafka
        assert await asyncio.to_thread(round_trip, brokers) == b"one"


async def test_the_proxy_returns_the_brokers_address_if_the_port_is_in_use(mock_kafka: str) -> None:
    async with tcp_proxy(int(mock_kafka.rpartition(":")[2]), mock_kafka) as brokers:
        assert brokers == mock_kafka
