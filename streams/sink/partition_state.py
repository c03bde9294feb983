"""What the sink holds of one partition between polls, and the work it plans from it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.sink.inserter import Insertion
from streams.sink.range_planner import Mark, Step, decide, take

BATCH_BYTES = 32 << 20
FIRST_PAUSE_S = 0.2


@dataclass(slots=True)
class Partition:
    """Records read and not yet settled, the mark that is committed, and when to try again."""

    mark: Mark | None = None
    records: list[Any] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    failures: int = 0
    retry_at: float = 0.0
    work: Work | None = None
    """Under way over several rounds: far-dated rows are inserted a few months at a time."""

    def add(self, records: Sequence[Any], now: float) -> None:
        """Take what a poll gave."""
        if not self.records:
            self.since = now
        self.records.extend(records)
        self.size += sum(len(r.value or b"") for r in records)

    def due(self, now: float, rows: int, linger_s: float) -> bool:
        """Say whether the batch is large or old enough."""
        return len(self.records) >= rows or self.size >= BATCH_BYTES or now - self.since >= linger_s

    def settle(self, work: Work, mark: Mark, now: float) -> None:
        """Forget what is in ClickHouse."""
        self.mark, self.work = mark, None
        self.size -= sum(len(r.value or b"") for r in work.records)
        del self.records[: len(work.records)]
        self.since = now
        self.failures = 0

    def back_off(self, now: float, longest_s: float) -> float:
        """Schedule the next try: exponential, capped, with jitter; returns the pause."""
        pause = min(longest_s, FIRST_PAUSE_S * 2.0 ** min(self.failures, 16)) * random.uniform(0.5, 1.0)
        self.failures += 1
        self.retry_at = now + pause
        return pause


@dataclass(slots=True)
class Work:
    """One step of one partition within a round."""

    tp: Any
    step: Step
    mark: Mark
    records: list[Any]
    insertion: Insertion | None = None

    @property
    def finished(self) -> bool:
        """Whether all its rows are in ClickHouse; a range without records is."""
        return not self.records or (self.insertion is not None and not self.insertion.left)

    @property
    def origin(self) -> str:
        """``topic-partition-begin-end`` of the announced range."""
        return f"{self.tp.topic}-{self.tp.partition}-{self.mark.offset}-{self.mark.end}"


def plan(tp: Any, part: Partition, position: int, *, due: bool, most: int) -> Work | None:
    """Turn the decision for a partition into work, with the mark that it stands under.

    A replaced log (RESET) takes effect at once: the old intent, and what was seen, say nothing about the new one.
    """
    if part.mark is None:
        return None
    offsets = [r.offset for r in part.records]
    step = decide(part.mark, offsets, position, due=due)
    if step is Step.RESET:
        part.mark = Mark(offsets[0])
        step = decide(part.mark, offsets, position, due=due)
    if step is Step.WAIT:
        return None
    records = part.records[: take(part.mark, step, offsets, most)]
    mark = part.mark.intent(records[0].offset, records[-1].offset) if step is Step.INSERT else part.mark
    return Work(tp, step, mark, records)


async def either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so long."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
