"""Sliding window over event time, made of ten steps."""

from __future__ import annotations

import sys
from array import array
from typing import Any

from agents.common.ddsketch import CompactCounter, bucket, quantile
from agents.common.state_validation import expect_counts

_STEPS = 10
_COUNTS = 3
"""Counts per step: values, values above the fire level, values above the resolve level."""
_NONE = array("I", [0] * _COUNTS)
_BUCKET_MAX = bucket(sys.float_info.max)


class SlidingWindow:
    """Counts over the last ``width_ms`` of event time, in a quarter of a kilobyte.

    A quantile exceeds a level exactly when more than ``1 - q`` of the values do, so levels are compared by counting. A
    histogram takes several times the memory; it is kept only if a quantile is reported.

    Parameters
    ----------
    width_ms
        Width of the window.
    fire_level, resolve_level
        Levels at which a rule fires and resolves; the window counts the values above each.
    histogram
        True to keep a histogram, which `quantile` needs.
    """

    __slots__ = (
        "_counts",
        "_fire_level",
        "_histogram",
        "_newest",
        "_resolve_level",
        "_step_ms",
        "above_fire",
        "above_resolve",
        "n",
    )

    def __init__(self, width_ms: int, fire_level: float, resolve_level: float, *, histogram: bool = False) -> None:
        self._step_ms = max(1, width_ms // _STEPS)
        self._fire_level = fire_level
        self._resolve_level = resolve_level
        self._newest = -1
        # Step k is stored at position k % 10. The steps from newest - 9 to newest are stored.
        self._counts = array("I", [0] * (_STEPS * _COUNTS))
        # Bucket k of the step at position p is stored as the integer k << 4 | p.
        self._histogram = CompactCounter() if histogram else None
        self.n = self.above_fire = self.above_resolve = 0

    def add(self, time_ms: int, value: float) -> None:
        """Add a value at an event time; a value older than the window is ignored."""
        number = time_ms // self._step_ms
        if number > self._newest:
            self._slide(number)
        elif number <= self._newest - _STEPS:
            return
        position = number % _STEPS
        above_fire, above_resolve = value > self._fire_level, value > self._resolve_level
        counts = self._counts
        counts[position * _COUNTS] += 1
        counts[position * _COUNTS + 1] += above_fire
        counts[position * _COUNTS + 2] += above_resolve
        self.n += 1
        self.above_fire += above_fire
        self.above_resolve += above_resolve
        if self._histogram is not None:
            self._histogram.add(bucket(value) << 4 | position)

    def quantile(self, q: float) -> float:
        """Return a quantile of the values in the window, within 2 %."""
        merged: dict[int, int] = {}
        for key, count in self._buckets().items():
            merged[key >> 4] = merged.get(key >> 4, 0) + count
        return quantile(merged, q)

    def _buckets(self) -> dict[int, int]:
        return {} if self._histogram is None else self._histogram.counts()

    def _slide(self, number: int) -> None:
        counts = self._counts
        expired = {step % _STEPS for step in range(max(self._newest + 1, number - _STEPS + 1), number + 1)}
        for position in expired:
            self.n -= counts[position * _COUNTS]
            self.above_fire -= counts[position * _COUNTS + 1]
            self.above_resolve -= counts[position * _COUNTS + 2]
            counts[position * _COUNTS : (position + 1) * _COUNTS] = _NONE
        if self._histogram is not None:
            self._histogram.discard(lambda key: key & 15 in expired)
        self._newest = number

    def state(self) -> list[Any]:
        """Return the complete state."""
        return [self._newest, self._counts.tolist(), None if self._histogram is None else self._buckets()]

    def restore(self, state: list[Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        newest, counts, histogram = state
        if len(counts) != _STEPS * _COUNTS or (histogram is None) != (self._histogram is None):
            raise ValueError("the window has the wrong number of steps, or a histogram is missing or unexpected")
        expect_counts(newest)
        if histogram is not None:
            expect_counts(*histogram, *histogram.values())
            if max(histogram, default=0) >> 4 > _BUCKET_MAX:
                raise ValueError("a histogram bucket is out of range")
        self._newest = int(newest)
        self._counts = array("I", counts)
        self._histogram = None if histogram is None else CompactCounter(histogram)
        self.n, self.above_fire, self.above_resolve = (sum(counts[k::_COUNTS]) for k in range(_COUNTS))
