"""A sliding window of event time, made of ten steps."""

from __future__ import annotations

from collections import deque
from typing import Any

from agents.histogram import bucket, quantile

_STEPS = 10


class SlidingWindow:
    """Counts over the last ``width_ms`` of event time.

    A quantile is above a level exactly when more than ``1 - q`` of the values are, so levels are compared by counting;
    the histogram is there to say the value.

    Parameters
    ----------
    width_ms
        The window.
    above, below
        The two levels whose exceedances are counted: that at which a rule fires and that at which it resolves.
    """

    __slots__ = ("_above", "_below", "_step_ms", "_steps", "hits_above", "hits_below", "n")

    def __init__(self, width_ms: int, above: float, below: float) -> None:
        self._step_ms = max(1, width_ms // _STEPS)
        self._above = above
        self._below = below
        self._steps: deque[list[Any]] = deque()
        self.n = self.hits_above = self.hits_below = 0

    def add(self, at: int, value: float) -> None:
        """Count a value at an event time; one older than the window is left out."""
        number = at // self._step_ms
        self._slide(number)
        step = self._find(number)
        if step is None:
            return
        above, below = value > self._above, value > self._below
        step[1] += 1
        step[2] += above
        step[3] += below
        k = bucket(value)
        step[4][k] = step[4].get(k, 0) + 1
        self.n += 1
        self.hits_above += above
        self.hits_below += below

    def quantile(self, q: float) -> float:
        """Return a quantile of the values in the window, within 2 %."""
        merged: dict[int, int] = {}
        for step in self._steps:
            for k, count in step[4].items():
                merged[k] = merged.get(k, 0) + count
        return quantile(merged, q)

    def _slide(self, number: int) -> None:
        if self._steps and number <= self._steps[-1][0]:
            return
        self._steps.append([number, 0, 0, 0, {}])
        while self._steps[0][0] <= number - _STEPS:
            _, n, above, below, _ = self._steps.popleft()
            self.n -= n
            self.hits_above -= above
            self.hits_below -= below

    def _find(self, number: int) -> list[Any] | None:
        return next((step for step in reversed(self._steps) if step[0] <= number), None)

    def state(self) -> list[Any]:
        """Everything needed to continue."""
        return [[number, n, above, below, dict(counts)] for number, n, above, below, counts in self._steps]

    def restore(self, steps: list[Any]) -> None:
        """Continue from a state."""
        self._steps = deque([number, n, above, below, dict(counts)] for number, n, above, below, counts in steps)
        self.n = sum(s[1] for s in self._steps)
        self.hits_above = sum(s[2] for s in self._steps)
        self.hits_below = sum(s[3] for s in self._steps)
