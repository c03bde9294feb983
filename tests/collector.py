"""Export requests as a Collector writes them, in both encodings; each span a chat call of one app."""

from __future__ import annotations

import base64
import copy
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_BEGIN_NS = 1_767_225_600_000_000_000
_IDS = ("traceId", "spanId", "parentSpanId")


def call_id(number: int) -> str:
    """Return the id under which the call of a span is known."""
    return f"{number + 1:032x}-{number + 1:016x}"


def spans(*numbers: int, app: str = "chat", tenant: str | None = "acme") -> dict[str, Any]:
    """Return one export request with a chat call for each number, in OTLP's JSON."""
    resource = [_attribute("service.name", app)]
    if tenant is not None:
        resource.append(_attribute("service.namespace", tenant))
    scope = {"scope": {"name": "opentelemetry.instrumentation.openai_v2"}, "spans": [_span(n) for n in numbers]}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}


def evaluation(number: int, label: str) -> dict[str, Any]:
    """Return a log export request with one evaluation of a call: a label for us."""
    attributes = [
        _attribute("gen_ai.evaluation.name", "hallucination"),
        _attribute("gen_ai.evaluation.score.label", label),
    ]
    record = {
        "timeUnixNano": str(_BEGIN_NS),
        "eventName": "gen_ai.evaluation.result",
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "attributes": attributes,
    }
    resource = [_attribute("service.name", "chat"), _attribute("service.namespace", "acme")]
    return {"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [{"logRecords": [record]}]}]}


def as_json(request: dict[str, Any]) -> bytes:
    """Return the bytes of ``otlp_json``."""
    return orjson.dumps(request)


def as_proto(request: dict[str, Any]) -> bytes:
    """Return the bytes of ``otlp_proto``."""
    kind = ExportTraceServiceRequest if "resourceSpans" in request else ExportLogsServiceRequest
    message: Any = ParseDict(_with_base64_ids(copy.deepcopy(request)), kind())
    return bytes(message.SerializeToString())


def _span(number: int) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"type": "text", "content": f"Is dose number {number} safe?"}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Yes."}], "finish_reason": "stop"}]
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": str(_BEGIN_NS + number * 1_000_000),
        "endTimeUnixNano": str(_BEGIN_NS + number * 1_000_000 + 812_000_000),
        "attributes": [
            _attribute("gen_ai.operation.name", "chat"),
            _attribute("gen_ai.provider.name", "openai"),
            _attribute("gen_ai.request.model", "gpt-4o"),
            _attribute("gen_ai.input.messages", orjson.dumps(said).decode()),
            _attribute("gen_ai.output.messages", orjson.dumps(answer).decode()),
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "40"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "2"}},
        ],
    }


def _attribute(name: str, value: str) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value}}


def _with_base64_ids(value: Any) -> Any:
    """Turn hex ids, which OTLP's JSON has, into the base64 that protobuf's own JSON mapping wants."""
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(item)).decode() if name in _IDS else _with_base64_ids(item)
        for name, item in value.items()
    }
