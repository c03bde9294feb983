"""A label for an event."""

from __future__ import annotations

from streamgauge.conforming.identity import MAX_ID, id_of, new_id, time_of
from streamgauge.conforming.repairs import Json, Repairs
from streamgauge.conforming.text import optional_text, text_of
from streamgauge.settings import Settings


def conform_feedback(label: Json, settings: Settings) -> bool:
    """Make a label fit ``Feedback``, in place; return whether it was repaired. Signal, label and source are the caller's."""
    repairs = Repairs()
    label["feedback_id"] = id_of(label.get("feedback_id"), "", repairs) or new_id()
    label["call_id"] = id_of(label.get("call_id"), "", repairs)
    label["time"] = time_of(label.get("time"), repairs)
    label["tenant"] = id_of(label.get("tenant"), settings.tenant, repairs)
    label["app"] = id_of(label.get("app"), settings.app, repairs)
    conversation = optional_text(label.get("conversation_id"), repairs)
    label["conversation_id"] = conversation and conversation[:MAX_ID]
    label["user_id"] = optional_text(label.get("user_id"), repairs)
    label["comment"] = text_of(label.get("comment"), repairs)
    return repairs.made
