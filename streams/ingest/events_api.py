"""``POST /v1/events`` and ``POST /v1/feedback``."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from schemas.setting_sections import IngestSettings
from streams.ingest.admission import Door, Received
from streams.ingest.json_split import split
from streams.ingest.reliable_producer import Outbox
from streams.ingest.validation import take
from streams.runtime.failpoints import crash_point
from streams.runtime.metrics import INGEST_RECORDS

_IN_A_THREAD_FROM = 1 << 20
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_TYPES = ("application/json", *_LINES)


class Native:
    """Takes events and labels as services publish them.

    Parameters
    ----------
    settings
        Of the gateway.
    door, outbox
        Shared with the other ways in.
    """

    def __init__(self, settings: IngestSettings, door: Door, outbox: Outbox) -> None:
        self._most = settings.body_events
        self._door = door
        self._outbox = outbox

    async def events(self, request: web.Request) -> web.Response:
        """Take events: 202 when Kafka has all that are good; 400 if none is."""
        return await self._take(request, "events")

    async def feedback(self, request: web.Request) -> web.Response:
        """Take labels."""
        return await self._take(request, "feedback")

    async def _take(self, request: web.Request, topic: str) -> web.Response:
        async with self._door.receive(request, *_TYPES) as received:
            told = await self._write(received, topic, request.path, lines=request.content_type in _LINES)
        crash_point("ingest.before_answer")
        return web.Response(
            body=orjson.dumps(told), status=202 if told["accepted"] else 400, content_type="application/json"
        )

    async def _write(self, received: Received, topic: str, path: str, *, lines: bool) -> dict[str, Any]:
        async with received.turn.lock:
            self._door.quotas.check(received.sender, len(received.body), 0)  # those before it may have used all
            items = await _split(received.body, self._most, lines=lines)
            self._door.quotas.charge(received.sender, len(items), len(received.body))
            taken = await take(items, received.sender, feedback=topic == "feedback", room=self._outbox.room(topic))
        INGEST_RECORDS.labels(path, "accepted").inc(len(taken.rows))
        INGEST_RECORDS.labels(path, "rejected").inc(len(taken.bad))
        if taken.rows:
            # Where none is good nothing is kept either: the sender is told, and still has it.
            letters = taken.letters(received.sender, path)
            await self._outbox.write([(topic, taken.rows), ("dead_letters", letters)], received.lease)
        return taken.told()


async def _split(body: bytes, most: int, *, lines: bool) -> list[bytes]:
    if len(body) < _IN_A_THREAD_FROM:
        return split(body, most, lines=lines)
    # 16 MB of quotes and brackets take a second: others must not wait for it.
    return await asyncio.to_thread(split, body, most, lines=lines)
