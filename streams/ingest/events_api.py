"""The events API: ``POST /v1/events`` and ``POST /v1/feedback``."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from schemas.setting_sections import IngestSettings
from streams.ingest.admission import Admission, AdmittedRequest
from streams.ingest.json_split import split_items
from streams.ingest.reliable_producer import ReliableProducer
from streams.ingest.validation import validate_items
from streams.runtime.failpoints import crash_point
from streams.runtime.metrics import INGEST_RECORDS

_THREAD_BYTES = 1 << 20
"""Minimum size of a body that is split in a thread."""
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_TYPES = ("application/json", *_LINES)


class EventsApi:
    """Handlers for events and labels in the contract's own format.

    Parameters
    ----------
    settings
        Settings of the ingest service.
    admission, producer
        Shared with the OTLP API.
    """

    def __init__(self, settings: IngestSettings, admission: Admission, producer: ReliableProducer) -> None:
        self._max_items = settings.body_events
        self._admission = admission
        self._producer = producer

    async def events(self, request: web.Request) -> web.Response:
        """Accept events: 202 when Kafka has acknowledged all valid events; 400 if no event is valid."""
        return await self._handle(request, "events")

    async def feedback(self, request: web.Request) -> web.Response:
        """Accept labels: 202 when Kafka has acknowledged all valid labels; 400 if no label is valid."""
        return await self._handle(request, "feedback")

    async def _handle(self, request: web.Request, topic: str) -> web.Response:
        async with self._admission.receive(request, *_TYPES) as admitted:
            response = await self._write(admitted, topic, request.path, lines=request.content_type in _LINES)
        crash_point("ingest.before_answer")
        return web.Response(
            body=orjson.dumps(response), status=202 if response["accepted"] else 400, content_type="application/json"
        )

    async def _write(self, admitted: AdmittedRequest, topic: str, path: str, *, lines: bool) -> dict[str, Any]:
        quotas, sender = self._admission.quotas, admitted.sender
        async with admitted.turn.lock:
            quotas.check(sender, len(admitted.body), 0)  # requests before this one may have used the quota
            items = await _split(admitted.body, self._max_items, lines=lines)
            quotas.charge(sender, len(items), len(admitted.body))
            max_bytes = self._producer.max_record_bytes(topic)
            report = await validate_items(items, sender, feedback=topic == "feedback", max_bytes=max_bytes)
        INGEST_RECORDS.labels(path, "accepted").inc(len(report.rows))
        INGEST_RECORDS.labels(path, "rejected").inc(len(report.invalid))
        if report.rows:
            # Without a valid item no dead letters are written: the sender gets the problems and still has the items.
            dead_letters = report.dead_letters(sender, path)
            await self._producer.write([(topic, report.rows), ("dead_letters", dead_letters)], admitted.reservation)
        return report.response()


async def _split(body: bytes, max_items: int, *, lines: bool) -> list[bytes]:
    if len(body) < _THREAD_BYTES:
        return split_items(body, max_items, lines=lines)
    # In a thread: 16 MB of quotes and brackets take a second, and other requests must not wait for it.
    return await asyncio.to_thread(split_items, body, max_items, lines=lines)
