"""A label for an event."""

from __future__ import annotations

from typing import get_args

from streamgauge.conforming.identity import MAX_ID, id_of, time_of
from streamgauge.conforming.repairs import Json, Repairs
from streamgauge.conforming.text import optional_text, text_of
from streamgauge.ids import new_id
from streamgauge.settings import Settings
from streamgauge.vocabulary import Signal, Source

KNOWN: dict[str, tuple[str | bool, ...]] = {
    "signal": get_args(Signal),
    "label": (True, False),
    "source": get_args(Source),
}


def conform_feedback(label: Json, settings: Settings) -> bool:
    """Make a label fit ``Feedback``, in place, but for what only the caller knows: see `fault_of`.

    Returns
    -------
    bool
        Whether anything was repaired.
    """
    repairs = Repairs()
    label["feedback_id"] = id_of(label.get("feedback_id"), "", repairs) or new_id()
    label["call_id"] = id_of(label.get("call_id"), "", repairs)
    label["time"] = time_of(label.get("time"), repairs)
    label["tenant"] = id_of(label.get("tenant"), settings.fallback_tenant, repairs)
    label["app"] = id_of(label.get("app"), settings.app, repairs)
    if not label["tenant"]:
        del label["tenant"]  # the gateway knows whose the API key is
    conversation = optional_text(label.get("conversation_id"), repairs)
    label["conversation_id"] = conversation and conversation[:MAX_ID]
    label["user_id"] = optional_text(label.get("user_id"), repairs)
    label["source"] = label.get("source") or "annotator"
    label["comment"] = text_of(label.get("comment"), repairs)
    return repairs.made


def fault_of(label: Json) -> str | None:
    """Return what makes a label useless: what only the caller can know."""
    if not label["call_id"]:
        return "call_id: give that of the event it is about"
    for name, known in KNOWN.items():
        if label.get(name) not in known:
            return f"{name}={label.get(name)!r}: give one of {', '.join(map(repr, known))}"
    label["label"] = bool(label["label"])
    return None
