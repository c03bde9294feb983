"""What learning tells the world: rows of live quality and requests for labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from agents.base import Chunk
from agents.learning.learner import Learner
from schemas.feedback import Feedback


@runtime_checkable
class Learns(Protocol):
    """An agent with a `Learner`."""

    learner: Learner


def quality_rows(learner: Learner, feedback: Feedback, partition: int, offset: int) -> Iterator[dict[str, Any]]:
    """Yield `schemas.learning.QualityRow` of everywhere and of a label's tenant and app."""
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
    """Yield `schemas.learning.LabelRequest` of the events of a chunk whose labels are worth having."""
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
