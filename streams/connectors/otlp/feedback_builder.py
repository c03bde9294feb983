"""Construction of feedback records from evaluation events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from streams.connectors.otlp.content import compact
from streams.connectors.otlp.evaluation_results import evaluation_label
from streams.connectors.otlp.event_builder import call_name
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.resource_scope import Source
from streams.connectors.otlp.timestamps import iso

_MAX_COMMENT_CHARS = 2_000


class LabelTarget(NamedTuple):
    """The labelled call."""

    trace_id: str
    span_id: str
    conversation: str


def add_label(
    target: LabelTarget, time_ns: int, attributes: Mapping[str, Any], source: Source, out: Normalised
) -> None:
    """Add the label of an evaluation; count the evaluation as unmapped if it has none."""
    name = compact(attributes.get("gen_ai.evaluation.name"))
    result = evaluation_label(attributes)
    time = iso(time_ns)
    if result is None or time is None or not (target.trace_id.strip("0") and target.span_id.strip("0")):
        out.unknown(f"gen_ai.evaluation.result {name}")
        return
    call = call_name(target.trace_id, target.span_id)
    event: dict[str, Any] = {
        "kind": "feedback",
        "feedback_id": f"{call}-{name}"[:256],
        "call_id": call,
        "time": time,
        "tenant": source.tenant,
        "app": source.app,
        "signal": result.signal,
        "label": result.label,
        "source": "judge",
    }
    if explanation := compact(attributes.get("gen_ai.evaluation.explanation")):
        event["comment"] = explanation[:_MAX_COMMENT_CHARS]
    conversation = compact(attributes.get("gen_ai.conversation.id")) or target.conversation
    if conversation:
        event["conversation_id"] = conversation
    out.feedback.append((source.key, orjson.dumps(event)))
