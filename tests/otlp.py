"""OTLP export requests for tests, written as plain dicts."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.connectors.otlp import Normalised, normalise_logs, normalise_spans

FIXTURES = Path(__file__).with_name("fixtures") / "otlp"
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
BEGIN = 1_767_225_600_000_000_000
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVICE = {"service.namespace": "clinic", "service.name": "triage"}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}


def value(given: Any) -> dict[str, Any]:
    """An AnyValue in JSON."""
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given if math.isfinite(given) else _NOT_FINITE[str(given)]}
    if isinstance(given, Mapping):
        return {"kvlistValue": {"values": pairs(given)}}
    if isinstance(given, list | tuple):
        return {"arrayValue": {"values": [value(item) for item in given]}}
    return {"stringValue": given}


def pairs(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(item)} for key, item in given.items()]


def span(attributes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A span of one second; ``events`` are (name, attributes)."""
    events = [
        {"name": name, "timeUnixNano": str(BEGIN + 10**8 * (k + 1)), "attributes": pairs(said)}
        for k, (name, said) in enumerate(more.pop("events", ()))
    ]
    given = {"traceId": TRACE, "spanId": SPAN, "name": "chat gpt-4o", "kind": 3, "attributes": pairs(attributes)}
    times = {"startTimeUnixNano": str(BEGIN), "endTimeUnixNano": str(BEGIN + 10**9)}
    return given | times | {"events": events} | more


def log(name: str, body: Any = None, attributes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    given = {"traceId": TRACE, "spanId": SPAN, "timeUnixNano": str(BEGIN), "eventName": name}
    said = {} if body is None else {"body": value(body)}
    return given | said | {"attributes": pairs(attributes or {})} | more


def traces(*spans: Any, resource: Mapping[str, Any] = SERVICE, scope: str = "test") -> dict[str, Any]:
    scoped = [{"scope": {"name": scope}, "spans": list(spans)}]
    return {"resourceSpans": [{"resource": {"attributes": pairs(resource)}, "scopeSpans": scoped}]}


def journal(*logs: Any, resource: Mapping[str, Any] = SERVICE) -> dict[str, Any]:
    scoped = [{"scope": {"name": "test"}, "logRecords": list(logs)}]
    return {"resourceLogs": [{"resource": {"attributes": pairs(resource)}, "scopeLogs": scoped}]}


def as_proto(request: Mapping[str, Any]) -> bytes:
    """The same request in protobuf; ids are hex there, base64 here."""
    if "resourceLogs" in request:
        return bytes(ParseDict(_bytes_ids(request), ExportLogsServiceRequest()).SerializeToString())
    return bytes(ParseDict(_bytes_ids(request), ExportTraceServiceRequest()).SerializeToString())


def _bytes_ids(given: Any) -> Any:
    if isinstance(given, list):
        return [_bytes_ids(item) for item in given]
    if not isinstance(given, Mapping):
        return given
    ids = {"traceId", "spanId", "parentSpanId"}
    encoded = {k: bytes.fromhex(v) for k, v in given.items() if k in ids}
    return {k: _b64(encoded[k]) if k in ids else _bytes_ids(v) for k, v in given.items()}


def _b64(raw: bytes) -> str:

    return base64.b64encode(raw).decode()


def told(*spans: Any, **more: Any) -> Normalised:
    """What spans become, the same from both encodings."""
    options = {name: more.pop(name) for name in ("tenant", "wait_for_logs") if name in more}
    request = traces(*spans, **more)
    found = normalise_spans(orjson.dumps(request), "json", **options)
    assert normalise_spans(as_proto(request), "proto", **options) == found
    return found


def noted(*logs: Any, **more: Any) -> Normalised:
    """What log records become, the same from both encodings."""
    request = journal(*logs, **more)
    found = normalise_logs(orjson.dumps(request), "json")
    assert normalise_logs(as_proto(request), "proto") == found
    return found


def calls(found: Normalised) -> list[dict[str, Any]]:
    return [orjson.loads(event) for _, event in found.events]


def call(*spans: Any, **more: Any) -> dict[str, Any]:
    """The one call that spans become."""
    found = told(*spans, **more)
    assert found.problems == []
    (only,) = calls(found)
    return only


def fixture(name: str, signal: str = "spans") -> Sequence[dict[str, Any]]:
    """The calls of a fixture, in the order in which they began."""
    read = normalise_spans if signal == "spans" else normalise_logs
    found = read((FIXTURES / f"{name}.{signal}.bin").read_bytes(), "proto")
    assert found.problems == []
    return sorted(calls(found), key=lambda event: str(event["time"]))
