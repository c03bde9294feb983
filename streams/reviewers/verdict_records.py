"""Verdict records and the feedback labels derived from them."""

from __future__ import annotations

import hashlib

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.outputs import Verdict
from streams.reviewers.review_request import ReviewRequest
from streams.reviewers.reviewer import Review, Reviewer


def verdict_of(reviewer: Reviewer, request: ReviewRequest, review: Review) -> Verdict | None:
    """Return the verdict record; None if the review has no verdict. Deterministic: a repeat gives the same record."""
    if review.label is None:
        return None
    event = request.event
    return Verdict.model_validate(
        {
            "verdict_id": _id(reviewer, event, request.signal),
            "reviewer": reviewer.name,
            "model": reviewer.model,
            "signal": request.signal,
            "label": review.label,
            "score": review.score,
            "reason": request.reason,
            "probability": request.probability,
            "event_id": event.event_id,
            "call_id": event.call_id,
            "time": event.time,
            "tenant": event.tenant,
            "app": event.app,
            "source_partition": request.partition,
            "source_offset": request.offset,
        }
    )


def feedback_of(verdict: Verdict, event: LLMEvent) -> Feedback:
    """Return the label for ``llm.feedback``; ``user_id`` names the reviewer: trust is learned per reviewer."""
    return Feedback.model_validate(
        {
            "feedback_id": verdict.verdict_id,
            "call_id": event.call_id,
            "time": event.time,
            "tenant": event.tenant,
            "app": event.app,
            "conversation_id": event.conversation_id,
            "signal": verdict.signal,
            "label": verdict.label,
            "source": "judge",
            "user_id": f"reviewer:{verdict.reviewer}:{verdict.model}"[:256],
        }
    )


def _id(reviewer: Reviewer, event: LLMEvent, signal: str) -> str:
    parts = (reviewer.name, reviewer.model, signal, event.tenant, event.event_id)
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
