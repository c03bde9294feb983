"""One call that two instrumentations saw: a client's span within that of the framework that called it, or beside it.

Anthropic's SDK traces itself since 2026, so does any framework's instrumentation around an SDK's; counted twice, the
tokens and the cost of every call would double. Two spans are of one call where one is the other's child, or where both
tell the same response id and are of different instrumentations (Traceloop's do not make their span the current one). A
failed call has no response id: seen twice side by side, it is counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from streams.otlp.fields import Fields
from streams.otlp.limits import MAX_EVENTS
from streams.otlp.result import Normalised
from streams.otlp.views import SpanView

Call: TypeAlias = "tuple[SpanView, Fields]"


def once(calls: Sequence[Call], out: Normalised) -> list[Call]:
    """Return each call of this request once, with what only its other span knew."""
    return _beside(_outermost(calls, out), out)


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
        name = call[1].labels.get("response_id", "")
        place = places.setdefault(name, len(kept)) if name else len(kept)
        held = kept[place] if place < len(kept) else None
        if held is None or held[0].scope == call[0].scope:
            kept.append(call)
        elif len(held[1].rest) >= len(call[1].rest):
            _take(held, call, out)
        else:
            _take(call, held, out)
            kept[place] = call
    return kept


def _take(call: Call, other: Call, out: Normalised) -> None:
    """Give a call what only the other span of it knew."""
    (span, ours), (more, its) = call, other
    for mine, theirs in ((ours.plain, its.plain), (ours.parameters, its.parameters), (ours.rest, its.rest)):
        for name, value in theirs.items():
            mine.setdefault(name, value)
    for name, text in its.labels.items():
        ours.labels.setdefault(name, text)
    span.happenings = [*span.happenings, *more.happenings][:MAX_EVENTS]
    span.failed = span.failed or more.failed
    out.skipped += 1
