"""Construction of valid `schemas.event.LLMEvent` records from the fields and the content of a call."""

from __future__ import annotations

import math
from typing import Any, Final

from streams.connectors.otlp.any_value import integer
from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import Content, compact, decode_json
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.record_views import SpanEvent, SpanView
from streams.connectors.otlp.request_limits import MAX_EVENTS_BYTES, MAX_NAME_CHARS
from streams.connectors.otlp.resource_scope import Source
from streams.connectors.otlp.timestamps import iso, milliseconds, nanoseconds
from streams.connectors.otlp.token_usage import usage
from streams.connectors.otlp.truncation import serialise

_FIRST_TOKENS: Final = frozenset(
    {"First Token Stream Event", "llm.content.completion.chunk", "gen_ai.content.completion.chunk"}
)
_TEXTS: Final = frozenset(
    {"conversation_id", "user_id", "prompt_name", "prompt_version", "request_model", "response_model"}
    | {"system_fingerprint"}
)
_HIDDEN_PARAMETERS: Final = frozenset(
    {"model", "model_name", "_type", "messages", "tools", "input", "prompt", "functions", "extra_headers"}
)
_MAX_PARAMETER_CHARS: Final = 1_000
_MAX_PARAMETERS: Final = 64
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def call_name(trace_id: str, span_id: str) -> str:
    """Return the id of a call, the same for all signals of the call."""
    return f"{trace_id}-{span_id}"


def add_fields(event: dict[str, Any], fields: Fields, content: Content, span: SpanView | None) -> None:
    """Add the fields and the content of a span or log record to an event."""
    for name, value in fields.plain.items():
        if name in _TEXTS:
            event[name] = value if type(value) is str else str(value)
    provider = fields.text("provider").lower()
    if provider:
        event["provider"] = provider
    if parameters := _parameters(fields):
        event["parameters"] = parameters
    _add_content(event, content.messages, content.documents, _choices(fields, content))
    if (token_usage := usage(fields, span, provider)) is not None:
        event["usage"] = token_usage
    if fields.tags:
        event["tags"] = fields.tags
    if content.issues:
        event["input_issues"] = list(dict.fromkeys(content.issues))
    cost = fields.number("cost_usd")
    if cost is not None and 0.0 <= cost <= 1e6:
        event["cost_usd"] = cost


def _add_content(event: dict[str, Any], messages: list[Any], documents: list[Any], choices: list[Any]) -> None:
    if messages:
        event["messages"] = messages
    if documents:
        event["documents"] = documents
    if choices:
        event["choices"] = choices


def add_outcome(event: dict[str, Any], fields: Fields, span: SpanView) -> None:
    """Add latency, error and span ids, which only the span has."""
    if (latency := milliseconds(span.start_ns, span.end_ns)) is not None:
        event["latency_ms"] = latency
    if (ttft := _ttft(fields, span)) is not None:
        event["ttft_ms"] = ttft
    if (error := _error(fields, span)) is not None:
        event["error"] = error
    event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    if span.parent_id:
        event["parent_span_id"] = span.parent_id


def _ttft(fields: Fields, span: SpanView) -> float | None:
    seconds = fields.number("ttft_s")
    if seconds is not None and 0.0 <= seconds <= 86_400.0:
        return round(seconds * 1e3, 3)
    if "first_token_at" in fields.plain and (first_token_ns := nanoseconds(fields.text("first_token_at"))) is not None:
        return milliseconds(span.start_ns, first_token_ns)
    for event in span.events:
        if event.name in _FIRST_TOKENS:
            return milliseconds(span.start_ns, event.time_ns)
    return None


def _error(fields: Fields, span: SpanView) -> dict[str, Any] | None:
    if not (span.failed or "error_type" in fields.plain):
        return None
    kind = fields.text("error_type")
    raised = next((event for event in span.events if event.name == "exception"), SpanEvent("", 0, {})).attributes
    out: dict[str, Any] = {"type": kind or compact(raised.get("exception.type")) or "error"}
    message = span.status or fields.text("error_message") or compact(raised.get("exception.message"))
    if message:
        out["message"] = message
    status = integer(fields.plain.get("error_status"))
    if status is None and kind.isdecimal():
        status = integer(kind)
    if status is not None:
        out["status"] = status
    return out


def _parameters(fields: Fields) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name, raw_value in fields.parameters.items():
        value = raw_value if type(raw_value) is int else _parameter(raw_value)
        if value is not None and name not in _HIDDEN_PARAMETERS and len(parameters) < _MAX_PARAMETERS:
            parameters[name[:MAX_NAME_CHARS]] = value
    return parameters


def _parameter(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list) and len(value) <= 16 and all(isinstance(item, str) for item in value):
        return value
    return compact(value)[:_MAX_PARAMETER_CHARS]


def _choices(fields: Fields, content: Content) -> list[dict[str, Any]]:
    """Return the choices with their finish reasons; without recorded choices, one empty choice per finish reason."""
    if "finish_reasons" in fields.plain:
        reasons = decode_json(fields.plain["finish_reasons"])
        listed = reasons if isinstance(reasons, list) else [reasons]
        for choice, reason in zip(content.choices, listed, strict=False):
            if reason and "finish_reason" not in choice:
                choice["finish_reason"] = compact(reason)
        if not content.choices:
            return [{"finish_reason": compact(reason)} for reason in listed[:16] if reason]
    return content.choices


def emit_event(event: dict[str, Any], source: Source, where: str, out: Normalised) -> None:
    """Serialise an event under the key of its app, the same key as for the other signals of the call."""
    if out.size > MAX_EVENTS_BYTES:
        out.reject(where, f"the previous calls of the request already have {out.size:,} bytes; send smaller batches")
        return
    try:
        raw = serialise(event)
    except TypeError as error:
        out.reject(where, f"cannot be written as JSON: {str(error)[:200]}; remove the value")
        return
    out.size += len(raw)
    out.events.append((source.key, raw))


def new_event(trace_id: str, span_id: str, time_ns: int, source: Source) -> dict[str, Any]:
    """Return an event with only its ids, time and source.

    Raises
    ------
    ValueError
        If an id or the time is invalid; the message names the field.
    """
    if len(trace_id) != 32 or trace_id == _NO_TRACE:
        raise ValueError("trace_id: must be 16 bytes that are not all zero")
    if len(span_id) != 16 or span_id == _NO_SPAN:
        raise ValueError("span_id: must be 8 bytes that are not all zero")
    time = iso(time_ns)
    if time is None:
        raise ValueError("start_time_unix_nano: must lie between the years 1971 and 2199")
    name = call_name(trace_id, span_id)
    return {
        "event_id": name,
        "call_id": name,
        "time": time,
        "tenant": source.tenant,
        "app": source.app,
        "environment": source.environment,
    }
