"""Deduplication of calls that two instrumentations traced, for example an SDK and the framework that called it.

Anthropic's SDK traces itself since 2026, and frameworks trace the calls of SDKs. Without deduplication the tokens and
the cost of such calls would be counted twice. Two spans belong to one call if

- one is the child of the other;
- both have the same response id and come from different instrumentations (Traceloop's spans are never parents);
- one comes from the SDK and starts within another span of the same model (OpenInference's streamed calls have no id).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_EVENTS

Call: TypeAlias = "tuple[SpanView, Fields]"
_SDKS: Final = ("com.anthropic.sdk",)
_LOOK_BACK: Final = 32
"""Maximum candidates for an enclosing call."""


def deduplicate_calls(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Return each call of the request once, with the fields of all its spans."""
    return _drop_sdk_spans(_merge_same_response(_outermost(calls, out), out), out)


def _outermost(calls: Sequence[Call], out: Normalised) -> list[Call]:
    by_name = {(span.trace_id, span.span_id): (span, fields) for span, fields in calls}
    kept = []
    for span, fields in calls:
        outer = by_name.get((span.trace_id, span.parent_id))
        if outer is None or outer[0] is span or outer[0].parent_id == span.span_id:
            kept.append((span, fields))
        else:
            _merge(outer, (span, fields), out)
    return kept


def _merge_same_response(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Merge calls with the same response id; the call with more attributes is kept."""
    kept: list[Call] = []
    indices: dict[str, int] = {}
    for call in calls:
        name = call[1].tags.get("response_id", "")
        index = indices.setdefault(name, len(kept)) if name else len(kept)
        existing = kept[index] if index < len(kept) else None
        if existing is None or existing[0].scope == call[0].scope:
            kept.append(call)
        elif _detail(existing) >= _detail(call):
            _merge(existing, call, out)
        else:
            _merge(call, existing, out)
            kept[index] = call
    return kept


def _drop_sdk_spans(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Drop spans of the SDK's own tracing that duplicate a call of another instrumentation."""
    if not any(span.scope.startswith(_SDKS) for span, _ in calls):
        return list(calls)
    by_model: dict[str, list[Call]] = {}
    for call in calls:
        if not call[0].scope.startswith(_SDKS):
            by_model.setdefault(call[1].text("request_model"), []).append(call)
    for candidates in by_model.values():
        candidates.sort(key=lambda call: call[0].start_ns)
    kept = []
    for call in calls:
        outer = _enclosing_call(call, by_model) if call[0].scope.startswith(_SDKS) else None
        if outer is None:
            kept.append(call)
        else:
            _merge(outer, call, out)
    return kept


def _enclosing_call(call: Call, by_model: dict[str, list[Call]]) -> Call | None:
    """Return the latest call of the same model that encloses the start of ``call``, and remove it from ``by_model``."""
    candidates, start_ns = by_model.get(call[1].text("request_model"), []), call[0].start_ns
    last = bisect_right(candidates, start_ns, key=lambda call: call[0].start_ns)
    for index in range(last - 1, max(last - 1 - _LOOK_BACK, -1), -1):
        if candidates[index][0].end_ns >= start_ns:
            return candidates.pop(index)
    return None


def _detail(call: Call) -> int:
    return len(call[1].rest) + len(call[1].lists)


def _merge(kept: Call, dropped: Call, out: Normalised) -> None:
    """Add the fields that only the dropped span has to the kept span."""
    (span, fields), (dropped_span, dropped_fields) = kept, dropped
    for kind in ("plain", "parameters", "lists", "rest", "tags"):
        target = getattr(fields, kind)
        for name, value in getattr(dropped_fields, kind).items():
            target.setdefault(name, value)
    span.events = [*span.events, *dropped_span.events][:MAX_EVENTS]
    span.failed = span.failed or dropped_span.failed
    fields.guarded = fields.guarded or dropped_fields.guarded
    out.skipped += 1
