"""Latency from ``produce`` to the alert and to the scored event, measured by a consumer at 1,000 events/s.

The worker has its own core; the broker, the publisher and the consumer share the other core.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle, islice

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer

from benchmarks.harness.events import events
from benchmarks.harness.report import Row
from benchmarks.harness.testbed import PARTITIONS, Testbed

RATE = 1_000
WARM_UP_S = 15
"""Duration of uncounted traffic; the JVM of a new broker compiles its code during the first seconds."""
EVERY = 101
"""Interval of events that raise an alert, on alternating partitions."""
APPS = 200
"""Number of apps that raise alerts in turn, so that an app's alert is resolved before its next turn."""
RULES = "rules: [{name: slow-call, type: event, metric: latency_ms, threshold: 1000000, window_s: 10, cooldown_s: 0}]"
PREFIX = "latency"
P50, P99, LONGEST = "produce -> alert, p50", "produce -> alert, p99", "produce -> scored, longest"
_ID = slice(len('{"event":{"event_id":"'), len('{"event":{"event_id":"') + 32)


class Publisher(threading.Thread):
    """Thread that publishes warm-up events and ``count`` further events at a constant rate."""

    def __init__(self, brokers: str, count: int) -> None:
        super().__init__(daemon=True)
        self.warm_up = WARM_UP_S * RATE
        self.sent = np.zeros(self.warm_up + count)
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "acks": "all"})
        self._pool = cycle(islice(events(5_000), 5_000))

    def probe(self) -> None:
        """Publish one uncounted event to every partition."""
        for partition in range(PARTITIONS):
            self._send(next(self._pool), "f" * 32, partition)
        self._producer.flush()

    def run(self) -> None:
        """Publish event ``i`` at ``start + i / RATE``; catch up after delays."""
        start = time.perf_counter()
        for i in range(len(self.sent)):
            if (ahead := start + i / RATE - time.perf_counter()) > 0:
                self._producer.poll(0)
                time.sleep(ahead)
            event = next(self._pool)
            if i % EVERY == 0:
                event = event | {"app": f"marked-{i // EVERY % APPS}", "latency_ms": 2e6}
            # The intended send time: a late publisher counts as delay (coordinated omission).
            self.sent[i] = start + i / RATE
            self._send(event, f"{i:032x}", i % PARTITIONS)
        self._producer.flush()

    def _send(self, event: dict[str, object], name: str, partition: int) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        value = orjson.dumps(event | {"event_id": name, "call_id": name, "time": now})
        self._producer.produce(f"{PREFIX}.events", value, partition=partition)


def measure(testbed: Testbed, seconds: int, log: Callable[[str], None]) -> list[Row]:
    """Return quantiles of both latencies and the maximum."""
    testbed.topics(PREFIX)
    rules = testbed.folder / "rules.yaml"
    rules.write_text(RULES)
    env = {
        "STREAMGAUGE_KAFKA__BROKERS": testbed.broker.brokers,
        "STREAMGAUGE_KAFKA__TOPIC_PREFIX": PREFIX,
        "STREAMGAUGE_ALERTS__RULES_FILE": str(rules),
        "STREAMGAUGE_WORKER__HEALTH_PORT": "0",
    }
    worker = testbed.start("-m", "tools.cli", "worker", env=env)
    try:
        publisher = Publisher(testbed.broker.brokers, seconds * RATE)
        consumer = Consumer({"bootstrap.servers": testbed.broker.brokers, "group.id": "bench", "fetch.wait.max.ms": 5})
        consumer.subscribe([f"{PREFIX}.scored", f"{PREFIX}.alerts"])
        _until_ready(publisher, consumer, worker.poll)
        log(f"latency: {RATE:,} events/s for {seconds} s")
        publisher.start()
        scored, alerts = _consume(publisher, consumer)
        consumer.close()
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    raised = sum(i % EVERY == 0 for i in range(publisher.warm_up, len(publisher.sent)))
    if (len(scored), len(alerts)) != (seconds * RATE, raised):
        raise RuntimeError(
            f"latency: received {len(scored)} scored events and {len(alerts)} alerts for {seconds * RATE} events"
        )
    return [
        Row(P50, float(np.quantile(alerts, 0.5)), "ms"),
        Row(P99, float(np.quantile(alerts, 0.99)), "ms"),
        Row("produce -> scored, p50", float(np.quantile(scored, 0.5)), "ms"),
        Row("produce -> scored, p99", float(np.quantile(scored, 0.99)), "ms"),
        Row(LONGEST, float(scored.max()), "ms"),
    ]


def _until_ready(publisher: Publisher, consumer: Consumer, exit_code: Callable[[], int | None]) -> None:
    """Publish probes until every partition has returned one, then wait for the remaining probes."""
    deadline, seen = time.monotonic() + 120, set()
    while len(seen) < PARTITIONS:
        if time.monotonic() > deadline or exit_code() is not None:
            raise RuntimeError("latency: the worker did not start; see its log in the folder of the testbed")
        publisher.probe()
        seen |= {m.partition() for m in consumer.consume(1000, 0.5) if m.topic() == f"{PREFIX}.scored"}
    while consumer.consume(1000, 2.0):
        pass


def _consume(publisher: Publisher, consumer: Consumer) -> tuple[np.ndarray, np.ndarray]:
    """Return the latencies of scored events and alerts in milliseconds, until no record arrives for 5 s."""
    scored: list[float] = []
    alerts: list[float] = []
    last = time.perf_counter()
    while publisher.is_alive() or time.perf_counter() - last < 5:
        for message in consumer.consume(500, 0.005):
            last = now = time.perf_counter()
            value = message.value() or b""
            if message.topic() == f"{PREFIX}.scored":
                latencies, i = scored, int(value[_ID], 16)
            elif (alert := orjson.loads(value))["state"] == "firing":
                latencies, i = alerts, int(alert["evidence"][0], 16)
            else:
                continue
            if i >= publisher.warm_up:
                latencies.append((now - publisher.sent[i]) * 1e3)
    return np.array(scored), np.array(alerts)
