"""The OTLP/HTTP API: ``POST /v1/traces`` and ``POST /v1/logs``, in protobuf and JSON."""

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
from streams.ingest.admission import Admission, AdmittedRequest
from streams.ingest.api_keys import ApiKeyIdentity
from streams.ingest.reliable_producer import ReliableProducer
from streams.runtime.failpoints import crash_point
from streams.runtime.metrics import INGEST_RECORDS

Signal: TypeAlias = Literal["spans", "logs"]
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class OtlpApi:
    """Handlers for OTLP export requests.

    Parameters
    ----------
    settings
        Settings of the ingest service.
    admission, producer
        Shared with the events API.
    """

    def __init__(self, settings: IngestSettings, admission: Admission, producer: ReliableProducer) -> None:
        self._admission = admission
        self._producer = producer
        self._normalise: dict[Signal, Callable[..., Normalised]] = {
            "spans": partial(normalise_spans, wait_for_logs=settings.otlp_wait_for_logs),
            "logs": normalise_logs,
        }

    async def traces(self, request: web.Request) -> web.Response:
        """Accept spans: 200 when Kafka has acknowledged their events."""
        return await self._handle(request, "spans")

    async def logs(self, request: web.Request) -> web.Response:
        """Accept log records: 200 when Kafka has acknowledged their events."""
        return await self._handle(request, "logs")

    async def _handle(self, request: web.Request, signal: Signal) -> web.Response:
        async with self._admission.receive(request, PROTOBUF, JSON) as admitted:
            quotas, sender = self._admission.quotas, admitted.sender
            async with admitted.turn.lock:
                quotas.check(sender, len(admitted.body), 0)  # requests before this one may have used the quota
                result = await self._read(admitted, signal, request.content_type)
                _drop_forbidden_apps(result, sender)
                result.events = _drop_too_large(result.events, result, self._producer.max_record_bytes("events"))
                result.feedback = _drop_too_large(result.feedback, result, self._producer.max_record_bytes("feedback"))
                records = len(result.events) + len(result.feedback)
                quotas.charge(sender, records, len(admitted.body))
            if result.events or result.feedback:
                rows = [("events", result.events), ("feedback", result.feedback)]
                await self._producer.write(rows, admitted.reservation)
        otlp_metrics.count(signal, result)
        INGEST_RECORDS.labels(request.path, "accepted").inc(records)
        INGEST_RECORDS.labels(request.path, "rejected").inc(result.rejected)
        crash_point("ingest.before_answer")
        return export_response(signal, result, request.content_type)

    async def _read(self, admitted: AdmittedRequest, signal: Signal, content_type: str) -> Normalised:
        encoding = "proto" if content_type == PROTOBUF else "json"
        normalise = partial(self._normalise[signal], admitted.body, encoding, tenant=admitted.sender.tenant)
        try:
            # In a thread: an exporter may send thousands of spans, and other requests must not wait meanwhile.
            return await asyncio.to_thread(normalise)
        except RecordError as error:
            raise RequestError(str(error), 400, "unreadable") from error


def _drop_too_large(rows: list[tuple[bytes, bytes]], result: Normalised, max_bytes: int) -> list[tuple[bytes, bytes]]:
    """Return the rows within the limit of the topic; report the dropped rows in the result."""
    fitting = [(key, value) for key, value in rows if len(key) + len(value) <= max_bytes]
    if dropped := len(rows) - len(fitting):
        result.reject("span", f"event larger than the topic's limit of {max_bytes:,} bytes; truncate texts", dropped)
    return fitting


def _drop_forbidden_apps(result: Normalised, sender: ApiKeyIdentity) -> None:
    """Drop rows of apps that the key does not allow, and report them; the tenant already is that of the key."""
    if sender.apps:
        result.events = _allowed_rows(result.events, result, sender)
        result.feedback = _allowed_rows(result.feedback, result, sender)


def _allowed_rows(
    rows: list[tuple[bytes, bytes]], result: Normalised, sender: ApiKeyIdentity
) -> list[tuple[bytes, bytes]]:
    allowed: list[tuple[bytes, bytes]] = []
    for row in rows:
        app = orjson.loads(row[1])["app"]
        if app in sender.apps:
            allowed.append(row)
        else:
            apps = ", ".join(sorted(sender.apps))
            result.reject(
                "service.name", f"{app[:80]!r} is not an app of key {sender.name}; set an app of the key: {apps}"
            )
    return allowed


def export_response(signal: Signal, result: Normalised, content_type: str) -> web.Response:
    """Return the OTLP export response in the request's encoding: full success, or partial success with the problems."""
    message: Any = ExportTraceServiceResponse() if signal == "spans" else ExportLogsServiceResponse()
    if result.rejected:
        count_field = "rejected_spans" if signal == "spans" else "rejected_log_records"
        setattr(message.partial_success, count_field, result.rejected)
        message.partial_success.error_message = "; ".join(f"{p.where}: {p.reason}" for p in result.problems[:10])
    if content_type == PROTOBUF:
        return web.Response(body=message.SerializeToString(), content_type=PROTOBUF)
    return web.Response(body=MessageToJson(message, indent=None).encode(), content_type=JSON)


def error_status(message: str, content_type: str) -> tuple[bytes, str]:
    """Return body and content type of an error: a ``google.rpc.Status`` with a message, in the request's encoding."""
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
