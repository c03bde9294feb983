"""Normalization of feedback."""

from __future__ import annotations

from typing import get_args

from streamgauge.ids import new_id
from streamgauge.normalization.identity import MAX_ID, to_id, to_timestamp
from streamgauge.normalization.repair_flag import Json, RepairFlag
from streamgauge.normalization.text import to_optional_text, to_text
from streamgauge.settings import Settings
from streamgauge.vocabulary import Signal, Source

ALLOWED: dict[str, tuple[str | bool, ...]] = {
    "signal": get_args(Signal),
    "label": (True, False),
    "source": get_args(Source),
}


def normalize_feedback(feedback: Json, settings: Settings) -> bool:
    """Normalize feedback to ``Feedback`` in place. `find_fault` reports values that only the caller can correct.

    Returns
    -------
    bool
        Whether a field was repaired.
    """
    repaired = RepairFlag()
    feedback["feedback_id"] = to_id(feedback.get("feedback_id"), "", repaired) or new_id()
    feedback["call_id"] = to_id(feedback.get("call_id"), "", repaired)
    feedback["time"] = to_timestamp(feedback.get("time"), repaired)
    feedback["tenant"] = to_id(feedback.get("tenant"), settings.fallback_tenant, repaired)
    feedback["app"] = to_id(feedback.get("app"), settings.app, repaired)
    if not feedback["tenant"]:
        del feedback["tenant"]  # the ingest service takes the tenant from the API key
    conversation = to_optional_text(feedback.get("conversation_id"), repaired)
    feedback["conversation_id"] = conversation and conversation[:MAX_ID]
    feedback["user_id"] = to_optional_text(feedback.get("user_id"), repaired)
    feedback["source"] = feedback.get("source") or "annotator"
    feedback["comment"] = to_text(feedback.get("comment"), repaired)
    return repaired.is_set


def find_fault(feedback: Json) -> str | None:
    """Return the first error that only the caller can correct, or ``None``."""
    if not feedback["call_id"]:
        return "call_id: missing; use the call_id of the labelled event"
    for name, allowed in ALLOWED.items():
        if feedback.get(name) not in allowed:
            return f"{name}={feedback.get(name)!r}: use one of {', '.join(map(repr, allowed))}"
    feedback["label"] = bool(feedback["label"])
    return None
