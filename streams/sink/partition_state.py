"""State of one partition in the sink between polls, and the insert tasks planned from it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.sink.inserter import Insertion
from streams.sink.range_planner import CommitMarker, Step, next_step, range_size

BATCH_BYTES = 32 << 20
INITIAL_BACKOFF_S = 0.2


@dataclass(slots=True)
class PartitionState:
    """Records that are read and not settled, the committed marker, and the time of the next retry."""

    marker: CommitMarker | None = None
    records: list[Any] = field(default_factory=list)
    size: int = 0
    oldest_at: float = 0.0
    failures: int = 0
    retry_at: float = 0.0
    task: InsertTask | None = None
    """Unfinished task that spans several flush cycles: far-dated rows are inserted a few months at a time."""

    def add(self, records: Sequence[Any], now: float) -> None:
        """Append the records of a poll."""
        if not self.records:
            self.oldest_at = now
        self.records.extend(records)
        self.size += sum(len(r.value or b"") for r in records)

    def due(self, now: float, rows: int, linger_s: float) -> bool:
        """Return whether the batch is large or old enough to insert."""
        return len(self.records) >= rows or self.size >= BATCH_BYTES or now - self.oldest_at >= linger_s

    def settle(self, task: InsertTask, marker: CommitMarker, now: float) -> None:
        """Discard the records that are in ClickHouse."""
        self.marker, self.task = marker, None
        self.size -= sum(len(r.value or b"") for r in task.records)
        del self.records[: len(task.records)]
        self.oldest_at = now
        self.failures = 0

    def back_off(self, now: float, max_s: float) -> float:
        """Schedule the next retry with capped exponential back-off and jitter; return the pause in seconds."""
        pause = min(max_s, INITIAL_BACKOFF_S * 2.0 ** min(self.failures, 16)) * random.uniform(0.5, 1.0)
        self.failures += 1
        self.retry_at = now + pause
        return pause


@dataclass(slots=True)
class InsertTask:
    """One step of one partition within a flush cycle."""

    tp: Any
    step: Step
    marker: CommitMarker
    records: list[Any]
    insertion: Insertion | None = None

    @property
    def finished(self) -> bool:
        """True once all rows are in ClickHouse, and for a range without records."""
        return not self.records or (self.insertion is not None and not self.insertion.pending)

    @property
    def origin(self) -> str:
        """Name of the announced range: ``topic-partition-start-end``."""
        return f"{self.tp.topic}-{self.tp.partition}-{self.marker.offset}-{self.marker.end}"


def plan_task(tp: Any, part: PartitionState, position: int, *, due: bool, max_records: int) -> InsertTask | None:
    """Return the insert task for the next step of a partition, with the marker to announce; None to wait.

    A replaced log (RESET) takes effect at once: the old intent and deduplication position do not apply to the new log.
    """
    if part.marker is None:
        return None
    offsets = [r.offset for r in part.records]
    step = next_step(part.marker, offsets, position, due=due)
    if step is Step.RESET:
        part.marker = CommitMarker(offsets[0])
        step = next_step(part.marker, offsets, position, due=due)
    if step is Step.WAIT:
        return None
    records = part.records[: range_size(part.marker, step, offsets, max_records)]
    marker = part.marker.intent(records[0].offset, records[-1].offset) if step is Step.INSERT else part.marker
    return InsertTask(tp, step, marker, records)


async def wait_or_timeout(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set or the time is over."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
