"""One call that two instrumentations saw: a client's span within that of the framework that called it, or beside it.

Anthropic's SDK traces itself since 2026, so does any framework's instrumentation around an SDK's; counted twice, the
tokens and the cost of every call would double. Two spans are of one call where

- one is the other's child;
- both tell the same response id and are of different instrumentations (Traceloop's spans are nobody's parents);
- one is the SDK's own and began within another of the same model (a streamed call of OpenInference tells no id).
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
"""Calls under way at one time that are looked through."""


def once(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Return each call of this request once, with what only its other span knew."""
    return _without_sdks_own(_beside(_outermost(calls, out), out), out)


def _outermost(calls: Sequence[Call], out: Normalised) -> list[Call]:
    by_name = {(span.trace_id, span.span_id): (span, found) for span, found in calls}
    kept = []
    for span, found in calls:
        around = by_name.get((span.trace_id, span.parent_id))
        if around is None or around[0] is span or around[0].parent_id == span.span_id:
            kept.append((span, found))
        else:
            _take(around, (span, found), out)
    return kept


def _beside(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Of two with the same response id keep the one that says more."""
    kept: list[Call] = []
    places: dict[str, int] = {}
    for call in calls:
        name = call[1].tags.get("response_id", "")
        place = places.setdefault(name, len(kept)) if name else len(kept)
        held = kept[place] if place < len(kept) else None
        if held is None or held[0].scope == call[0].scope:
            kept.append(call)
        elif _said(held) >= _said(call):
            _take(held, call, out)
        else:
            _take(call, held, out)
            kept[place] = call
    return kept


def _without_sdks_own(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Leave out what the SDK told of itself where an instrumentation told the same call."""
    if not any(span.scope.startswith(_SDKS) for span, _ in calls):
        return list(calls)
    told: dict[str, list[Call]] = {}
    for call in calls:
        if not call[0].scope.startswith(_SDKS):
            told.setdefault(call[1].text("request_model"), []).append(call)
    for around in told.values():
        around.sort(key=lambda call: call[0].start_ns)
    kept = []
    for call in calls:
        outer = _around(call, told) if call[0].scope.startswith(_SDKS) else None
        if outer is None:
            kept.append(call)
        else:
            _take(outer, call, out)
    return kept


def _around(call: Call, told: dict[str, list[Call]]) -> Call | None:
    """Return the last call of the model to begin before and last beyond; it is out of the choice then."""
    others, begun = told.get(call[1].text("request_model"), []), call[0].start_ns
    last = bisect_right(others, begun, key=lambda other: other[0].start_ns)
    for place in range(last - 1, max(last - 1 - _LOOK_BACK, -1), -1):
        if others[place][0].end_ns >= begun:
            return others.pop(place)
    return None


def _said(call: Call) -> int:
    return len(call[1].rest) + len(call[1].lists)


def _take(call: Call, other: Call, out: Normalised) -> None:
    """Give a call what only the other span of it knew."""
    (span, ours), (more, its) = call, other
    for kind in ("plain", "parameters", "lists", "rest", "tags"):
        mine = getattr(ours, kind)
        for name, value in getattr(its, kind).items():
            mine.setdefault(name, value)
    span.happenings = [*span.happenings, *more.happenings][:MAX_EVENTS]
    span.failed = span.failed or more.failed
    ours.guarded = ours.guarded or its.guarded
    out.skipped += 1
