"""Chunks with the times that a pipeline gives them, for parts that are tested alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from agents.base import Chunk, Timing, event_time_ms
from agents.common.watermark import Watermarks, bounded_time
from schemas.event import LLMEvent

SKEW_MS = 300_000


class Timed:
    """Makes the chunks of one partition."""

    def __init__(self) -> None:
        self.watermarks = Watermarks()
        self.offset = 0

    def chunk(self, events: Sequence[LLMEvent], broker: Sequence[int] | None = None) -> Chunk:
        """Return the next events as a chunk; ``broker``: the broker's time of each record in milliseconds."""
        stamps = [
            bounded_time(event_time_ms(event), at, SKEW_MS)
            for event, at in zip(events, broker or [0] * len(events), strict=True)
        ]
        marks = [
            self.watermarks.advance((e.tenant, e.app), s.watermark_ms) for e, s in zip(events, stamps, strict=True)
        ]
        at, _, brokers = np.array(stamps, np.int64).T
        offsets = np.arange(self.offset, self.offset + len(events))
        self.offset += len(events)
        return Chunk(events, offsets, Timing(at, np.array(marks, np.int64), brokers))


def moved(event: LLMEvent, seconds: float) -> LLMEvent:
    """Return an event at another time."""
    return event.model_copy(update={"time": event.time + timedelta(seconds=seconds)})
