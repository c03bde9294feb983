"""From ``produce`` to the alert, and to the scored event, as a consumer sees them, at a steady 1,000 events/s.

The worker has a core for itself; the broker, who publishes and who listens share the other.
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

from benchmarks.harness.testbed import PARTITIONS, Bed
from benchmarks.harness.events import events
from benchmarks.harness.report import Row

RATE = 1_000
WARM_UP_S = 15
"""Traffic that is not counted: a broker that has just started compiles itself for the first seconds."""
EVERY = 101
"""One event in so many raises an alert, on each partition in turn."""
APPS = 200
"""The apps that take turns to raise it: by the time it is its turn again, an app's alert has resolved."""
RULES = "rules: [{name: slow-call, type: event, metric: latency_ms, threshold: 1000000, window_s: 10, cooldown_s: 0}]"
PREFIX = "latency"
P50, P99, LONGEST = "produce -> alert, p50", "produce -> alert, p99", "produce -> scored, longest"
_ID = slice(len('{"event":{"event_id":"'), len('{"event":{"event_id":"') + 32)


class Publisher(threading.Thread):
    """Publishes at the rate, first what warms up, then ``count``; notes when each was sent."""

    def __init__(self, brokers: str, count: int) -> None:
        super().__init__(daemon=True)
        self.warming = WARM_UP_S * RATE
        self.sent = np.zeros(self.warming + count)
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "acks": "all"})
        self._pool = cycle(islice(events(5_000), 5_000))

    def probe(self) -> None:
        """Publish one event of every partition that is not counted."""
        for partition in range(PARTITIONS):
            self._send(next(self._pool), "f" * 32, partition)
        self._producer.flush()

    def run(self) -> None:
        """Publish event ``i`` at ``begin + i / RATE``; where the machine kept us, catch up."""
        begin = time.perf_counter()
        for i in range(len(self.sent)):
            if (ahead := begin + i / RATE - time.perf_counter()) > 0:
                self._producer.poll(0)
                time.sleep(ahead)
            event = next(self._pool)
            if i % EVERY == 0:
                event = event | {"app": f"marked-{i // EVERY % APPS}", "latency_ms": 2e6}
            # When it should have been sent: if we were late ourselves, that is delay too (coordinated omission).
            self.sent[i] = begin + i / RATE
            self._send(event, f"{i:032x}", i % PARTITIONS)
        self._producer.flush()

    def _send(self, event: dict[str, object], name: str, partition: int) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        value = orjson.dumps(event | {"event_id": name, "call_id": name, "time": now})
        self._producer.produce(f"{PREFIX}.events", value, partition=partition)


def measure(bed: Bed, seconds: int, say: Callable[[str], None]) -> list[Row]:
    """Return quantiles of both delays, and the longest."""
    bed.topics(PREFIX)
    rules = bed.folder / "rules.yaml"
    rules.write_text(RULES)
    env = {
        "STREAMGAUGE_KAFKA__BROKERS": bed.broker.brokers,
        "STREAMGAUGE_KAFKA__TOPIC_PREFIX": PREFIX,
        "STREAMGAUGE_ALERTS__RULES_FILE": str(rules),
        "STREAMGAUGE_WORKER__HEALTH_PORT": "0",
    }
    worker = bed.start("-m", "tools.cli", "worker", env=env)
    try:
        publisher = Publisher(bed.broker.brokers, seconds * RATE)
        listener = Consumer({"bootstrap.servers": bed.broker.brokers, "group.id": "bench", "fetch.wait.max.ms": 5})
        listener.subscribe([f"{PREFIX}.scored", f"{PREFIX}.alerts"])
        _until_ready(publisher, listener, worker.poll)
        say(f"latency: {RATE:,} events/s for {seconds} s")
        publisher.start()
        scored, alerts = _listen(publisher, listener)
        listener.close()
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    raised = sum(i % EVERY == 0 for i in range(publisher.warming, len(publisher.sent)))
    if (len(scored), len(alerts)) != (seconds * RATE, raised):
        raise RuntimeError(f"latency: {len(scored)} scored events and {len(alerts)} alerts came of {seconds * RATE}")
    return [
        Row(P50, float(np.quantile(alerts, 0.5)), "ms"),
        Row(P99, float(np.quantile(alerts, 0.99)), "ms"),
        Row("produce -> scored, p50", float(np.quantile(scored, 0.5)), "ms"),
        Row("produce -> scored, p99", float(np.quantile(scored, 0.99)), "ms"),
        Row(LONGEST, float(scored.max()), "ms"),
    ]


def _until_ready(publisher: Publisher, listener: Consumer, ended: Callable[[], int | None]) -> None:
    """Publish probes until each partition's have come back, then until none is under way."""
    deadline, seen = time.monotonic() + 120, set()
    while len(seen) < PARTITIONS:
        if time.monotonic() > deadline or ended() is not None:
            raise RuntimeError("latency: the worker did not start; see the log in the bed's folder")
        publisher.probe()
        seen |= {m.partition() for m in listener.consume(1000, 0.5) if m.topic() == f"{PREFIX}.scored"}
    while listener.consume(1000, 2.0):
        pass


def _listen(publisher: Publisher, listener: Consumer) -> tuple[np.ndarray, np.ndarray]:
    """Return milliseconds from sent to seen, of what counts of scored events and alerts, until none came for 5 s."""
    scored: list[float] = []
    alerts: list[float] = []
    last = time.perf_counter()
    while publisher.is_alive() or time.perf_counter() - last < 5:
        for message in listener.consume(500, 0.005):
            last = now = time.perf_counter()
            value = message.value() or b""
            if message.topic() == f"{PREFIX}.scored":
                found, i = scored, int(value[_ID], 16)
            elif (alert := orjson.loads(value))["state"] == "firing":
                found, i = alerts, int(alert["evidence"][0], 16)
            else:
                continue
            if i >= publisher.warming:
                found.append((now - publisher.sent[i]) * 1e3)
    return np.array(scored), np.array(alerts)
