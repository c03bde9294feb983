"""Conversion of OTLP trace and log export requests, in all GenAI dialects, to events and labels. No I/O, no clock.

Examples
--------
>>> from streams.connectors.otlp import normalise_spans
>>> found = normalise_spans(b'{"resourceSpans": []}', "json")
>>> found.events, found.problems
([], [])
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, TypeAlias

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp import otlp_json, otlp_proto
from streams.connectors.otlp.export_result import Normalised, Problem
from streams.connectors.otlp.log_requests import LogRequest
from streams.connectors.otlp.request_limits import MAX_BODY_BYTES
from streams.connectors.otlp.resource_scope import Sources
from streams.connectors.otlp.trace_requests import TraceRequest

Encoding: TypeAlias = Literal["proto", "json", "auto"]

__all__ = ["Encoding", "Normalised", "Problem", "normalise_logs", "normalise_spans"]


def normalise_spans(
    raw: bytes | None, encoding: Encoding, *, tenant: str | None = None, wait_for_logs: bool = False
) -> Normalised:
    """Return the calls and labels of an ``ExportTraceServiceRequest``.

    Parameters
    ----------
    raw
        Unpacked body.
    encoding
        ``proto`` (otlp_proto), ``json`` (otlp_json), or ``auto`` to detect the encoding by the first byte.
    tenant
        Authenticated tenant of the sender; overrides the tenant in the telemetry.
    wait_for_logs
        True if messages and responses may arrive as log records (`normalise_logs`): calls are then fragments, complete
        when their span and their response have arrived.

    Raises
    ------
    RecordError
        If the body as a whole cannot be read. An invalid span is a problem of the result instead.
    """
    out = Normalised()
    body, reader = _checked(raw, encoding)
    TraceRequest(Sources(tenant), out, wait_for_logs).read(reader.spans(body, out))
    return out


def normalise_logs(raw: bytes | None, encoding: Encoding, *, tenant: str | None = None) -> Normalised:
    """Return the fragments of calls and the labels of an ``ExportLogsServiceRequest``; see `normalise_spans`."""
    out = Normalised()
    body, reader = _checked(raw, encoding)
    LogRequest(Sources(tenant), out).read(reader.logs(body, out))
    return out


def _checked(raw: bytes | None, encoding: Encoding) -> tuple[bytes, ModuleType]:
    if raw is None:
        raise DecodeError("value: missing; send an OTLP export request", code="null")
    if len(raw) > MAX_BODY_BYTES:
        raise ContractError(
            f"body: {len(raw):,} bytes exceed the limit of {MAX_BODY_BYTES:,} bytes; send smaller batches",
            code="too_large",
        )
    # A protobuf export request never starts with a brace: the byte would be a field 15, which no signal has.
    is_json = raw[:1] == b"{" if encoding == "auto" else encoding == "json"
    return raw, otlp_json if is_json else otlp_proto
