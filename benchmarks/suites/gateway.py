"""What the way in over HTTP costs: batches posted to the gateway, which has a core for itself."""

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

from benchmarks.harness.testbed import Bed
from benchmarks.harness.events import lines
from benchmarks.harness.report import Row

DIRECT = "aiokafka send, from the service itself"
POSTED = "POST /v1/events, 100 a batch"
PACKED = "POST /v1/events, 100 a batch, gzip"
ALONE = "POST /v1/events, one each"
_CONNECTIONS = 8
_POOL = 5_000
PREFIX = "gateway"


def measure(bed: Bed, total: int, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Return events/s of each way, as a ratio to producing directly, and the gateway's own time for an event."""
    bed.topics(PREFIX)
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    with _Gateway(bed) as gateway:
        for turn in range(rounds):
            got = bed.contend("ours", "produce.py", f"{PREFIX}.events", total)
            rates.setdefault(DIRECT, []).append(got["events"] / got["seconds"])
            for name, batch, share in ((POSTED, 100, 1), (PACKED, 100, 1), (ALONE, 1, 10)):
                speed, cost = gateway.take(_requests(batch, packed=name == PACKED), total // share // batch, batch)
                rates.setdefault(name, []).append(speed)
                costs.setdefault(name, []).append(cost)
                say(f"round {turn + 1}/{rounds} {name}: {speed:,.0f} events/s, {cost:.1f} us of its core each")
            say(f"round {turn + 1}/{rounds} {DIRECT}: {rates[DIRECT][-1]:,.0f} events/s")
    direct = sorted(rates[DIRECT])[len(rates[DIRECT]) // 2]
    speeds = [Row.of(name, found, "events/s", DIRECT, direct) for name, found in rates.items()]
    return speeds + [Row.of(f"ingest service: {name}", found, "us/event") for name, found in costs.items()]


def _requests(batch: int, *, packed: bool) -> Iterator[bytes]:
    """Yield requests for ever, ready to be sent."""
    pool = list(lines(_POOL))
    bodies = [b"\n".join(pool[at : at + batch]) for at in range(0, _POOL, batch)]
    head = "POST /v1/events HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/x-ndjson\r\n"
    if packed:
        bodies, head = [gzip.compress(body, 1) for body in bodies], head + "Content-Encoding: gzip\r\n"
    return itertools.cycle([f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies])


class _Gateway:
    """``streamgauge ingest`` on a core of its own."""

    def __init__(self, bed: Bed) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self._port = int(taken.getsockname()[1])
        env = {
            "STREAMGAUGE_KAFKA__BROKERS": bed.broker.brokers,
            "STREAMGAUGE_KAFKA__TOPIC_PREFIX": PREFIX,
            "STREAMGAUGE_INGEST__PORT": str(self._port),
            "STREAMGAUGE_INGEST__HEALTH_PORT": "0",
        }
        self._process = bed.start("-m", "tools.cli", "ingest", env=env)

    def __enter__(self) -> _Gateway:
        self.take(_requests(1, packed=False), 1, 1, patience_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def take(self, requests: Iterator[bytes], count: int, batch: int, patience_s: float = 0) -> tuple[float, float]:
        """Post so many requests; return events/s, and the microseconds of its core that each event took."""
        begin, before = time.perf_counter(), self._cpu_s()
        asyncio.run(self._post(itertools.islice(requests, count), time.monotonic() + patience_s))
        took, used = time.perf_counter() - begin, self._cpu_s() - before
        return count * batch / took, used / (count * batch) * 1e6

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _post(self, requests: Iterator[bytes], until: float) -> None:
        await asyncio.gather(*(self._connection(requests, until) for _ in range(_CONNECTIONS)))

    async def _connection(self, requests: Iterator[bytes], until: float) -> None:
        """Post in turn over one connection; nothing of a client library stands in the figures."""
        reader, writer = await self._connected(until)
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
                if status != b"202" and time.monotonic() > until:
                    raise RuntimeError(f"the gateway said {status!r}: {body[:300]!r}")
        writer.close()

    async def _connected(self, until: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                await asyncio.sleep(0.1)
