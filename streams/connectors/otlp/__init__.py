"""OpenTelemetry in: OTLP trace and log export requests, in any GenAI dialect, as events and labels. No I/O, no clock.

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
from streams.connectors.otlp.log_requests import Journal
from streams.connectors.otlp.request_limits import MAX_BODY_BYTES
from streams.connectors.otlp.resource_scope import Sources
from streams.connectors.otlp.trace_requests import Trace

Encoding: TypeAlias = Literal["proto", "json", "auto"]

__all__ = ["Encoding", "Normalised", "Problem", "normalise_logs", "normalise_spans"]


def normalise_spans(
    raw: bytes | None, encoding: Encoding, *, tenant: str | None = None, wait_for_logs: bool = False
) -> Normalised:
    """Return the calls and labels of an ``ExportTraceServiceRequest``.

    Parameters
    ----------
    raw
        The body, unpacked.
    encoding
        ``proto`` (otlp_proto), ``json`` (otlp_json), or ``auto`` to tell by the first byte.
    tenant
        The sender's, where it is known otherwise; it goes before what the telemetry says.
    wait_for_logs
        Whether messages and answers may come as log records (`normalise_logs`): calls are then fragments, whole as soon
        as their span and their answer are there.

    Raises
    ------
    RecordError
        Where the body as a whole cannot be read. A bad span among good ones is a problem of the result instead.
    """
    out = Normalised()
    body, reader = _checked(raw, encoding)
    Trace(Sources(tenant), out, wait_for_logs).read(reader.spans(body, out))
    return out


def normalise_logs(raw: bytes | None, encoding: Encoding, *, tenant: str | None = None) -> Normalised:
    """Return the fragments of calls and the labels of an ``ExportLogsServiceRequest``; see `normalise_spans`."""
    out = Normalised()
    body, reader = _checked(raw, encoding)
    Journal(Sources(tenant), out).read(reader.logs(body, out))
    return out


def _checked(raw: bytes | None, encoding: Encoding) -> tuple[bytes, ModuleType]:
    if raw is None:
        raise DecodeError("value: null; send an OTLP export request", code="null")
    if len(raw) > MAX_BODY_BYTES:
        raise ContractError(
            f"body: {len(raw)} bytes; at most {MAX_BODY_BYTES} are read; send smaller batches", code="too_large"
        )
    # An export request in protobuf never begins with a brace: it would be a field 15 that no signal has.
    is_json = raw[:1] == b"{" if encoding == "auto" else encoding == "json"
    return raw, otlp_json if is_json else otlp_proto
