"""What is counted of a minute of a segment, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from agents.base import Segment
from agents.common.ddsketch import CompactCounter, bucket
from agents.common.state_validation import expect_counts
from schemas.event import LLMEvent

_NANO = 1e9


@dataclass(slots=True)
class Window:
    """What is counted; names are those of `schemas.outputs.Aggregate`.

    The buckets of its three histograms are in one tally: bucket k of histogram h is the number h << 16 | k.
    """

    version: int = -1
    events: int = 0
    errors: int = 0
    refusals: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0
    injection_flags: int = 0
    hallucination_flags: int = 0
    grounded: int = 0
    buckets: CompactCounter = field(default_factory=CompactCounter)

    def state(self) -> list[Any]:
        """Return its counts, and a copy of its buckets."""
        return [*_counts_of(self), self.buckets.counts()]


_NAMES = tuple(f.name for f in fields(Window))
_COUNTS = _NAMES[:-1]
_counts_of = attrgetter(*_COUNTS)
HISTOGRAMS = ("latency_ms", "ttft_ms", "grounding")
_KIND_BITS = 16
_LATENCY, _TTFT, _GROUNDING = (h << _KIND_BITS for h in range(len(HISTOGRAMS)))


class WindowRow(NamedTuple):
    """A segment's window, from which its row is made when it is written: thousands may close at once."""

    start: int
    segment: Segment
    partition: int
    window: Window

    def row(self) -> dict[str, Any]:
        """Write it as `schemas.outputs.Aggregate` has it."""
        row = {"window_start": _written(self.start), **self.segment._asdict(), "source_partition": self.partition}
        row.update(zip(_COUNTS, _counts_of(self.window), strict=True))
        return row | _histograms(self.window.buckets.counts())


@lru_cache(maxsize=64)
def _written(start: int) -> str:
    return datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def window_from_state(values: list[Any]) -> Window:
    """Return the window of a `Window.state`; raise ValueError if it is none."""
    *given, buckets = values
    expect_counts(*given, *buckets.values())
    if any(type(key) is not int or not 0 <= key < len(HISTOGRAMS) << _KIND_BITS for key in buckets):
        raise ValueError("a bucket of no histogram")
    return Window(**dict(zip(_COUNTS, given, strict=True)), buckets=CompactCounter(buckets))


def _histograms(buckets: Mapping[int, int]) -> dict[str, dict[int, int]]:
    """Return bucket to count of each histogram."""
    found: dict[str, dict[int, int]] = {name: {} for name in HISTOGRAMS}
    for key, count in buckets.items():
        found[HISTOGRAMS[key >> _KIND_BITS]][key & (1 << _KIND_BITS) - 1] = count
    return found


def count(window: Window, event: LLMEvent, refusal: bool) -> None:
    """Count an event."""
    window.events += 1
    window.errors += event.error is not None
    window.refusals += refusal
    if (usage := event.usage) is not None:
        window.input_tokens += usage.input_tokens
        window.output_tokens += usage.output_tokens
        window.cached_tokens += usage.cached_tokens
        window.reasoning_tokens += usage.reasoning_tokens
    if event.cost_usd is not None:
        window.cost_nanousd += round(event.cost_usd * _NANO)
    if event.latency_ms is not None:
        window.buckets.add(_LATENCY | bucket(event.latency_ms))
    if event.ttft_ms is not None:
        window.buckets.add(_TTFT | bucket(event.ttft_ms))


def count_signals(window: Window, injection: Any, hallucination: Any) -> None:
    """Count what the agents signal of an event."""
    if injection is not None:
        window.injection_flags += injection.flag
    if hallucination is not None and hallucination.grounding is not None:
        window.hallucination_flags += hallucination.flag
        window.grounded += 1
        window.buckets.add(_GROUNDING | min(19, math.floor(hallucination.grounding * 20)))
