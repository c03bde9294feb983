"""Counters that are exact from any thread, signal handler or finaliser, without a lock."""

from __future__ import annotations

import itertools
import threading


class Counter:
    """Counts calls of `add`.

    ``next`` of an ``itertools.count`` is one step under the GIL. A lock would be one more thing to wait for in the
    host's call, and a finaliser that publishes while its own thread holds that lock would wait for ever.
    """

    __slots__ = ("_reading", "_reads", "_steps", "add")

    def __init__(self) -> None:
        self._steps = itertools.count()
        self._reads = 0
        self._reading = threading.Lock()
        self.add = self._steps.__next__

    def value(self) -> int:
        """Return how often `add` was called."""
        with self._reading:  # reading takes a step too
            steps = next(self._steps) - self._reads
            self._reads += 1
        return steps
