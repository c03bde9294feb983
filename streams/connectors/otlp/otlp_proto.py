"""Export requests in protobuf: ``otlp_proto`` of the Collector's Kafka exporter, and OTLP/HTTP."""

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
from streams.connectors.otlp.record_views import Happening, Logs, LogView, Spans, SpanView
from streams.connectors.otlp.request_limits import MAX_ATTRIBUTES, MAX_EVENTS, MAX_FIELDS, MAX_SPAN_BYTES, MAX_SPANS
from streams.runtime.repair import INVALID_UNICODE

_ERROR: Final = int(Status.STATUS_CODE_ERROR)
_RESOURCE, _SCOPES, _SCOPE, _RECORDS, _NAME = 1, 2, 1, 2, 1


def spans(raw: bytes, out: Normalised) -> Spans:
    """Yield the spans of an ``ExportTraceServiceRequest``; those of foreign names as None."""
    for piece, scope, resource in _records(raw, out, "span"):
        # A look at the bytes costs a fiftieth of parsing them, and most spans of a service are no LLM calls.
        if not _ours(piece):
            yield None
        elif (parsed := _parsed(Span, piece, out)) is not None:
            yield _span_view(*parsed, scope, resource)


def logs(raw: bytes, out: Normalised) -> Logs:
    """Yield the records of an ``ExportLogsServiceRequest``; those of foreign names as None."""
    for piece, scope, resource in _records(raw, out, "log record"):
        if not _ours(piece):
            yield None
        elif (parsed := _parsed(LogRecord, piece, out)) is not None:
            yield _log_view(*parsed, scope, resource)


def _ours(piece: bytes) -> bool:
    """Tell whether GenAI's names may be in a record."""
    return (
        b"gen_ai" in piece
        or b"openinference" in piece
        or b"llm." in piece
        or b"langfuse." in piece
        or b"db.query.result" in piece
    )


def _records(raw: bytes, out: Normalised, what: str) -> Iterator[tuple[bytes, str, dict[str, Any]]]:
    """Yield each record's bytes with its scope's name and its resource's attributes."""
    count = groups = 0
    for begin, end in _of(raw, 0, len(raw), 1):
        resource = _resource(raw, begin, end, out)
        for scope_begin, scope_end in _of(raw, begin, end, _SCOPES):
            groups += 1
            if groups > MAX_FIELDS:
                raise ContractError(f"over {MAX_FIELDS} scopes; send smaller batches", code="too_many_values")
            scope = _scope_name(raw, scope_begin, scope_end)
            for i, j in _of(raw, scope_begin, scope_end, _RECORDS):
                count += 1
                if count > MAX_SPANS:
                    out.reject(f"{what} {count}", f"one request has over {MAX_SPANS}; send smaller batches")
                elif j - i > MAX_SPAN_BYTES:
                    out.reject(f"{what} {count}", f"{j - i} bytes; at most {MAX_SPAN_BYTES} are read; truncate texts")
                else:
                    yield raw[i:j], scope, resource


def _of(raw: bytes, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for number, i, j in submessages(raw, begin, end) if number == wanted)


def _resource(raw: bytes, begin: int, end: int, out: Normalised) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for i, j in _of(raw, begin, end, _RESOURCE):
        if j - i <= MAX_SPAN_BYTES and (parsed := _parsed(Resource, raw[i:j], out)) is not None:
            found |= pairs_from_proto(parsed[0].attributes)
    return found


def _scope_name(raw: bytes, begin: int, end: int) -> str:
    for i, j in _of(raw, begin, end, _SCOPE):
        for k, m in _of(raw, i, j, _NAME):
            return raw[k:m].decode("utf-8", "replace")
    return ""


def _parsed(kind: Any, piece: bytes, out: Normalised) -> tuple[Any, tuple[str, ...]] | None:
    """Return the message and what was repaired in it, or None where it is broken or beyond bounds, said in ``out``."""
    name = kind.DESCRIPTOR.name
    issues: tuple[str, ...] = ()
    try:
        try:
            message = kind.FromString(piece)
        except ParseError:
            message, issues = kind.FromString(with_valid_texts(kind.DESCRIPTOR, piece)), (INVALID_UNICODE,)
    except (ParseError, DecodeError, RecursionError) as error:
        out.reject(name, f"its bytes are no {name}: {str(error)[:200]}")
        return None
    if len(message.attributes) > MAX_ATTRIBUTES:
        out.reject(name, f"{len(message.attributes)} attributes; at most {MAX_ATTRIBUTES} are read")
        return None
    return message, issues


def _hex(raw: bytes, size: int) -> str:
    """Return an id in hex, or an empty string where it is none."""
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
        _happenings(events) if events else (),
        scope,
        resource,
        issues,
    )


def _happenings(events: Any) -> list[Happening]:
    """Return a span's events as long as they have no more attributes together than a span may have."""
    found, left = [], MAX_ATTRIBUTES
    for event in events[:MAX_EVENTS]:
        attributes = event.attributes
        left -= len(attributes)
        if left < 0:
            break
        found.append(Happening(event.name, event.time_unix_nano, pairs_from_proto(attributes)))
    return found


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
