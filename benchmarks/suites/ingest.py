"""Benchmark of the ingest service: batches posted over HTTP to a service with its own core."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness.events import lines
from benchmarks.harness.report import Row
from benchmarks.harness.testbed import Testbed

DIRECT = "aiokafka send, from the service itself"
POSTED = "POST /v1/events, 100 a batch"
PACKED = "POST /v1/events, 100 a batch, gzip"
ALONE = "POST /v1/events, one each"
_CONNECTIONS = 8
_POOL = 5_000
PREFIX = "ingest"


def measure(testbed: Testbed, total: int, rounds: int, log: Callable[[str], None]) -> list[Row]:
    """Return the events/s of each request type relative to producing directly, and the CPU time per event."""
    testbed.topics(PREFIX)
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    with _IngestService(testbed) as service:
        for turn in range(rounds):
            result = testbed.run_baseline("ours", "produce.py", f"{PREFIX}.events", total)
            rates.setdefault(DIRECT, []).append(result["events"] / result["seconds"])
            for name, batch, share in ((POSTED, 100, 1), (PACKED, 100, 1), (ALONE, 1, 10)):
                speed, cost = service.post(_requests(batch, packed=name == PACKED), total // share // batch, batch)
                rates.setdefault(name, []).append(speed)
                costs.setdefault(name, []).append(cost)
                log(f"round {turn + 1}/{rounds} {name}: {speed:,.0f} events/s, {cost:.1f} us of CPU per event")
            log(f"round {turn + 1}/{rounds} {DIRECT}: {rates[DIRECT][-1]:,.0f} events/s")
    direct = sorted(rates[DIRECT])[len(rates[DIRECT]) // 2]
    speeds = [Row.of(name, values, "events/s", DIRECT, direct) for name, values in rates.items()]
    return speeds + [Row.of(f"ingest service: {name}", values, "us/event") for name, values in costs.items()]


def _requests(batch: int, *, packed: bool) -> Iterator[bytes]:
    """Yield prepared requests forever."""
    pool = list(lines(_POOL))
    bodies = [b"\n".join(pool[at : at + batch]) for at in range(0, _POOL, batch)]
    head = "POST /v1/events HTTP/1.1\r\nHost: ingest\r\nContent-Type: application/x-ndjson\r\n"
    if packed:
        bodies, head = [gzip.compress(body, 1) for body in bodies], head + "Content-Encoding: gzip\r\n"
    return itertools.cycle([f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies])


class _IngestService:
    """Process of ``streamgauge ingest`` on its own core."""

    def __init__(self, testbed: Testbed) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        env = {
            "STREAMGAUGE_KAFKA__BROKERS": testbed.broker.brokers,
            "STREAMGAUGE_KAFKA__TOPIC_PREFIX": PREFIX,
            "STREAMGAUGE_INGEST__PORT": str(self._port),
            "STREAMGAUGE_INGEST__HEALTH_PORT": "0",
        }
        self._process = testbed.start("-m", "tools.cli", "ingest", env=env)

    def __enter__(self) -> _IngestService:
        self.post(_requests(1, packed=False), 1, 1, timeout_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def post(self, requests: Iterator[bytes], count: int, batch: int, timeout_s: float = 0) -> tuple[float, float]:
        """Post ``count`` requests; return events/s and the CPU microseconds per event."""
        start, cpu_start = time.perf_counter(), self._cpu_s()
        asyncio.run(self._post(itertools.islice(requests, count), time.monotonic() + timeout_s))
        seconds, cpu_s = time.perf_counter() - start, self._cpu_s() - cpu_start
        return count * batch / seconds, cpu_s / (count * batch) * 1e6

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _post(self, requests: Iterator[bytes], deadline: float) -> None:
        await asyncio.gather(*(self._connection(requests, deadline) for _ in range(_CONNECTIONS)))

    async def _connection(self, requests: Iterator[bytes], deadline: float) -> None:
        """Post requests over one connection, without the overhead of a client library."""
        reader, writer = await self._connected(deadline)
        for request in requests:
            status = b""
            while status != b"202":
                writer.write(request)
                status = (await reader.readline()).split()[1]
                length = 0
                while (line := await reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                if status != b"202" and time.monotonic() > deadline:
                    raise RuntimeError(f"the ingest service returned {status!r}: {body[:300]!r}")
        writer.close()

    async def _connected(self, deadline: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                await asyncio.sleep(0.1)
