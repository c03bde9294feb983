"""From a call's fields and content to an event of `schemas.event.LLMEvent`, valid by the way it is made."""

from __future__ import annotations

import math
from typing import Any, Final

from streams.connectors.otlp.any_value import integer
from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import Content, compact, decoded
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.record_views import Happening, SpanView
from streams.connectors.otlp.request_limits import MAX_EVENTS_BYTES, MAX_NAME_CHARS
from streams.connectors.otlp.resource_scope import Source
from streams.connectors.otlp.timestamps import iso, milliseconds, nanoseconds
from streams.connectors.otlp.token_usage import usage
from streams.connectors.otlp.truncation import fitted

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
    """Return the name of a call, known from any of its signals."""
    return f"{trace_id}-{span_id}"


def fill(event: dict[str, Any], found: Fields, content: Content, span: SpanView | None) -> None:
    """Add what a span or log record tells to an event that has its identity."""
    for name, value in found.plain.items():
        if name in _TEXTS:
            event[name] = value if type(value) is str else str(value)
    provider = found.text("provider").lower()
    if provider:
        event["provider"] = provider
    if parameters := _parameters(found):
        event["parameters"] = parameters
    _say(event, content.messages, content.documents, _choices(found, content))
    if (counted := usage(found, span, provider)) is not None:
        event["usage"] = counted
    if found.tags:
        event["tags"] = found.tags
    if content.issues:
        event["input_issues"] = list(dict.fromkeys(content.issues))
    cost = found.number("cost_usd")
    if cost is not None and 0.0 <= cost <= 1e6:
        event["cost_usd"] = cost


def _say(event: dict[str, Any], messages: list[Any], documents: list[Any], choices: list[Any]) -> None:
    if messages:
        event["messages"] = messages
    if documents:
        event["documents"] = documents
    if choices:
        event["choices"] = choices


def time_and_fate(event: dict[str, Any], found: Fields, span: SpanView) -> None:
    """Add what only the span knows: how long the call took, and whether it failed."""
    if (latency := milliseconds(span.start_ns, span.end_ns)) is not None:
        event["latency_ms"] = latency
    if (ttft := _ttft(found, span)) is not None:
        event["ttft_ms"] = ttft
    if (error := _error(found, span)) is not None:
        event["error"] = error
    event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    if span.parent_id:
        event["parent_span_id"] = span.parent_id


def _ttft(found: Fields, span: SpanView) -> float | None:
    seconds = found.number("ttft_s")
    if seconds is not None and 0.0 <= seconds <= 86_400.0:
        return round(seconds * 1e3, 3)
    if "first_token_at" in found.plain and (begun := nanoseconds(found.text("first_token_at"))) is not None:
        return milliseconds(span.start_ns, begun)
    for event in span.happenings:
        if event.name in _FIRST_TOKENS:
            return milliseconds(span.start_ns, event.time_ns)
    return None


def _error(found: Fields, span: SpanView) -> dict[str, Any] | None:
    if not (span.failed or "error_type" in found.plain):
        return None
    kind = found.text("error_type")
    raised = next((event for event in span.happenings if event.name == "exception"), Happening("", 0, {})).attributes
    out: dict[str, Any] = {"type": kind or compact(raised.get("exception.type")) or "error"}
    said = span.status or found.text("error_message") or compact(raised.get("exception.message"))
    if said:
        out["message"] = said
    status = integer(found.plain.get("error_status"))
    if status is None and kind.isdecimal():
        status = integer(kind)
    if status is not None:
        out["status"] = status
    return out


def _parameters(found: Fields) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, given in found.parameters.items():
        value = given if type(given) is int else _parameter(given)
        if value is not None and name not in _HIDDEN_PARAMETERS and len(told) < _MAX_PARAMETERS:
            told[name[:MAX_NAME_CHARS]] = value
    return told


def _parameter(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list) and len(value) <= 16 and all(isinstance(item, str) for item in value):
        return value
    return compact(value)[:_MAX_PARAMETER_CHARS]


def _choices(found: Fields, content: Content) -> list[dict[str, Any]]:
    """Return the answers, each with why it ended; an answer whose text was not recorded still ended."""
    if "finish_reasons" in found.plain:
        reasons = decoded(found.plain["finish_reasons"])
        listed = reasons if isinstance(reasons, list) else [reasons]
        for said, reason in zip(content.choices, listed, strict=False):
            if reason and "finish_reason" not in said:
                said["finish_reason"] = compact(reason)
        if not content.choices:
            return [{"finish_reason": compact(reason)} for reason in listed[:16] if reason]
    return content.choices


def emit(event: dict[str, Any], source: Source, where: str, out: Normalised) -> None:
    """Serialise an event under the key of its app, where the other signals of the call will come too."""
    if out.size > MAX_EVENTS_BYTES:
        out.reject(where, f"the calls before it are {out.size} bytes as events already; send fewer at once")
        return
    try:
        raw = fitted(event)
    except TypeError as error:
        out.reject(where, f"it cannot be written as JSON: {str(error)[:200]}")
        return
    out.size += len(raw)
    out.events.append((source.key, raw))


def begin(trace_id: str, span_id: str, time_ns: int, source: Source) -> dict[str, Any]:
    """Return an event that has nothing but its identity.

    Raises
    ------
    ValueError
        Naming the field, where the ids or the time are none.
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
