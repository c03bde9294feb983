"""Parsing of export requests in protobuf: ``otlp_proto`` of the Collector's Kafka exporter, and OTLP/HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError as ParseError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp.any_value import from_proto, pairs_from_proto
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.protobuf_wire import submessages, with_valid_texts
from streams.connectors.otlp.record_views import Logs, LogView, SpanEvent, Spans, SpanView
from streams.connectors.otlp.request_limits import MAX_ATTRIBUTES, MAX_EVENTS, MAX_FIELDS, MAX_SPAN_BYTES, MAX_SPANS
from streams.runtime.repair import INVALID_UNICODE

_ERROR: Final = int(Status.STATUS_CODE_ERROR)
_RESOURCE, _SCOPES, _SCOPE, _RECORDS, _NAME = 1, 2, 1, 2, 1


def spans(raw: bytes, out: Normalised) -> Spans:
    """Yield the spans of an ``ExportTraceServiceRequest``; None for a span without GenAI names."""
    for piece, scope, resource in _records(raw, out, "span"):
        # A byte search takes a fiftieth of the parsing time, and most spans of a service are not LLM calls.
        if not _is_genai(piece):
            yield None
        elif (parsed := _parsed(Span, piece, out)) is not None:
            yield _span_view(*parsed, scope, resource)


def logs(raw: bytes, out: Normalised) -> Logs:
    """Yield the records of an ``ExportLogsServiceRequest``; None for a record without GenAI names."""
    for piece, scope, resource in _records(raw, out, "log record"):
        if not _is_genai(piece):
            yield None
        elif (parsed := _parsed(LogRecord, piece, out)) is not None:
            yield _log_view(*parsed, scope, resource)


def _is_genai(piece: bytes) -> bool:
    """Return True if a record may contain GenAI names."""
    return (
        b"gen_ai" in piece
        or b"openinference" in piece
        or b"llm." in piece
        or b"langfuse." in piece
        or b"db.query.result" in piece
    )


def _records(raw: bytes, out: Normalised, kind_name: str) -> Iterator[tuple[bytes, str, dict[str, Any]]]:
    """Yield the bytes of each record with the name of its scope and the attributes of its resource."""
    count = groups = 0
    for start, end in _submessages(raw, 0, len(raw), 1):
        resource = _resource(raw, start, end, out)
        for scope_start, scope_end in _submessages(raw, start, end, _SCOPES):
            groups += 1
            if groups > MAX_FIELDS:
                raise ContractError(f"more than {MAX_FIELDS:,} scopes; send smaller batches", code="too_many_values")
            scope = _scope_name(raw, scope_start, scope_end)
            for i, j in _submessages(raw, scope_start, scope_end, _RECORDS):
                count += 1
                if count > MAX_SPANS:
                    out.reject(f"{kind_name} {count}", f"more than {MAX_SPANS:,} in a request; send smaller batches")
                elif j - i > MAX_SPAN_BYTES:
                    problem = f"{j - i:,} bytes exceed the limit of {MAX_SPAN_BYTES:,} bytes; truncate texts"
                    out.reject(f"{kind_name} {count}", problem)
                else:
                    yield raw[i:j], scope, resource


def _submessages(raw: bytes, start: int, end: int, field: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for number, i, j in submessages(raw, start, end) if number == field)


def _resource(raw: bytes, start: int, end: int, out: Normalised) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for i, j in _submessages(raw, start, end, _RESOURCE):
        if j - i <= MAX_SPAN_BYTES and (parsed := _parsed(Resource, raw[i:j], out)) is not None:
            result |= pairs_from_proto(parsed[0].attributes)
    return result


def _scope_name(raw: bytes, start: int, end: int) -> str:
    for i, j in _submessages(raw, start, end, _SCOPE):
        for k, m in _submessages(raw, i, j, _NAME):
            return raw[k:m].decode("utf-8", "replace")
    return ""


def _parsed(kind: Any, piece: bytes, out: Normalised) -> tuple[Any, tuple[str, ...]] | None:
    """Return a parsed message and its repaired issues; None if it is malformed or too large, a problem in ``out``."""
    name = kind.DESCRIPTOR.name
    issues: tuple[str, ...] = ()
    try:
        try:
            message = kind.FromString(piece)
        except ParseError:
            message, issues = kind.FromString(with_valid_texts(kind.DESCRIPTOR, piece)), (INVALID_UNICODE,)
    except (ParseError, DecodeError, RecursionError) as error:
        out.reject(name, f"not a valid {name}: {str(error)[:200]}; send valid protobuf")
        return None
    if len(message.attributes) > MAX_ATTRIBUTES:
        out.reject(name, f"{len(message.attributes):,} attributes exceed the limit of {MAX_ATTRIBUTES:,}; send fewer")
        return None
    return message, issues


def _hex(raw: bytes, size: int) -> str:
    """Return an id in hexadecimal; an empty string if it is invalid."""
    return raw.hex() if len(raw) == size else ""


def _span_view(span: Any, issues: tuple[str, ...], scope: str, resource: dict[str, Any]) -> SpanView:
    status, events = span.status, span.events
    return SpanView(
        _hex(span.trace_id, 16),
        _hex(span.span_id, 8),
        _hex(span.parent_span_id, 8),
        span.name,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        status.code == _ERROR,
        status.message,
        pairs_from_proto(span.attributes),
        _span_events(events) if events else (),
        scope,
        resource,
        issues,
    )


def _span_events(events: Any) -> list[SpanEvent]:
    """Return the events of a span, up to `MAX_ATTRIBUTES` attributes in total."""
    result, left = [], MAX_ATTRIBUTES
    for event in events[:MAX_EVENTS]:
        attributes = event.attributes
        left -= len(attributes)
        if left < 0:
            break
        result.append(SpanEvent(event.name, event.time_unix_nano, pairs_from_proto(attributes)))
    return result


def _log_view(record: Any, issues: tuple[str, ...], scope: str, resource: dict[str, Any]) -> LogView:
    attributes = pairs_from_proto(record.attributes)
    return LogView(
        _hex(record.trace_id, 16),
        _hex(record.span_id, 8),
        record.time_unix_nano or record.observed_time_unix_nano,
        record.event_name or str(attributes.get("event.name", "")),
        from_proto(record.body),
        attributes,
        scope,
        resource,
        issues,
    )
