"""An ingest server in this process, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
import orjson

from schemas.settings import Settings
from streams.ingest.server import IngestServer
from tests.waiting import until

NDJSON, JSON, PROTOBUF = "application/x-ndjson", "application/json", "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the ingest server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, parsed as JSON."""
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed


class Client:
    """HTTP client of an ingest server."""

    def __init__(self, server: IngestServer, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def post(self, path: str, body: Any, content_type: str = NDJSON, **headers: str) -> Answer:
        """Post a body; keyword arguments such as ``content_encoding="gzip"`` are headers."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        data = BytesIO(body) if isinstance(body, bytes) else body
        async with self.http.post(path, data=data, headers={"Content-Type": content_type, **extra}) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def ready(self) -> None:
        """Wait until Kafka answers."""
        await until(lambda: self.server.answer()[0] == 200)


@asynccontextmanager
async def running(tree: Settings, *, ready: bool = True) -> AsyncIterator[Client]:
    """Run an ingest server and yield a client of it."""
    server = IngestServer(tree)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", auto_decompress=False) as http:
            client = Client(server, http)
            if ready:
                await client.ready()
            yield client
    finally:
        await server.stop()


async def answers(url: str) -> None:
    """Wait until the ingest server is ready."""
    deadline = time.monotonic() + 40
    async with aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with http.get(f"{url}/ready") as answer:
                    if answer.status == 200:
                        return
            assert time.monotonic() < deadline, "the ingest server did not become ready"
            await asyncio.sleep(0.05)
