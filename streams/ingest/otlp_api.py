"""``POST /v1/traces`` and ``POST /v1/logs``: OTLP/HTTP, in protobuf and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import orjson
from aiohttp import web
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from schemas.errors import RecordError, RequestError
from schemas.setting_sections import IngestSettings
from streams.connectors import otlp_metrics
from streams.connectors.otlp import Normalised, normalise_logs, normalise_spans
from streams.ingest.admission import Door, Received
from streams.ingest.api_keys import Sender
from streams.ingest.reliable_producer import Outbox
from streams.runtime.failpoints import crash_point
from streams.runtime.metrics import INGEST_RECORDS

Signal: TypeAlias = Literal["spans", "logs"]
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Otlp:
    """Takes export requests and answers as OTLP/HTTP wants it.

    Parameters
    ----------
    settings
        Of the gateway.
    door, outbox
        Shared with the other ways in.
    """

    def __init__(self, settings: IngestSettings, door: Door, outbox: Outbox) -> None:
        self._door = door
        self._outbox = outbox
        self._normalise: dict[Signal, Callable[..., Normalised]] = {
            "spans": partial(normalise_spans, wait_for_logs=settings.otlp_wait_for_logs),
            "logs": normalise_logs,
        }

    async def traces(self, request: web.Request) -> web.Response:
        """Take spans: 200 when Kafka has the events that they are."""
        return await self._take(request, "spans")

    async def logs(self, request: web.Request) -> web.Response:
        """Take log records."""
        return await self._take(request, "logs")

    async def _take(self, request: web.Request, signal: Signal) -> web.Response:
        async with self._door.receive(request, PROTOBUF, JSON) as received:
            async with received.turn.lock:
                self._door.quotas.check(received.sender, len(received.body), 0)  # those before it may have used all
                found = await self._read(received, signal, request.content_type)
                _permit(found, received.sender)
                found.events = _fitting(found.events, found, self._outbox.room("events"))
                found.feedback = _fitting(found.feedback, found, self._outbox.room("feedback"))
                records = len(found.events) + len(found.feedback)
                self._door.quotas.charge(received.sender, records, len(received.body))
            parcels = [("events", found.events), ("feedback", found.feedback)]
            if found.events or found.feedback:
                await self._outbox.write(parcels, received.lease)
        otlp_metrics.count(signal, found)
        INGEST_RECORDS.labels(request.path, "accepted").inc(records)
        INGEST_RECORDS.labels(request.path, "rejected").inc(found.rejected)
        crash_point("ingest.before_answer")
        return answer(signal, found, request.content_type)

    async def _read(self, received: Received, signal: Signal, content_type: str) -> Normalised:
        encoding = "proto" if content_type == PROTOBUF else "json"
        normalise = partial(self._normalise[signal], received.body, encoding, tenant=received.sender.tenant)
        try:
            # In a thread: an exporter may send thousands of spans, and others would wait while they are read.
            return await asyncio.to_thread(normalise)
        except RecordError as error:
            raise RequestError(str(error), 400, "unreadable") from error


def _fitting(rows: list[tuple[bytes, bytes]], found: Normalised, room: int) -> list[tuple[bytes, bytes]]:
    """Drop what is larger than its topic takes, and say so."""
    fit = [(key, value) for key, value in rows if len(key) + len(value) <= room]
    if more := len(rows) - len(fit):
        found.reject("span", f"over {room} bytes as an event, which is what the topic takes; truncate texts", more)
    return fit


def _permit(found: Normalised, sender: Sender) -> None:
    """Drop what a key may not send, and say so; its tenant is that of the key already."""
    if sender.apps:
        found.events = _permitted(found.events, found, sender)
        found.feedback = _permitted(found.feedback, found, sender)


def _permitted(rows: list[tuple[bytes, bytes]], found: Normalised, sender: Sender) -> list[tuple[bytes, bytes]]:
    kept: list[tuple[bytes, bytes]] = []
    for row in rows:
        app = orjson.loads(row[1])["app"]
        if app in sender.apps:
            kept.append(row)
        else:
            allowed = ", ".join(sorted(sender.apps))
            found.reject("service.name", f"{app[:80]!r} is not an app of key {sender.name}; it may send {allowed}")
    return kept


def answer(signal: Signal, found: Normalised, content_type: str) -> web.Response:
    """Return the export response, in the request's encoding: a full success, or a partial one and why."""
    message: Any = ExportTraceServiceResponse() if signal == "spans" else ExportLogsServiceResponse()
    if found.rejected:
        counted = "rejected_spans" if signal == "spans" else "rejected_log_records"
        setattr(message.partial_success, counted, found.rejected)
        message.partial_success.error_message = "; ".join(f"{p.where}: {p.reason}" for p in found.problems[:10])
    if content_type == PROTOBUF:
        return web.Response(body=message.SerializeToString(), content_type=PROTOBUF)
    return web.Response(body=MessageToJson(message, indent=None).encode(), content_type=JSON)


def failure(message: str, content_type: str) -> tuple[bytes, str]:
    """Return body and type of a refusal: a ``google.rpc.Status`` that has a message, in the request's encoding."""
    if content_type != PROTOBUF:
        return orjson.dumps({"message": message}), JSON
    text = message.encode("utf-8", "replace")
    return b"\x12" + _varint(len(text)) + text, PROTOBUF


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
