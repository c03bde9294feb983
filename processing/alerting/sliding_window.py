"""A sliding window of event time, made of ten steps."""

from __future__ import annotations

import sys
from array import array
from typing import Any

from agents.common.ddsketch import CompactCounter, bucket, quantile
from agents.common.state_validation import expect_counts

_STEPS = 10
_COUNTS = 3
"""Of each step: values, those above the one level, those above the other."""
_NONE = array("I", [0] * _COUNTS)
_BUCKET_MAX = bucket(sys.float_info.max)


class SlidingWindow:
    """Counts over the last ``width_ms`` of event time, in a quarter of a kilobyte.

    A quantile is above a level exactly when more than ``1 - q`` of the values are, so levels are compared by counting;
    a histogram, which takes several times the memory, is kept only where a quantile is to be told.

    Parameters
    ----------
    width_ms
        The window.
    above, below
        The two levels whose exceedances are counted: that at which a rule fires and that at which it resolves.
    histogram
        Whether `quantile` will be asked for.
    """

    __slots__ = ("_above", "_below", "_counts", "_histogram", "_newest", "_step_ms", "hits_above", "hits_below", "n")

    def __init__(self, width_ms: int, above: float, below: float, *, histogram: bool = False) -> None:
        self._step_ms = max(1, width_ms // _STEPS)
        self._above = above
        self._below = below
        self._newest = -1
        # Step number k lies at place k % 10: those from newest - 9 to newest are all there.
        self._counts = array("I", [0] * (_STEPS * _COUNTS))
        # Bucket k at place p is the number k << 4 | p.
        self._histogram = CompactCounter() if histogram else None
        self.n = self.hits_above = self.hits_below = 0

    def add(self, at: int, value: float) -> None:
        """Count a value at an event time; one older than the window is left out."""
        number = at // self._step_ms
        if number > self._newest:
            self._slide(number)
        elif number <= self._newest - _STEPS:
            return
        place = number % _STEPS
        above, below = value > self._above, value > self._below
        counts = self._counts
        counts[place * _COUNTS] += 1
        counts[place * _COUNTS + 1] += above
        counts[place * _COUNTS + 2] += below
        self.n += 1
        self.hits_above += above
        self.hits_below += below
        if self._histogram is not None:
            self._histogram.add(bucket(value) << 4 | place)

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
        gone = {passed % _STEPS for passed in range(max(self._newest + 1, number - _STEPS + 1), number + 1)}
        for place in gone:
            self.n -= counts[place * _COUNTS]
            self.hits_above -= counts[place * _COUNTS + 1]
            self.hits_below -= counts[place * _COUNTS + 2]
            counts[place * _COUNTS : (place + 1) * _COUNTS] = _NONE
        if self._histogram is not None:
            self._histogram.discard(lambda key: key & 15 in gone)
        self._newest = number

    def state(self) -> list[Any]:
        """Everything needed to continue."""
        return [self._newest, self._counts.tolist(), None if self._histogram is None else self._buckets()]

    def restore(self, state: list[Any]) -> None:
        """Continue from a state."""
        newest, counts, histogram = state
        if len(counts) != _STEPS * _COUNTS or (histogram is None) != (self._histogram is None):
            raise ValueError("a window of another kind")
        expect_counts(newest)
        if histogram is not None:
            expect_counts(*histogram, *histogram.values())
            if max(histogram, default=0) >> 4 > _BUCKET_MAX:
                raise ValueError("a bucket of no number")
        self._newest = int(newest)
        self._counts = array("I", counts)
        self._histogram = None if histogram is None else CompactCounter(histogram)
        self.n, self.hits_above, self.hits_below = (sum(counts[k::_COUNTS]) for k in range(_COUNTS))
