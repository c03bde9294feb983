"""Output rows of learning: live quality and label requests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from agents.base import Chunk
from agents.learning.learner import Learner
from schemas.feedback import Feedback


@runtime_checkable
class TrainableAgent(Protocol):
    """Agent that learns from labels with a `Learner`."""

    learner: Learner


def quality_rows(learner: Learner, feedback: Feedback, partition: int, offset: int) -> Iterator[dict[str, Any]]:
    """Yield one `schemas.learning.QualityRow` per estimator for all scopes and for the scope of a label."""
    hour = learner.hour.strftime("%Y-%m-%dT%H:%M:%SZ")
    version = learner.version_name
    for (tenant, app), quality in learner.quality_of(feedback):
        yield {
            "hour": hour,
            "signal": learner.signal,
            "tenant": tenant,
            "app": app,
            "source_partition": partition,
            "version": offset,
            "weights": version,
        } | quality.as_dict()


def request_rows(learner: Learner, chunk: Chunk, partition: int) -> Iterator[dict[str, Any]]:
    """Yield one `schemas.learning.LabelRequest` per event of a chunk that was selected for labelling."""
    for request in learner.take_requests():
        event = chunk.events[request.index]
        yield {
            "event_id": event.event_id,
            "call_id": event.call_id,
            "time": event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "tenant": event.tenant,
            "app": event.app,
            "conversation_id": event.conversation_id,
            "signal": learner.signal,
            "score": round(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, request.odds)))), 6),
            "flag": request.flag,
            "probability": request.probability,
            "reason": request.reason,
            "source_partition": partition,
            "source_offset": int(chunk.offsets[request.index]),
        }
