"""Counts of one minute of one segment, and their output row."""

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

_NANOUSD_PER_USD = 1e9


@dataclass(slots=True)
class Window:
    """Counts of a window, named as in `schemas.outputs.Aggregate`.

    One counter holds the buckets of the three histograms: bucket k of histogram h is the integer h << 16 | k.
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
        """Return the counts and a copy of the buckets."""
        return [*_counts_of(self), self.buckets.counts()]


_NAMES = tuple(f.name for f in fields(Window))
_COUNTS = _NAMES[:-1]
_counts_of = attrgetter(*_COUNTS)
HISTOGRAMS = ("latency_ms", "ttft_ms", "grounding")
_KIND_BITS = 16
_LATENCY, _TTFT, _GROUNDING = (h << _KIND_BITS for h in range(len(HISTOGRAMS)))


class WindowRow(NamedTuple):
    """Window of a segment. The row is built on demand, because thousands of windows may close at once."""

    start: int
    segment: Segment
    partition: int
    window: Window

    def row(self) -> dict[str, Any]:
        """Return the output row, see `schemas.outputs.Aggregate`."""
        row = {"window_start": _iso_minute(self.start), **self.segment._asdict(), "source_partition": self.partition}
        row.update(zip(_COUNTS, _counts_of(self.window), strict=True))
        return row | _histograms(self.window.buckets.counts())


@lru_cache(maxsize=64)
def _iso_minute(start_ms: int) -> str:
    return datetime.fromtimestamp(start_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def window_from_state(values: list[Any]) -> Window:
    """Return the window for a `Window.state`; raise ValueError if the state does not fit."""
    *window_counts, buckets = values
    expect_counts(*window_counts, *buckets.values())
    if any(type(key) is not int or not 0 <= key < len(HISTOGRAMS) << _KIND_BITS for key in buckets):
        raise ValueError("a bucket belongs to no histogram")
    return Window(**dict(zip(_COUNTS, window_counts, strict=True)), buckets=CompactCounter(buckets))


def _histograms(buckets: Mapping[int, int]) -> dict[str, dict[int, int]]:
    """Return the counts by bucket of each histogram."""
    histograms: dict[str, dict[int, int]] = {name: {} for name in HISTOGRAMS}
    for key, count in buckets.items():
        histograms[HISTOGRAMS[key >> _KIND_BITS]][key & (1 << _KIND_BITS) - 1] = count
    return histograms


def count_event(window: Window, event: LLMEvent, refusal: bool) -> None:
    """Add an event to a window."""
    window.events += 1
    window.errors += event.error is not None
    window.refusals += refusal
    if (usage := event.usage) is not None:
        window.input_tokens += usage.input_tokens
        window.output_tokens += usage.output_tokens
        window.cached_tokens += usage.cached_tokens
        window.reasoning_tokens += usage.reasoning_tokens
    if event.cost_usd is not None:
        window.cost_nanousd += round(event.cost_usd * _NANOUSD_PER_USD)
    if event.latency_ms is not None:
        window.buckets.add(_LATENCY | bucket(event.latency_ms))
    if event.ttft_ms is not None:
        window.buckets.add(_TTFT | bucket(event.ttft_ms))


def count_signals(window: Window, injection: Any, hallucination: Any) -> None:
    """Add the signals of an event to a window."""
    if injection is not None:
        window.injection_flags += injection.flag
    if hallucination is not None and hallucination.grounding is not None:
        window.hallucination_flags += hallucination.flag
        window.grounded += 1
        window.buckets.add(_GROUNDING | min(19, math.floor(hallucination.grounding * 20)))
