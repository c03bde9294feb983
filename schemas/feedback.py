"""The feedback contract: a label for an event, from thumbs, an annotator, an LLM judge or a user."""

from __future__ import annotations

from typing import Literal

from schemas.event import Contract, Id, Name, Time

UNVERIFIED = frozenset({"thumbs", "user"})
"""Sources of labels that any user of an app can send, under any name."""


class Feedback(Contract):
    """A label that arrives after its event.

    Examples
    --------
    >>> Feedback(feedback_id="f1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="triage",
    ...          signal="injection", label=True, source="annotator").label
    True
    """

    kind: Literal["feedback"] = "feedback"
    feedback_id: Id
    call_id: Id
    time: Time
    tenant: Id
    app: Id
    conversation_id: Name | None = None
    signal: Literal["injection", "hallucination"]
    label: bool
    source: Literal["thumbs", "annotator", "judge", "user"] = "annotator"
    user_id: Name | None = None
    comment: str = ""
