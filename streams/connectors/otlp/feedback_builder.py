"""Labels for calls, from evaluation events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from streams.connectors.otlp.content import compact
from streams.connectors.otlp.evaluation_results import judged
from streams.connectors.otlp.event_builder import call_name
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.resource_scope import Source
from streams.connectors.otlp.timestamps import iso

_MAX_COMMENT_CHARS = 2_000


class About(NamedTuple):
    """The call that a label is for."""

    trace_id: str
    span_id: str
    conversation: str


def label(about: About, time_ns: int, attributes: Mapping[str, Any], source: Source, out: Normalised) -> None:
    """Add the label that an evaluation of a call gives; count the evaluation where it gives none."""
    name = compact(attributes.get("gen_ai.evaluation.name"))
    said = judged(attributes)
    time = iso(time_ns)
    if said is None or time is None or not (about.trace_id.strip("0") and about.span_id.strip("0")):
        out.unknown(f"gen_ai.evaluation.result {name}")
        return
    call = call_name(about.trace_id, about.span_id)
    event: dict[str, Any] = {
        "kind": "feedback",
        "feedback_id": f"{call}-{name}"[:256],
        "call_id": call,
        "time": time,
        "tenant": source.tenant,
        "app": source.app,
        "signal": said.signal,
        "label": said.label,
        "source": "judge",
    }
    if explained := compact(attributes.get("gen_ai.evaluation.explanation")):
        event["comment"] = explained[:_MAX_COMMENT_CHARS]
    conversation = compact(attributes.get("gen_ai.conversation.id")) or about.conversation
    if conversation:
        event["conversation_id"] = conversation
    out.feedback.append((source.key, orjson.dumps(event)))
