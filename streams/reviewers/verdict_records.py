"""A verdict as it is published, and the label it makes."""

from __future__ import annotations

import hashlib

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.outputs import Verdict
from streams.reviewers.review_request import Question
from streams.reviewers.reviewer import Opinion, Reviewer


def verdict_of(reviewer: Reviewer, question: Question, opinion: Opinion) -> Verdict | None:
    """Return the verdict; None where the reviewer gave none. No clock and no chance: a repeat is the same record."""
    if opinion.label is None:
        return None
    event = question.event
    return Verdict.model_validate(
        {
            "verdict_id": _id(reviewer, event, question.signal),
            "reviewer": reviewer.name,
            "model": reviewer.model,
            "signal": question.signal,
            "label": opinion.label,
            "score": opinion.score,
            "why": question.why,
            "probability": question.probability,
            "event_id": event.event_id,
            "call_id": event.call_id,
            "time": event.time,
            "tenant": event.tenant,
            "app": event.app,
            "source_partition": question.partition,
            "source_offset": question.offset,
        }
    )


def label_of(verdict: Verdict, event: LLMEvent) -> Feedback:
    """Return the label for ``llm.feedback``; its ``user_id`` names the reviewer, so that its labels weigh apart."""
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
