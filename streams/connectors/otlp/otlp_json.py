"""Parsing of export requests in JSON: ``otlp_json`` of the Collector's Kafka exporter, and OTLP/HTTP.

Ids are hexadecimal, names camelCase, 64-bit integers text (the protobuf JSON mapping, except for the ids).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import orjson

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp.any_value import from_json, integer, pairs_from_json
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.record_views import Logs, LogView, SpanEvent, Spans, SpanView
from streams.connectors.otlp.request_limits import (
    MAX_ATTRIBUTES,
    MAX_EVENTS,
    MAX_FIELDS,
    MAX_JSON_CONTAINERS,
    MAX_SPANS,
)
from streams.runtime.repair import INVALID_UNICODE, repaired_unicode

_EVENT_MARKS: Final = ("gen_ai", "db.query.result")
_HEX: Final = re.compile("[0-9a-f]*").fullmatch
_ERRORS: Final = (2, "2", "STATUS_CODE_ERROR")


def loads(raw: bytes | str) -> Any:
    """Parse JSON with a limit on its size in memory.

    Raises
    ------
    DecodeError
        If the text is not JSON.
    ContractError
        If it has more than `MAX_JSON_CONTAINERS` objects and arrays.
    """
    # An object or array takes at least two bytes.
    if len(raw) > 2 * MAX_JSON_CONTAINERS and _containers(raw) > MAX_JSON_CONTAINERS:
        raise ContractError(
            f"more than {MAX_JSON_CONTAINERS:,} objects and arrays; send smaller batches", code="too_many_values"
        )
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"invalid JSON: {error.msg} at byte {error.pos}; send valid JSON") from error


def _containers(raw: bytes | str) -> int:
    encoded = np.frombuffer(raw.encode() if isinstance(raw, str) else raw, np.uint8)
    # "[" is "{" without one bit. Two calls of bytes.count would take 7 times as long, a quarter of the parsing time.
    return int(np.count_nonzero((encoded | 0x20) == ord("{")))


def spans(raw: bytes, out: Normalised) -> Spans:
    """Yield the spans of an ``ExportTraceServiceRequest``; None for a span without GenAI names."""
    for record, scope, resource in _records(raw, out, "resourceSpans", "scopeSpans", "spans"):
        yield _span_view(record, scope, resource, out) if _is_genai(record) else None


def logs(raw: bytes, out: Normalised) -> Logs:
    """Yield the records of an ``ExportLogsServiceRequest``; None for a record without GenAI names."""
    for record, scope, resource in _records(raw, out, "resourceLogs", "scopeLogs", "logRecords"):
        name = record.get("eventName")
        is_genai = _is_genai(record) or (isinstance(name, str) and name.startswith("gen_ai"))
        yield _log_view(record, scope, resource, out) if is_genai else None


def _records(raw: bytes, out: Normalised, *levels: str) -> Iterator[tuple[Mapping[str, Any], str, dict[str, Any]]]:
    body = _body(raw, out)
    if body == {}:
        return
    if not isinstance(body, dict) or levels[0] not in body:
        raise ContractError(f"{levels[0]}: missing; send an OTLP JSON export request of this signal", levels[0])
    count = 0
    for outer in _objects(body[levels[0]]):
        resource = pairs_from_json(_object(outer.get("resource")).get("attributes"))
        for middle in _objects(outer.get(levels[1])):
            scope = text(_object(middle.get("scope")).get("name"))
            for record in _consume(middle.get(levels[2])):
                count += 1
                if count > MAX_SPANS:
                    out.reject(f"{levels[2]} {count}", f"more than {MAX_SPANS:,} in a request; send smaller batches")
                else:
                    yield record, scope, resource


def _body(raw: bytes, out: Normalised) -> Any:
    try:
        return loads(raw)
    except DecodeError:
        if (repaired := repaired_unicode(raw)) is None:
            raise
    out.repaired = True
    return loads(repaired)


def _issues(out: Normalised, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the issues of a record in a repaired body."""
    return (INVALID_UNICODE,) if out.repaired and b"\xef\xbf\xbd" in orjson.dumps(record) else ()


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        return []
    if len(value) > MAX_FIELDS:
        raise ContractError(f"more than {MAX_FIELDS:,} items in a list; send smaller batches", code="too_many_values")
    return value


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in _listed(value) if type(item) is dict)


def _consume(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list and drop each from the list: freed at once, they are still in the CPU cache."""
    listed = _listed(value)
    for index, item in enumerate(listed):
        if type(item) is dict:
            listed[index] = None
            yield item


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """Return a string unchanged, and an empty string for other values."""
    return value if isinstance(value, str) else ""


def _is_genai(record: Mapping[str, Any]) -> bool:
    """Return True if a record has an attribute or an event with a GenAI name."""
    for pair in _listed(record.get("attributes")):
        key = pair.get("key") if type(pair) is dict else None
        if type(key) is str and ("gen_ai" in key or "llm." in key or "openinference" in key or "langfuse." in key):
            return True
    return any(text(event.get("name")).startswith(_EVENT_MARKS) for event in _objects(record.get("events")))


def _attributes(value: Any, of: SpanView | None, out: Normalised) -> dict[str, Any]:
    if isinstance(value, list) and len(value) > MAX_ATTRIBUTES:
        where = "log record" if of is None else of.where
        out.reject(where, f"{len(value):,} attributes exceed the limit of {MAX_ATTRIBUTES:,}; send fewer")
        return {}
    return pairs_from_json(value)


def _hex(value: Any, digits: int) -> str:
    """Return a hexadecimal id in lower case; an empty string if it is invalid."""
    if type(value) is not str or len(value) != digits:
        return ""
    if _HEX(value):
        return value
    result = value.lower()
    return result if _HEX(result) else ""


def _span_view(span: Mapping[str, Any], scope: str, resource: dict[str, Any], out: Normalised) -> SpanView:
    status = _object(span["status"]) if "status" in span else {}
    view = SpanView(
        _hex(span.get("traceId"), 32),
        _hex(span.get("spanId"), 16),
        _hex(span.get("parentSpanId"), 16),
        text(span.get("name")),
        integer(span.get("startTimeUnixNano")) or 0,
        integer(span.get("endTimeUnixNano")) or 0,
        status.get("code") in _ERRORS,
        text(status.get("message")),
        {},
        (),
        scope,
        resource,
    )
    view.attributes = _attributes(span.get("attributes"), view, out)
    view.issues = _issues(out, span)
    if events := span.get("events"):
        view.events = _span_events(events)
    return view


def _span_events(events: Any) -> list[SpanEvent]:
    """Return the events of a span, up to `MAX_ATTRIBUTES` attributes in total."""
    result, left = [], MAX_ATTRIBUTES
    for event in events[:MAX_EVENTS] if type(events) is list else ():
        if type(event) is not dict:
            continue
        attributes = event.get("attributes")
        left -= len(attributes) if isinstance(attributes, list) else 0
        if left < 0:
            break
        time_ns = integer(event.get("timeUnixNano")) or 0
        result.append(SpanEvent(text(event.get("name")), time_ns, pairs_from_json(attributes)))
    return result


def _log_view(record: Mapping[str, Any], scope: str, resource: dict[str, Any], out: Normalised) -> LogView:
    attributes = _attributes(record.get("attributes"), None, out)
    return LogView(
        _hex(record.get("traceId"), 32),
        _hex(record.get("spanId"), 16),
        integer(record.get("timeUnixNano")) or integer(record.get("observedTimeUnixNano")) or 0,
        text(record.get("eventName")) or text(attributes.get("event.name")),
        from_json(record.get("body")),
        attributes,
        scope,
        resource,
        _issues(out, record),
    )
